"""HTTP as uvicorn speaks it, but nobody may hold a connection by sending a request's head slowly.

An answer's head and the first of its body leave together: a write is a system call, and a wake-up of who reads it.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_SECONDS = 10.0
"""How long a connection may take until the head of its request is complete."""


class _Together:
    """A transport that holds a write back until the next one, or the next turn of the loop."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held = b""
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        if self._held:
            held, self._held = self._held, b""
            self._transport.write(held + data)
        else:
            self._held = data
            self._loop.call_soon(self._flush)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._held:
            held, self._held = self._held, b""
            self._transport.write(held)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Patience(HttpToolsProtocol):
    """Closes a connection whose request's head is not there in time. A head that comes in one piece costs nothing."""

    head_seconds = HEAD_SECONDS
    _impatience: asyncio.TimerHandle | None = None
    _in_head = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Wait for the first head from now on."""
        super().connection_made(transport)
        self.transport = _Together(transport, self.loop)  # type: ignore[assignment] # all that uvicorn uses of one
        self._impatience = self.loop.call_later(self.head_seconds, self._give_up)

    def data_received(self, data: bytes) -> None:
        """Wait for the rest of a head that has begun."""
        super().data_received(data)
        is_idle = self._in_head or self.cycle is None or self.cycle.response_complete
        if is_idle and self._impatience is None:
            self._impatience = self.loop.call_later(self.head_seconds, self._give_up)

    def on_message_begin(self) -> None:
        """A head begins."""
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is there."""
        self._in_head = False
        self._calm()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing to wait for."""
        self._calm()
        super().connection_lost(exc)

    def _calm(self) -> None:
        if self._impatience is not None:
            self._impatience.cancel()
            self._impatience = None

    def _give_up(self) -> None:
        self._impatience = None
        self.transport.close()
