"""HTTP as uvicorn speaks it, but nobody may hold a connection by sending a request's head slowly."""

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_SECONDS = 10.0
"""How long a connection may take until the head of its request is complete."""


class Patience(HttpToolsProtocol):
    """Closes a connection whose request's head is not there in time. A head that comes in one piece costs nothing."""

    head_seconds = HEAD_SECONDS
    _impatience: asyncio.TimerHandle | None = None
    _in_head = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Wait for the first head from now on."""
        super().connection_made(transport)
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
