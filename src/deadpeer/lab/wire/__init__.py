"""
A wire that takes its time: delay, loss, a narrow line, and a box that forgets.

It needs neither ``netem`` in the kernel nor ``/dev/net/tun``, which ordinary
users often may not open. What becomes of a packet is computed (`weather`,
`lane`, `flows`); a process of its own (`forwarder`) moves them.
"""
