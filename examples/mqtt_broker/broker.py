"""
The broker's side of MQTT 3.1.1, as far as life and death go.

    python broker.py PORT

A client promises in CONNECT to be heard every *keep alive* seconds, and the
broker must end it after one and a half of them [MQTT-3.1.2-24]. Its last will is
published then, and not if it has said DISCONNECT. Topics are matched literally.
"""

import asyncio
import sys
from collections import defaultdict

import packets
from packets import Connect, Malformed

from deadpeer import PeerDead
from deadpeer.aio import guard
from deadpeer.aio.guarding import Guard
from deadpeer.policy.heartbeat import Heartbeat

subscribers: defaultdict[str, set["Client"]] = defaultdict(set)


def send_to_all(topic: str, message: bytes) -> None:
    """Publish to whoever has subscribed."""
    for client in subscribers[topic]:
        client.transport.write(packets.publish(topic, message))


class Client(asyncio.Protocol):
    """One client of the broker."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.connect: Connect | None = None
        self.said_goodbye = False
        self.guard: Guard | None = None
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if self.guard is not None:
            self.guard.heard()
        self.received += data
        try:
            for kind, _, body in packets.split(self.received):
                self.take(kind, body)
        except Malformed as error:
            print(f"malformed: {error}", flush=True)
            self.transport.abort()

    def take(self, kind: int, body: bytes) -> None:
        if (kind == packets.CONNECT) != (self.connect is None):
            raise Malformed("CONNECT comes first, and once")
        match kind:
            case packets.CONNECT:
                self.connect = packets.parse_connect(body)
                self.promised(self.connect.keep_alive)
                self.transport.write(packets.packet(packets.CONNACK, b"\0\0"))
            case packets.PINGREQ:
                self.transport.write(packets.packet(packets.PINGRESP))
            case packets.PUBLISH:
                send_to_all(*packets.parse_publish(body))
            case packets.SUBSCRIBE:
                number, topics = packets.parse_subscribe(body)
                for topic in topics:
                    subscribers[topic].add(self)
                granted = bytes(len(topics))
                self.transport.write(packets.packet(packets.SUBACK, number + granted))
            case packets.DISCONNECT:
                self.said_goodbye = True
                self.transport.close()
            case _:
                raise Malformed(f"packet of kind {kind}")

    def promised(self, keep_alive: int) -> None:
        """Judge the client by its own promise; 0 promises nothing."""
        if keep_alive:
            half = keep_alive / 2
            heartbeat = Heartbeat(interval=keep_alive, timeout=half, one_way=True)
            self.guard = guard(self.transport, heartbeat=heartbeat, on_dead=self.died)
            self.guard.start()

    def died(self, verdict: PeerDead) -> None:
        assert self.connect is not None
        print(f"{self.connect.client} dead: {verdict}", flush=True)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.guard is not None:
            self.guard.lost(exc)
        for clients in subscribers.values():
            clients.discard(self)
        if self.connect and self.connect.will and not self.said_goodbye:
            send_to_all(*self.connect.will)


async def main(port: int) -> None:
    """Serve until cancelled."""
    server = await asyncio.get_running_loop().create_server(Client, "127.0.0.1", port)
    print("listening", server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
