"""A TCP proxy on a loopback port that does to a connection what networks and servers do to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

_PIECE = 65_536


class FaultProxy:
    """Passes bytes both ways until it is told otherwise.

    Attributes:
        url: where it listens.
        connections: how many have been made.
        refusing: new connections are closed at once; those that are open are cut by `cut`.
        delay: seconds that each piece from the server is held back.
        truncate: bytes from the server after which a connection is cut, counted for each; None: never.
    """

    def __init__(self, upstream: str) -> None:
        parts = urlsplit(upstream)
        self._upstream = (parts.hostname or "127.0.0.1", parts.port or 80)
        self.url = ""
        self.connections = 0
        self.refusing = False
        self.delay = 0.0
        self.truncate: int | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._last: dict[asyncio.StreamWriter, bytes] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def lead_to(self, upstream: str) -> None:
        """Lead further connections to another server."""
        parts = urlsplit(upstream)
        self._upstream = (parts.hostname or "127.0.0.1", parts.port or 80)

    def cut(self) -> None:
        """Break off all open connections, with a reset."""
        for writer in list(self._open):
            writer.transport.abort()

    def freeze(self) -> None:
        """Pass nothing more from the server, and keep the connections open."""
        self._flowing.clear()

    def thaw(self) -> None:
        """Pass what was held back, and everything from then on."""
        self._flowing.set()

    def replay(self) -> None:
        """Send the last piece that each client got once more."""
        for writer, piece in list(self._last.items()):
            if not writer.is_closing():
                writer.write(piece)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, to its end."""
        self.connections += 1
        if self.refusing:
            writer.transport.abort()
            return
        try:
            server_reader, server_writer = await asyncio.open_connection(*self._upstream)
        except OSError:
            writer.transport.abort()
            return
        mine = {writer, server_writer}
        self._open |= mine
        up = asyncio.create_task(self._pump_up(reader, server_writer))
        down = asyncio.create_task(self._pump_down(server_reader, writer))
        try:
            await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (up, down):
                task.cancel()
            await asyncio.gather(up, down, return_exceptions=True)
            self._open -= mine
            self._last.pop(writer, None)
            for each in mine:
                each.close()

    async def _pump_up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(_PIECE):
            writer.write(piece)
            await writer.drain()

    async def _pump_down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        passed = 0
        while piece := await reader.read(_PIECE):
            if self.delay:
                await asyncio.sleep(self.delay)
            await self._flowing.wait()
            if self.truncate is not None and passed + len(piece) > self.truncate:
                writer.write(piece[: max(0, self.truncate - passed)])
                await writer.drain()
                writer.close()
                return
            passed += len(piece)
            self._last[writer] = piece
            writer.write(piece)
            await writer.drain()


@asynccontextmanager
async def fault_proxy(upstream: str) -> AsyncIterator[FaultProxy]:
    """A running proxy before a server."""
    proxy = FaultProxy(upstream)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        server.close()
        proxy.thaw()
        proxy.cut()
        await asyncio.sleep(0)
