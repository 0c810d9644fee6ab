"""What benchmarks run in: a home of their own, a full library, a cluster with many services."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from backend.core.ports import SystemClock
from backend.library.classification import PROPERTIES
from backend.library.evidenced import Classification
from backend.library.records import Content, ImageRecord, Observation, repository_id, write_images, write_observations
from backend.store.connection import Database

ROOT: Final = Path(__file__).resolve().parents[2]
REPOSITORIES: Final = 200
TAGS: Final = 50
SERVICES: Final = 5000
#: Pods of each service: 10,000 in all.
PODS: Final = 2
#: As the console script starts the program.
MODELYARD: Final = (sys.executable, "-c", "from tui.main import main; main()")

_CONFIGURATION: Final = """\
[yard]
name = "benchmark"

[[registry]]
name = "bench"
url = "https://registry.invalid"

[[rule]]
name = "all"
registry = "bench"
repositories = ["models/**"]
tags = { versions = ">=1" }
enabled = false

[policy]
approvals = 2
[[policy.gate]]
kind = "vulnerabilities"
max_critical = 0
max_age = "7d"
[[policy.gate]]
kind = "licence"
allow = ["Apache-2.0", "MIT"]
"""
_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"


class Home:
    """A home folder, removed afterwards.

    Attributes:
        environment: of processes that live in it. Bytecode is kept in it as an installed program's is, whatever the
            environment of the benchmark says, so run once what is to be timed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kubeconfig = folder / "kubeconfig"
        xdg = {f"XDG_{kind}_HOME": str(folder / kind.lower()) for kind in ("CONFIG", "DATA", "STATE", "CACHE")}
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ}
        self.environment = {
            "LANG": "C.UTF-8", **kept, **xdg, "HOME": str(folder), "KUBECONFIG": str(self.kubeconfig),
            "PYTHONPATH": str(ROOT), "PYTHONPYCACHEPREFIX": str(folder / "bytecode"),
        }  # fmt: skip
        configuration = folder / "config" / "modelyard" / "config.toml"
        configuration.parent.mkdir(parents=True)
        configuration.write_text(_CONFIGURATION)

    def name_cluster(self, url: str) -> None:
        """Write a kubeconfig that leads to a server without credentials."""
        document = {
            "apiVersion": "v1", "kind": "Config", "current-context": "bench",
            "clusters": [{"name": "bench", "cluster": {"server": url}}],
            "users": [{"name": "bench", "user": {}}],
            "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}],
        }  # fmt: skip
        self.kubeconfig.write_text(json.dumps(document))

    def fill_library(self) -> None:
        """Put 10,000 entries into the store."""
        data = self.folder / "data" / "modelyard"
        data.mkdir(parents=True, mode=0o700)
        asyncio.run(_fill(data / "modelyard.db"))


@contextmanager
def home() -> Iterator[Home]:
    """A new home."""
    with tempfile.TemporaryDirectory(prefix="modelyard-bench-", ignore_cleanup_errors=True) as folder:
        yield Home(Path(folder))


class Server:
    """The demo's API server in a process of its own.

    Attributes:
        url: where it listens.
    """

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self._process = process
        self.url = url

    def change(self, rate: float, seconds: float) -> None:
        """Have objects change from now on; see `cluster_server`."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"change {rate} {seconds}\n")
        self._process.stdin.flush()

    def told(self) -> Iterator[dict[str, Any]]:
        """What it tells of its probes, until it is done; waits for it."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            told: dict[str, Any] = json.loads(line)
            if "done" in told:
                return
            yield told


@contextmanager
def cluster(count: int = SERVICES, pods: int = 0) -> Iterator[Server]:
    """The demo's API server with so many services, and so many pods of each."""
    command = [sys.executable, "-m", "tests.benchmarks.cluster_server", str(count), str(pods)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield Server(process, json.loads(process.stdout.readline())["url"])
        finally:
            process.stdin.close()


async def _fill(path: Path) -> None:
    database = await Database.open(path, clock=SystemClock())
    try:
        async with database.transaction() as transaction:
            now = SystemClock().now()
            for number in range(REPOSITORIES):
                records = [_record(number * TAGS + tag) for tag in range(TAGS)]
                repository = await repository_id(
                    transaction, registry="bench", host="registry.invalid", name=f"models/bench-{number:03}", at=now
                )
                await write_images(transaction, records, now)
                # All but the newest repositories are weeks old, as in a library that was not filled today.
                seen = now - timedelta(days=30 if number < REPOSITORIES - 5 else 0, minutes=1)
                observations = [Observation(f"1.{tag}.0", record.digest, seen) for tag, record in enumerate(records)]
                await write_observations(transaction, repository, observations, rule="all", run="bench")
    finally:
        await database.close()


def _record(number: int) -> ImageRecord:
    data = json.dumps({"schemaVersion": 2, "mediaType": _MANIFEST, "number": number}).encode()
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    found: Sequence[str] = ("image", "nim", "vllm", "chat")
    return ImageRecord(
        digest=digest, media_type=_MANIFEST, artifact_type="", config_digest=None, size=4_000_000_000 + number,
        platforms=("linux/amd64",), created_at=None, contents=(Content(digest, _MANIFEST, data),),
        classifications={
            name: Classification(value, "label", 1.0) for name, value in zip(PROPERTIES, found, strict=False)
        },
    )  # fmt: skip
