"""The client against servers that misbehave on the wire: bytes over a real socket, written by hand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from backend.core.errors import (
    AuthenticationError,
    DigestMismatchError,
    LimitExceededError,
    MalformedDataError,
    ModelyardError,
    NotFoundError,
    UnreachableError,
)
from backend.core.ports import SystemClock
from backend.registry.client import RegistryClient
from backend.registry.config import RegistryConfig
from backend.registry.credentials import Credentials
from backend.registry.manifests import DOCKER_LIST, OCI_MANIFEST, digest_of
from tests.fakes.registry import image_manifest

RAW = image_manifest()
#: A request line and headers, and what writes the answer; it ends when the client goes away.
Reply = Callable[[str, dict[str, str], asyncio.StreamWriter], Awaitable[None]]


class Wire:
    """A server that answers each request by a function."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self.lines: list[str] = []
        self.connections = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._tasks.add(asyncio.get_running_loop().create_task(self._handle(reader, writer)))

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._converse(reader, writer)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                self.lines.append(head[0].rpartition(" ")[0])
                headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
                await self._reply(self.lines[-1], headers, writer)
                await writer.drain()
                if writer.is_closing():
                    break


@asynccontextmanager
async def wired(reply: Reply, **values: Any) -> AsyncIterator[tuple[RegistryClient, Wire, str]]:
    wire = Wire(reply)
    server = await asyncio.start_server(wire.accept, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    config = RegistryConfig(name="wire", url=url, insecure=True, **{"timeout": "150ms", "proxy": "none", **values})
    client = RegistryClient(config, credentials=Credentials(Path("/nonexistent")), clock=SystemClock())
    try:
        yield client, wire, url
    finally:
        await client.close()
        server.close()
        await wire.close()


def http(status: int, body: bytes = b"", *, length: int | None = None, close: bool = False, **headers: str) -> bytes:
    told = {"Content-Length": str(len(body) if length is None else length), **headers}
    if close:
        told["Connection"] = "close"
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in told.items())
    return f"HTTP/1.1 {status} x\r\n{lines}\r\n".encode("latin-1") + body


def always(answer: bytes, *, close: bool = False) -> Reply:
    async def reply(line: str, headers: dict[str, str], writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        if close:
            await writer.drain()
            writer.close()

    return reply


def manifest(raw: bytes = RAW, **headers: str) -> bytes:
    return http(200, raw, **{"Content_Type": OCI_MANIFEST, "Docker_Content_Digest": digest_of(RAW), **headers})


@pytest.mark.parametrize(
    ("answer", "kind", "why"),
    [
        (http(200, RAW[:50], length=len(RAW), Content_Type=OCI_MANIFEST), UnreachableError, "connection failed"),
        (
            http(200, RAW, length=50, Content_Type=OCI_MANIFEST, Docker_Content_Digest=digest_of(RAW)),
            ModelyardError,
            "",
        ),
        (http(200, b"<html>", Content_Type="text/html"), MalformedDataError, "web page"),
        (http(200, RAW, Content_Type="application/json"), MalformedDataError, "calls itself"),
        (manifest(Content_Type=DOCKER_LIST), MalformedDataError, "calls itself"),
        (manifest(RAW + b" "), DigestMismatchError, "have the digest"),
        (manifest(Content_Encoding="gzip"), MalformedDataError, "compressed"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", UnreachableError, "connection failed"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", UnreachableError, "connection failed"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", UnreachableError, "connection failed"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 300_000, UnreachableError, "connection failed"),
        (b"\x16\x03\x01\x02\x00\x01\x00", UnreachableError, "connection failed"),
        (b"", UnreachableError, "connection failed"),
    ],
)
async def test_what_is_no_answer_is_told_and_nothing_is_taken(
    answer: bytes, kind: type[ModelyardError], why: str
) -> None:
    async with wired(always(answer, close=True), timeout="2s") as (client, _, _):
        with pytest.raises(kind, match=f"manifest wire/a/b:1.*{why}"):
            await client.manifest("a/b", "1")


async def drip(writer: asyncio.StreamWriter, piece: bytes) -> None:
    with suppress(OSError):
        while not writer.is_closing():
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
        (b"", b""),
    ],
)
@pytest.mark.parametrize("method", ["tags", "resolve"])
async def test_a_server_that_drips_holds_nothing_up(head: bytes, piece: bytes, method: str) -> None:
    async def reply(line: str, headers: dict[str, str], writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        await drip(writer, piece)

    async with wired(reply, timeout="50ms") as (client, wire, _):
        loop = asyncio.get_running_loop()
        began = loop.time()
        with pytest.raises(ModelyardError, match="wire/a/b"):
            await (client.tags("a/b") if method == "tags" else client.resolve("a/b", "1"))
        assert loop.time() - began < 5
        assert wire.connections <= 3


async def test_a_body_without_end_is_left_at_its_limit() -> None:
    async def reply(line: str, headers: dict[str, str], writer: asyncio.StreamWriter) -> None:
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: " + OCI_MANIFEST.encode() + b"\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        block = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        with suppress(OSError):
            while not writer.is_closing():
                writer.write(block)
                await writer.drain()

    async with wired(reply, timeout="5s") as (client, _, _):
        with pytest.raises(LimitExceededError, match="more than the 4194304 bytes"):
            await client.manifest("a/b", "1")
        assert client.bytes_received < 5 << 20
        with pytest.raises(LimitExceededError, match="more than the 100 bytes"):
            await client.blob("a/b", digest_of(b"x"), 100, 1000)


async def test_redirects_in_a_circle_end_over_the_wire_too() -> None:
    async def reply(line: str, headers: dict[str, str], writer: asyncio.StreamWriter) -> None:
        writer.write(http(307, Location="/v2/a/b/tags/list?n=2" if "n=1" in line else "/v2/a/b/tags/list?n=1"))

    async with wired(reply) as (client, wire, _):
        with pytest.raises(LimitExceededError, match="redirected"):
            await client.tags("a/b")
        assert len(wire.lines) == 6


async def test_refusals_for_ever_end() -> None:
    realm = 'Bearer realm="{url}/token",service="s",scope="repository:a/b:pull"'
    address = ""

    async def reply(line: str, headers: dict[str, str], writer: asyncio.StreamWriter) -> None:
        if "/token" in line:
            writer.write(http(200, json.dumps({"token": "never-good"}).encode()))
        else:
            writer.write(http(401, WWW_Authenticate=realm.format(url=address)))

    async with wired(reply) as (client, wire, url):
        address = url
        for _ in range(3):
            with pytest.raises(AuthenticationError):
                await client.resolve("a/b", "1")
        assert len(wire.lines) <= 12


async def test_too_many_requests_for_an_hour_costs_one_request() -> None:
    async with wired(always(http(429, b"{}", Retry_After="3600"))) as (client, wire, _):
        async with asyncio.timeout(5):
            for number in range(100):
                with pytest.raises(UnreachableError, match="asks to wait until"):
                    await client.resolve("a/b", f"t{number}")
        assert len(wire.lines) == 1


async def test_a_connection_that_was_kept_and_closed_is_opened_again_unseen() -> None:
    async def reply(line: str, headers: dict[str, str], writer: asyncio.StreamWriter) -> None:
        writer.write(manifest())
        await writer.drain()
        # Says nothing of closing, and closes: as load balancers do with idle connections.
        writer.close()

    async with wired(reply, timeout="5s") as (client, wire, _):
        for number in range(20):
            assert (await client.manifest("a/b", f"t{number}")).digest == digest_of(RAW)
        assert wire.connections == 20


async def test_a_tag_that_moves_while_it_is_read_is_read_as_one_or_the_other() -> None:
    """The digest is that of the bytes: what HEAD said a moment ago has no part in it."""
    other = image_manifest(annotations={"moved": "yes"})

    async def reply(line: str, headers: dict[str, str], writer: asyncio.StreamWriter) -> None:
        if line.startswith("HEAD"):
            writer.write(http(200, length=len(RAW), Content_Type=OCI_MANIFEST, Docker_Content_Digest=digest_of(RAW)))
        elif digest_of(RAW) in line:
            writer.write(http(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"gone"}]}'))
        else:
            writer.write(http(200, other, Content_Type=OCI_MANIFEST, Docker_Content_Digest=digest_of(other)))

    async with wired(reply) as (client, _, _):
        seen = await client.resolve("a/b", "latest")
        assert seen.digest == digest_of(RAW)
        assert (await client.manifest("a/b", "latest")).digest == digest_of(other)
        with pytest.raises(NotFoundError):
            await client.manifest("a/b", seen.digest)


async def test_many_kept_connections_serve_many_requests() -> None:
    async with wired(always(manifest()), timeout="5s", max_concurrency=8) as (client, wire, _):
        await asyncio.gather(*(client.manifest("a/b", f"t{number}") for number in range(200)))
        assert len(wire.lines) == 200
        assert wire.connections <= 8


async def test_requests_that_are_cut_off_leave_a_client_that_works() -> None:
    asked = 0
    half = asyncio.Event()

    async def reply(line: str, headers: dict[str, str], writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        if asked % 2:
            writer.write(manifest()[:300])
            await writer.drain()
            half.set()
            await asyncio.sleep(5)
        else:
            writer.write(manifest())

    async with wired(reply, timeout="5s", max_concurrency=1) as (client, wire, _):
        for number in range(10):
            cut = asyncio.create_task(client.manifest("a/b", f"t{number}"))
            await half.wait()
            half.clear()
            cut.cancel()
            with pytest.raises(asyncio.CancelledError):
                await cut
            assert (await client.manifest("a/b", f"t{number}")).digest == digest_of(RAW)
        assert wire.connections == 11


async def test_a_proxy_of_the_configuration_is_what_requests_go_through() -> None:
    async with wired(always(manifest())) as (_, wire, proxy):
        config = RegistryConfig(name="far", url="http://registry.invalid", insecure=True, proxy=proxy)
        client = RegistryClient(config, credentials=Credentials(Path("/nonexistent")), clock=SystemClock())
        assert (await client.manifest("a/b", "1")).digest == digest_of(RAW)
        await client.close()
        assert wire.lines == ["GET http://registry.invalid/v2/a/b/manifests/1"]


async def test_a_proxy_that_refuses_is_told_and_sees_a_tunnel_only() -> None:
    async with wired(always(http(407, b"who are you?"), close=True)) as (_, wire, proxy):
        config = RegistryConfig(name="far", url="https://registry.invalid", proxy=proxy)
        client = RegistryClient(config, credentials=Credentials(Path("/nonexistent")), clock=SystemClock())
        with pytest.raises(UnreachableError, match="the proxy refuses: 407"):
            await client.manifest("a/b", "1")
        await client.close()
        assert wire.lines == ["CONNECT registry.invalid:443"]
