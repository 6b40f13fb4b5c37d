"""One end of a ``FakeLink``: asyncio's transport over a kernel made of numbers."""

import asyncio
import errno
import os
from collections.abc import Callable, Iterable
from typing import Any

from deadpeer.errors import ConfigError
from deadpeer.kernel.traffic import Traffic
from deadpeer.testing.kernel_model import KernelModel
from deadpeer.testing.link_model import Side

__all__ = ["FakeTransport"]

# What asyncio's selector transport reads at once, in bytes
# (Lib/asyncio/selector_events.py, max_size), and lets wait before it says stop
# (Lib/asyncio/transports.py, _set_write_buffer_limits).
LARGEST_READ = 256 * 1024
HIGH_WATER = 64 * 1024

# Addresses that belong to nobody (RFC 5737).
ADDRESSES = {Side.LEFT: ("192.0.2.1", 40000), Side.RIGHT: ("192.0.2.2", 7)}


class FakeTransport(asyncio.Transport):
    """
    A transport whose socket is a ``KernelModel``.

    ``get_extra_info("traffic")`` is a callable that returns the kernel's
    evidence, a ``deadpeer.kernel.traffic.Traffic``. Made by ``FakeLink.connect``.

    Args:
        loop: The event loop.
        kernel: The kernel below.
        settle: Is called after each change that the kernel may have noticed.
        protocol: The protocol above.
        side: Which end of the link it is.
    """

    # ``loop.start_tls`` asks for it.
    _start_tls_compatible = True

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        kernel: KernelModel,
        settle: Callable[[], None],
        protocol: asyncio.BaseProtocol,
        side: Side,
    ) -> None:
        super().__init__(
            {
                "sockname": ADDRESSES[side],
                "peername": ADDRESSES[side.other],
                "traffic": self.traffic,
            }
        )
        self._loop = loop
        self._kernel = kernel
        self._settle = settle
        self._protocol = protocol
        self._waiting = bytearray()  # in user space
        self._started = False
        self._frozen = False
        self._paused = False
        self._told_to_pause = False
        self._closing = False
        self._ending = False  # write_eof was called
        self._ended = False  # eof_received was called
        self._lost = False
        self._high, self._low = HIGH_WATER, HIGH_WATER // 4
        loop.call_soon(protocol.connection_made, self)
        loop.call_soon(self._start)

    def __repr__(self) -> str:
        state = "closing" if self._closing else "frozen" if self._frozen else "open"
        return f"<FakeTransport {self.get_extra_info('sockname')[0]} {state}>"

    def traffic(self) -> Traffic:
        """Return what the kernel knows about the connection now."""
        self._settle()
        now, kernel = self._loop.time(), self._kernel
        return Traffic(
            arrived_at=kernel.arrived_at,
            acked=kernel.acked,
            acked_at=kernel.acked_at,
            delivered=kernel.delivered,
            outstanding=kernel.outstanding,
            unread=kernel.unread,
            unanswered=kernel.unanswered(now=now),
            rtt=kernel.rtt or None,
            repair=kernel.repair,
        )

    # Reading.

    def is_reading(self) -> bool:
        """Tell whether what arrives is handed to the protocol."""
        return not self._closing and not self._paused

    def pause_reading(self) -> None:
        """Hand nothing to the protocol; the kernel's buffer fills."""
        self._paused = True

    def resume_reading(self) -> None:
        """Hand on what has arrived, and what will."""
        self._paused = False
        self._settle()

    # Writing.

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """
        Send bytes; what the kernel does not take waits in user space.

        Args:
            data: The bytes.

        Raises:
            TypeError: *data* is not bytes.
            RuntimeError: ``write_eof`` was called before.
        """
        if not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(f"data has to be bytes, not {type(data).__name__}")
        if self._ending:
            raise RuntimeError("Cannot call write() after write_eof()")
        if self._lost or not data:
            return
        self._settle()
        if self._kernel.failed and not self._waiting and not self._frozen:
            self._fail()
            return
        self._waiting += data
        self._flush()
        if len(self._waiting) > self._high and not self._told_to_pause:
            self._told_to_pause = True
            self._call(self._protocol.pause_writing)
        self._settle()

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        """
        Send several pieces as one.

        Args:
            list_of_data: The pieces.
        """
        self.write(b"".join(list_of_data))

    def write_eof(self) -> None:
        """End the stream behind what was written; reading goes on."""
        if self._closing or self._ending:
            return
        self._ending = True
        self._settle()
        if not self._waiting:
            self._kernel.shutdown(now=self._loop.time())
        self._settle()

    def can_write_eof(self) -> bool:
        """Say yes: TCP can close one way."""
        return True

    def get_write_buffer_size(self) -> int:
        """Return the bytes that wait in user space; the kernel's are not among them."""
        return len(self._waiting)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Return at which sizes the protocol may go on writing, and has to stop."""
        return self._low, self._high

    def set_write_buffer_limits(
        self, high: int | None = None, low: int | None = None
    ) -> None:
        """
        Set at which sizes the protocol has to stop writing, and may go on.

        Args:
            high: Bytes in user space above which it has to stop.
            low: Bytes at which it may go on.

        Raises:
            ConfigError: They are not ``high >= low >= 0``.
        """
        if high is None:
            high = HIGH_WATER if low is None else 4 * low
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ConfigError(
                f"high={high!r} and low={low!r} are no limits",
                hint="give high >= low >= 0",
                field="high",
                value=high,
            )
        self._high, self._low = high, low

    # Ending.

    def is_closing(self) -> bool:
        """Tell whether the end was asked to close, or has."""
        return self._closing

    def close(self) -> None:
        """Close as soon as what was written is with the kernel."""
        if self._closing:
            return
        self._closing = True
        if not self._waiting:
            self._force_close(None)

    def abort(self) -> None:
        """Close at once; what waits in user space is dropped."""
        self._force_close(None)

    # The protocol.

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return the protocol above."""
        return self._protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """
        Put another protocol above.

        Args:
            protocol: The new one.
        """
        self._protocol = protocol

    # What the link does with it.

    def freeze(self) -> None:
        """Stop the program above, as SIGSTOP does."""
        self._frozen = True

    def thaw(self) -> None:
        """Let the program above go on."""
        self._frozen = False
        self._settle()

    def is_ready(self) -> bool:
        """Tell whether a selector would report this end."""
        if self._frozen or self._lost or not self._started:
            return False
        kernel = self._kernel
        if self._waiting and (kernel.failed or kernel.room):
            return True
        if self._closing or self._paused:
            return False
        return bool(kernel.unread or kernel.failed or (kernel.eof and not self._ended))

    def perform(self) -> None:
        """Read, then write, as far as the kernel is ready for it."""
        kernel = self._kernel
        if not self._closing and not self._paused:
            if kernel.unread:
                self._call(self._read)
            elif kernel.failed:
                self._fail()
            elif kernel.eof and not self._ended:
                self._ended = True
                self._call(self._end)
        if not self._waiting or self._lost:
            return
        if kernel.failed:
            self._fail()
        elif kernel.room:
            self._flush()
            self._after_flush()

    def _start(self) -> None:
        self._started = True
        self._settle()

    def _read(self) -> None:
        now, protocol = self._loop.time(), self._protocol
        if isinstance(protocol, asyncio.BufferedProtocol):
            buffer = memoryview(protocol.get_buffer(-1))
            data = self._kernel.read(len(buffer), now=now)
            buffer[: len(data)] = data
            protocol.buffer_updated(len(data))
        elif isinstance(protocol, asyncio.Protocol):
            protocol.data_received(self._kernel.read(LARGEST_READ, now=now))

    def _end(self) -> None:
        protocol: Any = self._protocol
        if not protocol.eof_received():
            self.close()

    def _flush(self) -> None:
        if self._frozen:
            return
        taken = self._kernel.write(self._waiting, now=self._loop.time())
        del self._waiting[:taken]

    def _after_flush(self) -> None:
        if self._told_to_pause and len(self._waiting) <= self._low:
            self._told_to_pause = False
            self._call(self._protocol.resume_writing)
        if self._waiting:
            return
        if self._closing:
            self._force_close(None)
        elif self._ending:
            self._kernel.shutdown(now=self._loop.time())

    def _fail(self) -> None:
        number = errno.ECONNRESET
        self._force_close(ConnectionResetError(number, os.strerror(number)))

    # The name that asyncio's TLS calls.
    def _force_close(self, error: Exception | None) -> None:
        if self._lost:
            return
        self._lost = self._closing = True
        self._waiting.clear()
        self._loop.call_soon(self._tell_lost, error)

    def _tell_lost(self, error: Exception | None) -> None:
        try:
            self._protocol.connection_lost(error)
        finally:
            self._settle()
            self._kernel.close(now=self._loop.time())
            self._settle()

    def _call(self, method: Callable[[], object]) -> None:
        """Call the protocol; what it raises ends the connection, as in asyncio."""
        try:
            method()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:  # noqa: BLE001
            self._loop.call_exception_handler(
                {
                    "message": f"Fatal error: {method.__name__} failed.",
                    "exception": error,
                    "transport": self,
                    "protocol": self._protocol,
                }
            )
            self._force_close(error if isinstance(error, Exception) else None)
