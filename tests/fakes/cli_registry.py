"""A registry that answers as a test wants, honestly or not, and a yard that synchronises from it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.fakes.cli import Place, registry_table, rule_table

CONFIG = b'{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":[]}}'


def digest_of(data: bytes) -> str:
    return f"sha256:{sha256(data).hexdigest()}"


MANIFEST = json.dumps(
    {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": digest_of(CONFIG),
            "size": len(CONFIG),
        },
        "layers": [],
    }
).encode()
Answer = tuple[int, dict[str, str], bytes]


@contextmanager
def answering(answer: Callable[[str], Answer], *, login: bool = False) -> Iterator[str]:
    """A server on loopback that answers GET and HEAD of a path as told; gives its address.

    Args:
        login: whether it asks for a password first, and takes any.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = answer(self.path.partition("?")[0])
            if login and "Authorization" not in self.headers:
                status, headers, body = 401, {"WWW-Authenticate": 'Basic realm="r"'}, b""
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815 - the name that http.server looks for

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def image_registry(
    path: str, *, tags: tuple[str, ...] = ("1.0",), manifest: bytes = MANIFEST, config: bytes = CONFIG
) -> Answer:
    """A registry with the repository `a/b`; it claims the digests of the honest manifest and configuration."""
    kind = {"Content-Type": "application/json"}
    if path.endswith("/tags/list"):
        return 200, kind, json.dumps({"name": "a/b", "tags": tags}).encode()
    if "/manifests/" in path and path.rpartition("/")[2] in (*tags, digest_of(MANIFEST)):
        told = {"Content-Type": "application/vnd.oci.image.manifest.v1+json"}
        return 200, {**told, "Docker-Content-Digest": digest_of(MANIFEST)}, manifest
    if path.endswith(digest_of(CONFIG)):
        return 200, {"Content-Type": "application/octet-stream"}, config
    return 404, kind, b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"unknown"}]}'


def place_of(folder: Path, url: str, *lines: str) -> Place:
    """A yard that synchronises `a/b` from a registry, with a password."""
    return Place(folder, registry_table("r", url, *lines) + rule_table("all", "r", 'repositories = ["a/b"]'))
