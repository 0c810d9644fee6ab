"""Synchronisation beside a bare httpx loop that sends the same requests, and beside skopeo on a real registry."""

from __future__ import annotations

import functools
import hashlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

import httpx

from tests.benchmarks.harness import Figure, SkippedError
from tests.benchmarks.registry_server import image, repository_name
from tests.benchmarks.setting import ROOT, Home, home
from tests.fakes.docker_registry import TOOLS, DockerRegistry

_REPOSITORIES: Final = 100
_PARTS: Final = 10
_TAGS: Final = 100
_CONCURRENCY: Final = 8
_SKOPEO_TAGS: Final = 200
_SKOPEO_REPOSITORY: Final = "models/bench-000"
_TIMES: Final = 2
_PATIENCE: Final = 600.0
_MOST_MEMORY: Final = 150_000_000
_RULE: Final = """\
[[rule]]
name = "part-{}"
registry = "bench"
repositories = {}
"""
_LAYER: Final = b"a layer that all images share"


def sync_unchanged() -> Figure:
    """10,000 tags that name what they named before."""
    with home() as place, _fast_registry() as url:
        _configure(place, url)
        with _Worker(place, "yard") as yard:
            for part in range(_PARTS):
                yard.ask(f"part-{part}")
        ours, peer = _in_turns(place, url, "unchanged")
    if ours["unchanged"] != _REPOSITORIES * _TAGS:
        raise SkippedError(f"only {ours['unchanged']} tags were unchanged")
    return _figure("sync-unchanged", ours, peer, part=0.8)


def sync_first() -> Figure:
    """10,000 tags into an empty library: asked for, fetched, verified, parsed, submitted and stored."""
    with home() as place, _fast_registry() as url:
        _configure(place, url)
        ours, peer = _in_turns(place, url, "first")
    if ours["new"] != _REPOSITORIES * _TAGS:
        raise SkippedError(f"only {ours['new']} tags were taken in")
    return _figure("sync-first", ours, peer, part=0.6)


def sync_skopeo() -> Figure:
    """200 tags into an empty library, beside `skopeo list-tags` and `skopeo inspect` of each."""
    first, _, peer = _beside_skopeo()
    return Figure(
        name="sync-skopeo", unit="s", ours=first, peer=peer, ratio=first / peer, limit=1 / 4,
        budget=f"4 times faster than skopeo, verified and stored (here {peer / first:.1f})",
    )  # fmt: skip


def sync_skopeo_unchanged() -> Figure:
    """The same 200 tags again."""
    _, again, peer = _beside_skopeo()
    return Figure(
        name="sync-skopeo-again", unit="s", ours=again, peer=peer, ratio=again / peer, limit=1 / 10,
        budget=f"10 times faster than skopeo when nothing changed (here {peer / again:.1f})",
    )  # fmt: skip


def _figure(name: str, ours: Mapping[str, float], peer: Mapping[str, float], *, part: float) -> Figure:
    if ours["failed"] or ours["requests"] != peer["requests"]:
        raise SkippedError(f"{ours['failed']} failed, {ours['requests']} requests beside {peer['requests']}")
    ratio = ours["seconds"] / peer["seconds"]
    return Figure(
        name=name,
        unit="s",
        ours=ours["seconds"],
        peer=peer["seconds"],
        ratio=ratio if ours["peak"] <= _MOST_MEMORY else float("inf"),
        limit=1 / part,
        budget=(
            f"{part:.0%} of the rate of a bare httpx loop (here {1 / ratio:.0%}: {ours['requests']} requests), "
            f"150 MB (here {ours['peak'] / 1e6:.0f}), loop held up {1000 * ours['held_up']:.0f} ms at most"
        ),
    )


def _in_turns(place: Home, url: str, kind: str) -> tuple[dict[str, float], dict[str, float]]:
    """What ours and the peer cost, a part of the repositories at a time, so that both have the same machine."""
    each = _REPOSITORIES // _PARTS
    ours: list[dict[str, float]] = []
    peers: list[dict[str, float]] = []
    with (
        _Worker(place, "bare", url, str(_TAGS), str(_CONCURRENCY), kind) as bare,
        _Worker(place, "yard") as yard,
    ):
        for part in range(_PARTS):
            peers.append(bare.ask(f"{part * each} {each}"))
            ours.append(yard.ask(f"part-{part}"))
    return _together(ours), _together(peers)


def _together(parts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    largest = {"held_up", "peak"}
    return {name: (max if name in largest else sum)(part[name] for part in parts) for name in parts[0]}


class _Worker:
    """A process that does what it is asked for, a line at a time. Use it as a context manager."""

    def __init__(self, place: Home, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.sync_work", *arguments],
            env=place.environment, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def __enter__(self) -> _Worker:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(_PATIENCE)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def ask(self, line: str) -> dict[str, float]:
        """Have it do something, and read what that cost.

        Raises:
            SkippedError: it ended.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        told = self._process.stdout.readline()
        if not told:
            raise SkippedError(f"{line!r} ended the process with {self._process.wait(_PATIENCE)}")
        found: dict[str, float] = json.loads(told)
        return found


def _forget(place: Home) -> None:
    shutil.rmtree(place.folder / "data", ignore_errors=True)


def _configure(place: Home, url: str) -> None:
    each = _REPOSITORIES // _PARTS
    rules = [
        _RULE.format(part, json.dumps([repository_name(part * each + number) for number in range(each)]))
        for part in range(_PARTS)
    ]
    registry = f'[[registry]]\nname = "bench"\nurl = "{url}"\ninsecure = true\nmax_concurrency = {_CONCURRENCY}\n'
    text = "\n".join(['[yard]\nname = "benchmark"\n', registry, *rules])
    (place.folder / "config" / "modelyard" / "config.toml").write_text(text)


@contextmanager
def _fast_registry() -> Iterator[str]:
    """The address of the registry that has every answer ready, in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.registry_server", str(_REPOSITORIES), str(_TAGS)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.stdin.close()


@functools.cache
def _beside_skopeo() -> tuple[float, float, float]:
    """Seconds of our first synchronisation, of our second, and of skopeo's, each the best of several."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        raise SkippedError(f"{', '.join(missing)} missing")
    with DockerRegistry() as registry, home() as place:
        _push_all(registry.url)
        _configure(place, registry.url)
        first = again = peer = float("inf")
        for _ in range(_TIMES):
            peer = min(peer, _skopeo(registry.host))
            _forget(place)
            first = min(first, _timed(place))
            again = min(again, _timed(place))
    return first, again, peer


def _timed(place: Home) -> float:
    """Seconds of a synchronisation; that the program starts is left out, since a worker or a screen runs them all."""
    with _Worker(place, "yard") as yard:
        found = yard.ask("part-0")
    if found["new"] + found["unchanged"] != _SKOPEO_TAGS:
        raise SkippedError(f"{found['new']} new and {found['unchanged']} unchanged")
    return found["seconds"]


def _skopeo(host: str) -> float:
    started = time.perf_counter()
    listed = _called("skopeo", "list-tags", "--tls-verify=false", f"docker://{host}/{_SKOPEO_REPOSITORY}")
    tags = json.loads(listed)["Tags"]
    for tag in tags:
        _called("skopeo", "inspect", "--no-tags", "--tls-verify=false", f"docker://{host}/{_SKOPEO_REPOSITORY}:{tag}")
    took = time.perf_counter() - started
    if len(tags) != _SKOPEO_TAGS:
        raise SkippedError(f"skopeo lists {len(tags)} tags")
    return took


def _called(*command: str) -> bytes:
    return subprocess.run(command, capture_output=True, timeout=_PATIENCE, check=True).stdout


def _push_all(url: str) -> None:
    with httpx.Client(base_url=url) as client:
        _push_blob(client, _LAYER)
        for number in range(_SKOPEO_TAGS):
            manifest, config = image(0, number)
            _push_blob(client, config)
            document = json.loads(manifest)
            layer = {**document["layers"][0], "digest": _digest(_LAYER), "size": len(_LAYER)}
            told = {"Content-Type": document["mediaType"]}
            body = json.dumps({**document, "layers": [layer]}).encode()
            path = f"/v2/{_SKOPEO_REPOSITORY}/manifests/1.{number}.0"
            client.put(path, content=body, headers=told).raise_for_status()


def _push_blob(client: httpx.Client, data: bytes) -> None:
    begun = client.post(f"/v2/{_SKOPEO_REPOSITORY}/blobs/uploads/")
    begun.raise_for_status()
    target = httpx.URL(begun.headers["location"]).copy_merge_params({"digest": _digest(data)})
    client.put(target, content=data, headers={"Content-Type": "application/octet-stream"}).raise_for_status()


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
