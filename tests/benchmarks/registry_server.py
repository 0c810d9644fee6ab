"""A registry that answers as fast as a loop can: every answer is made before the first question.

`python -m tests.benchmarks.registry_server REPOSITORIES TAGS` prints its port on a line and ends with its standard
input. It speaks the part of distribution-spec 1.1 that a synchronisation asks for: catalogue, tags with paging by Link,
manifests by tag and by digest, blobs. Each tag names an image of its own.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from collections.abc import Iterator
from typing import Final

_PAGE: Final = 1000
_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
_LAYER: Final = "application/vnd.oci.image.layer.v1.tar+gzip"
_MISSING: Final = b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\n{}"


def repository_name(number: int) -> str:
    """The name of the n-th repository."""
    return f"models/bench-{number:03}"


def tag_name(number: int) -> str:
    """The name of the n-th tag of a repository."""
    return f"1.{number}.0"


def image(repository: int, tag: int) -> tuple[bytes, bytes]:
    """The manifest of an image and its configuration, of the size and shape that images of model servers have."""
    labels = {
        "com.nvidia.nim.type": "llm", "com.nvidia.nim.version": tag_name(tag),
        "org.opencontainers.image.source": f"https://git.example/models/{repository}",
        "org.opencontainers.image.revision": hashlib.sha1(f"{repository}/{tag}".encode()).hexdigest(),
        **{f"example.label-{number}": f"value {number}" for number in range(8)},
    }  # fmt: skip
    config = {
        "created": "2026-01-31T14:00:00Z", "os": "linux", "architecture": "amd64",
        "config": {
            "Labels": labels, "Env": [f"NAME_{number}=/opt/some/where/{number}" for number in range(16)],
            "Entrypoint": ["/opt/nim/start-server.sh"], "Cmd": ["--port", "8000"],
        },
        "rootfs": {"type": "layers", "diff_ids": [_digest(f"{tag}-{number}".encode()) for number in range(12)]},
        "history": [{"created_by": f"RUN step {number} of many that make an image"} for number in range(20)],
    }  # fmt: skip
    data = json.dumps(config).encode()
    layers = [
        {"mediaType": _LAYER, "digest": _digest(f"{tag}-{number}".encode()), "size": 1_000_000 + number}
        for number in range(12)
    ]
    described = {"mediaType": _CONFIG, "digest": _digest(data), "size": len(data)}
    manifest = {"schemaVersion": 2, "mediaType": _MANIFEST, "config": described, "layers": layers}
    return json.dumps(manifest).encode(), data


def answers(repositories: int, tags: int) -> Iterator[tuple[str, bytes, bytes]]:
    """Every path with the head and the body of its answer."""
    names = [repository_name(number) for number in range(repositories)]
    yield from _pages("/v2/_catalog", "repositories", names)
    for number, name in enumerate(names):
        yield from _pages(f"/v2/{name}/tags/list", "tags", [tag_name(tag) for tag in range(tags)])
        for tag in range(tags):
            manifest, config = image(number, tag)
            digest = _digest(manifest)
            head = _head(manifest, _MANIFEST, f"Docker-Content-Digest: {digest}\r\n")
            yield f"/v2/{name}/manifests/{tag_name(tag)}", head, manifest
            yield f"/v2/{name}/manifests/{digest}", head, manifest
            yield f"/v2/{name}/blobs/{_digest(config)}", _head(config, "application/octet-stream"), config


def _pages(path: str, field: str, names: list[str]) -> Iterator[tuple[str, bytes, bytes]]:
    starts = range(0, max(len(names), 1), _PAGE)
    for start in starts:
        body = json.dumps({field: names[start : start + _PAGE]}).encode()
        following = f"{path}?n={_PAGE}&last={names[start + _PAGE - 1]}" if start + _PAGE < len(names) else ""
        link = f'Link: <{following}>; rel="next"\r\n' if following else ""
        asked = f"{path}?n={_PAGE}" + (f"&last={names[start - 1]}" if start else "")
        yield asked, _head(body, "application/json", link), body


def _head(body: bytes, media_type: str, more: str = "") -> bytes:
    return (
        f"HTTP/1.1 200 OK\r\nContent-Type: {media_type}\r\nContent-Length: {len(body)}\r\n{more}\r\n".encode()
    )  # fmt: skip


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class _Connection(asyncio.Protocol):
    """Answers whole requests without a body, one after the other."""

    def __init__(self, table: dict[str, tuple[bytes, bytes]]) -> None:
        self._table = table
        self._pending = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        *requests, self._pending = (self._pending + data).split(b"\r\n\r\n")
        for request in requests:
            method, path, _ = request.split(b" ", 2)
            answer = self._table.get(path.decode())
            if answer is None:
                self._transport.write(_MISSING)
            else:
                self._transport.write(answer[0] if method == b"HEAD" else answer[0] + answer[1])


async def _serve(repositories: int, tags: int) -> None:
    table = {path: (head, body) for path, head, body in answers(repositories, tags)}
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(table), "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), int(sys.argv[2])))
