"""The library at 100,000 entries: a keystroke in its filter, and opening its pane."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from backend.config import load_configuration
from backend.core.ports import SystemClock, timestamp
from backend.library.search import bring_index_up
from backend.library.versions import order_key
from backend.registry.manifests import OCI_MANIFEST
from backend.store.connection import Database
from backend.store.migration import shipped
from backend.yard import Yard, YardOptions
from tests.benchmarks.harness import Figure, best_of
from tests.benchmarks.setting import home

REPOSITORIES: Final = 2000
TAGS: Final = 50
APPROVED: Final = 2000
#: Before the library had a search: what stands then is entered by the migration, which takes seconds.
_BEFORE_SEARCH: Final = 5
_KEYSTROKE: Final = 0.050
_OPENING: Final = 0.200
#: What is typed, a key at a time; every beginning of each is a search.
TYPED: Final = (
    "llama instruct", "nvidia", "mistral 1.4", "type:chat framework:vllm registry:ngc", "qwen-7b approved:yes",
    "size:<20GB gemma", "new:30d embed", "nim/meta/llama", "phi -rtx", "sha256:0a1b2c", "zzz",
)  # fmt: skip
_FAMILIES: Final = ("llama", "mistral", "qwen", "gemma", "phi", "granite", "nemotron", "mixtral")
_TEAMS: Final = ("nim/meta", "nim/nvidia", "vllm", "library", "team-a", "team-b", "models/prod", "mirror/quay")
_PLAIN: Final = (
    "SELECT repository.registry, repository.host, repository.name, tag.tag, tag.digest, image.kind, image.type,"
    " image.framework, image.size, image.platforms, image.created_at, tag.first_seen_at, tag.changed_at, tag.gone_at,"
    " tag.previous_digest, tag.rule FROM tag JOIN repository ON repository.id = tag.repository"
    " JOIN image ON image.digest = tag.digest WHERE repository.registry || ' ' || repository.host || '/' ||"
    " repository.name || ':' || tag.tag || ' ' || tag.digest || ' ' || image.type || ' ' || image.framework LIKE ?"
    " ORDER BY repository.registry, repository.name, tag.sort_key DESC LIMIT ?"
)


def search_100k() -> Figure:
    """A keystroke in the filter, beside reading all rows with LIKE on the same database."""
    with home() as here:
        database = _in(here.folder)
        ours = asyncio.run(_type(here.folder))
        peer = _plain_typing(database)
    return _against("search-100k", _percentile(ours), _percentile(peer), _KEYSTROKE, "p95 50 ms")


def library_open() -> Figure:
    """The first page and the tree of repositories in a yard that was just opened, beside reading all rows."""
    with home() as here:
        database = _in(here.folder)
        ours = best_of(3, lambda: asyncio.run(_open(here.folder)))
        with closing(sqlite3.connect(database)) as connection:
            peer = best_of(3, lambda: _seconds(lambda: connection.execute(_PLAIN, ("%", -1)).fetchall()))
    return _against("library-open", ours, peer, _OPENING, "200 ms")


def _against(name: str, ours: float, peer: float, most: float, budget: str) -> Figure:
    return Figure(
        name=name, unit="ms", ours=ours * 1000, peer=peer * 1000, ratio=ours / peer, limit=most / peer, budget=budget
    )


def _percentile(seconds: list[float]) -> float:
    return sorted(seconds)[int(len(seconds) * 0.95)]


def _seconds(work: Any) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


async def _type(folder: Path) -> list[float]:
    took: list[float] = []
    yard = await _yard(folder)
    try:
        await yard.library.search()
        for text in TYPED:
            for end in range(1, len(text) + 1):
                began = time.perf_counter()
                await yard.library.search(text[:end], limit=100)
                took.append(time.perf_counter() - began)
    finally:
        await yard.close()
    return took


def _plain_typing(database: Path) -> list[float]:
    took: list[float] = []
    with closing(sqlite3.connect(database)) as connection:
        for text in TYPED[:3]:
            for end in range(1, len(text) + 1):
                word = text[:end].split()[-1]
                took.append(_seconds(lambda word=word: connection.execute(_PLAIN, (f"%{word}%", 100)).fetchall()))
    return took


async def _open(folder: Path) -> float:
    yard = await _yard(folder)
    try:
        # Its room is imported beside the first paint.
        library = yard.library
        began = time.perf_counter()
        page = await library.search()
        groups = await library.repositories()
        took = time.perf_counter() - began
    finally:
        await yard.close()
    assert page.total == REPOSITORIES * TAGS
    assert len(groups) == REPOSITORIES
    return took


async def _yard(folder: Path) -> Yard:
    configuration = await asyncio.to_thread(load_configuration, folder / "config" / "modelyard" / "config.toml")
    return await Yard.open(configuration, YardOptions(database=folder / "library.db"))


# ------------------------------------------------------------ the library


def _in(folder: Path) -> Path:
    """A library of 100,000 entries; it is made once for each form of the database, and copied."""
    form = hashlib.sha256("".join(step.sql for step in shipped()).encode()).hexdigest()[:12]
    kept = Path(tempfile.gettempdir()) / f"modelyard-bench-library-{form}.db"
    if not kept.exists():
        partial = folder / "partial.db"
        asyncio.run(_make(partial))
        with closing(sqlite3.connect(partial)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        shutil.copyfile(partial, folder / "whole.db")
        shutil.move(folder / "whole.db", kept)
        partial.unlink()
    target = folder / "library.db"
    shutil.copyfile(kept, target)
    target.chmod(0o600)
    return target


async def _make(path: Path) -> None:
    before = tuple(step for step in shipped() if step.number <= _BEFORE_SEARCH)
    database = await Database.open(path, clock=SystemClock(), migrations=before)
    async with database.transaction() as transaction:
        for sql, rows in _rows():
            await transaction.execute_many(sql, rows)
    await database.close()
    database = await Database.open(path, clock=SystemClock())
    async with database.transaction() as transaction:
        await bring_index_up(transaction)
    await database.close()


def _rows() -> Iterator[tuple[str, list[tuple[Any, ...]]]]:
    chance = random.Random(1)
    now = SystemClock().now()
    for number in range(REPOSITORIES):
        family, kind = chance.choice(_FAMILIES), chance.choice(("instruct", "base", "embed", "chat"))
        registry = chance.choice(("ngc", "hub", "quay", "harbor"))
        name = f"{chance.choice(_TEAMS)}/{family}-{chance.choice((7, 8, 13, 70))}b-{kind}-{number}"
        type_, framework = chance.choice(("chat", "embedding", "generic")), chance.choice(("nim", "vllm", "triton"))
        seen = timestamp(now - timedelta(days=chance.randint(1, 300)))
        yield (
            "INSERT INTO repository VALUES (?, ?, ?, ?, ?, NULL)",
            [(number, registry, f"{registry}.example.com", name, seen)],
        )
        contents, images, tags, taken, candidates = [], [], [], [], []
        for position in range(TAGS):
            data = json.dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "n": number * TAGS + position}).encode()
            digest = "sha256:" + hashlib.sha256(data).hexdigest()
            tag = f"1.{position}.{chance.randint(0, 9)}" + ("-rtx" if position % 9 == 0 else "")
            contents.append((digest, OCI_MANIFEST, data, seen))
            size = chance.randint(10**9, 10**11)
            images.append((digest, OCI_MANIFEST, "", None, "image", framework, "vllm", type_, size,
                           '["linux/amd64"]', None, seen))  # fmt: skip
            tags.append((number, tag, digest, None, "all", order_key(tag), seen, seen, None))
            taken.append((number, digest, "all", seen))
            candidates.append((digest, registry, f"{registry}.example.com", name, "0" * 64, "[]"))
        yield "INSERT INTO content VALUES (?, ?, ?, ?)", contents
        yield "INSERT INTO image VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", images
        yield "INSERT INTO image_seen VALUES (?, ?, ?, ?)", taken
        yield "INSERT INTO tag VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", tags
        yield "INSERT INTO candidate VALUES (?, ?, ?, ?, ?, ?)", candidates
        yield (
            "INSERT INTO submission (digest, registry, repository, rule, rule_author, submitted_by, by_worker,"
            " after_seq, at) VALUES (?, ?, ?, 'all', '', 'worker', 1, 0, ?)",
            [(row[0], registry, name, seen) for row in contents],
        )
        if number < APPROVED:
            digest = contents[0][0]
            yield (
                "INSERT INTO decision (id, digest, reference, verdict, actor, actor_source, at, reason, ticket,"
                " evidence_hash, policy_hash, approvals_needed, expires_at) VALUES (?, ?, ?, 'approve', 'robin',"
                " 'os', ?, 'tested', '', ?, ?, 1, NULL)",
                [(f"decision-{number}", digest, f"{name}@{digest}", seen, "0" * 64, "0" * 64)],
            )
