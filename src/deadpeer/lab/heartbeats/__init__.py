"""
Heartbeats in the lab: which peers die beside which that live, and what is expected.

The terms, cells and measurements are those of the kernel's rows, and so is the
report; what differs is who judges.
"""
