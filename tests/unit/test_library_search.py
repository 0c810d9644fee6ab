"""Searching the library: what is found, in which order, grouped, and by whatever SQLite can do."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend.core.errors import UsageError
from backend.core.views import ImageState, ImageView
from backend.library.evidenced import Classification
from backend.library.query import parse
from backend.library.records import Content, ImageRecord, Observation, repository_id, write_images, write_observations
from backend.library.search import SORTS, Standing, find_entries, find_repositories, vocabulary
from backend.registry.manifests import OCI_MANIFEST
from backend.store.connection import Database
from backend.store.migration import shipped
from tests.fakes.library_listing import NOW, images_of
from tests.fakes.store import FixedClock, open_database

FAMILIES = ("llama", "qwen", "bge")
SMALL, LARGE = 2_000_000_000, 40_000_000_000


def record(number: int, *, type_: str, framework: str, family: str, size: int, about: str = "") -> ImageRecord:
    data = json.dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "number": number}).encode()
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    values = {"kind": "image", "framework": framework, "engine": "vllm", "type": type_, "family": family}
    return ImageRecord(
        digest=digest, media_type=OCI_MANIFEST, artifact_type="", config_digest=None, size=size,
        platforms=("linux/amd64",), created_at=None, contents=(Content(digest, OCI_MANIFEST, data),), about=about,
        classifications={name: Classification(value, "told", 1.0) for name, value in values.items()},
        licence="Apache-2.0" if number % 2 else "",
    )  # fmt: skip


async def fill(database: Database) -> None:
    """60 tags of 6 repositories in 2 registries; a tag in ten is gone, one in ten moved three days ago."""
    chance = random.Random(7)
    number = 0
    for place in range(6):
        registry, host = ("ngc", "nvcr.io") if place % 2 else ("hub", "docker.io")
        family = FAMILIES[place % 3]
        async with database.transaction() as transaction:
            name = f"team-{place}/{family}-{place}b"
            repository = await repository_id(transaction, registry=registry, host=host, name=name, at=NOW)
            for tag in range(10):
                about = "invoice gateway grösse" if number == 13 else f"model server {place}"
                images = [
                    record(number * 2 + turn, type_=chance.choice(("chat", "embedding")), family=family, about=about,
                           framework=chance.choice(("nim", "vllm")), size=chance.choice((SMALL, LARGE)))
                    for turn in range(2)
                ]  # fmt: skip
                await write_images(transaction, images, NOW)
                seen = NOW - timedelta(days=20 + number)
                observations = [Observation(f"1.{tag}.0", images[0].digest, seen)]
                if number % 10 == 3:
                    observations.append(Observation(f"1.{tag}.0", images[1].digest, NOW - timedelta(days=3)))
                if number % 10 == 4:
                    observations.append(Observation(f"1.{tag}.0", None, NOW - timedelta(days=2)))
                for one in observations:
                    await write_observations(transaction, repository, [one], rule=f"rule-{place}", run="run")
                number += 1


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with open_database(tmp_path / "modelyard.db") as database:
        await fill(database)
        yield database


# ------------------------------------------------------------ against plain reading


def holds(image: ImageView, text: str, standing: Standing) -> bool:
    """Whether an image meets a query of one term, found out by reading it."""
    negated, text = text.startswith("-"), text.removeprefix("-")
    key, colon, value = text.partition(":")
    held: bool
    if not colon or key not in TESTS:
        words = (image.name, f"{image.host}/{image.repository}:{image.tag}", image.type, image.framework, image.engine,
                 image.family, image.kind, image.licence)  # fmt: skip
        held = any(text in word.lower() for word in words) or f"model server {image.repository[5]}".find(text) >= 0
        held |= len(text) >= 6 and image.digest.startswith((text, f"sha256:{text}"))
    else:
        held = TESTS[key](image, value, standing)
    return held != negated


TESTS = {
    "type": lambda image, value, _: image.type in value.split(","),
    "framework": lambda image, value, _: image.framework == value,
    "family": lambda image, value, _: image.family == value,
    "registry": lambda image, value, _: image.registry == value or image.host == value,
    "repo": lambda image, value, _: value in image.repository,
    "tag": lambda image, value, _: image.tag.startswith(value),
    "rule": lambda image, value, _: image.rule == value,
    "licence": lambda image, value, _: value in image.licence.lower(),
    "platform": lambda image, value, _: value in image.platforms[0],
    "approved": lambda image, value, standing: (image.state is ImageState.APPROVED) == (value == "yes"),
    "state": lambda image, value, standing: image.state.value == value,
    "running": lambda image, value, standing: (image.digest in (standing.running or {})) == (value == "yes"),
    "gone": lambda image, value, _: (image.gone_at is not None) == (value == "yes"),
    "size": lambda image, value, _: (image.size or 0) < 20_000_000_000,
    "moved": lambda image, value, _: image.previous_digest is not None and image.changed_at >= NOW - timedelta(days=7),
    "new": lambda image, value, _: image.first_seen_at >= NOW - timedelta(days=30),
    "digest": lambda image, value, _: image.digest.startswith(f"sha256:{value}"),
}  # fmt: skip
ASKED = [
    "llama", "team-1", "1.3", "1", "3b:1.4", "team-3/llama-3b:1.", "hub/team", "nvcr.io/team", "qwen-1b", "server 3",
    "chat", "nim", "zzz", "%", "' or 1 --", "type:chat", "type:chat,embedding", "framework:vllm", "family:qwen",
    "registry:ngc", "registry:docker.io", "repo:bge", "tag:1.3", "rule:rule-2", "licence:apache", "platform:amd64",
    "approved:yes", "approved:no", "state:rejected", "state:candidate", "running:yes", "running:no", "gone:yes",
    "gone:no", "size:<20GB", "moved:7d", "new:30d", "digest:a", "digest:0",
]  # fmt: skip


async def standing_of(database: Database) -> Standing:
    digests = sorted({image.digest for image in await images_of(database)})
    states = {digests[0]: ImageState.APPROVED, digests[7]: ImageState.REJECTED, digests[9]: ImageState.APPROVED}
    return Standing(states=states, running={digests[7]: 2, digests[30]: 1})


def quoted(term: str) -> str:
    return f'"{term}"' if " " in term else term


async def test_a_printed_reference_finds_what_it_names(database: Database) -> None:
    everything = await images_of(database)
    image = everything[7]
    digest = image.digest
    for words in (
        f"{image.host}/{image.repository}@{digest}",
        f"{image.registry}/{image.repository}:{image.tag}",
        f"{image.registry}/{image.repository}:{image.tag}@{digest}",
        f"{image.repository}@{digest[:19]}",
        f"@{digest}",
    ):
        assert [found.digest for found in await images_of(database, words)] == [digest], words
        assert len(await images_of(database, f"-{words}")) == len(everything) - 1
    assert await images_of(database, f"{everything[20].repository}@{digest}") == []


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.booleans(), st.sampled_from(ASKED)), max_size=4))
async def test_a_search_finds_what_reading_everything_finds(database: Database, asked: list[tuple[bool, str]]) -> None:
    standing = await standing_of(database)
    everything = await images_of(database, standing=standing)
    assert len(everything) == 60
    texts = [f"-{term}" if negated else term for negated, term in asked]
    expected = [image.name for image in everything if all(holds(image, text, standing) for text in texts)]
    query = " ".join(f"-{quoted(term)}" if negated else quoted(term) for negated, term in asked)
    found = await images_of(database, query, standing=standing)
    assert [image.name for image in found] == expected, query


async def test_without_a_full_text_index_the_same_is_found(database: Database) -> None:
    standing = await standing_of(database)
    with_index = [await images_of(database, quoted(term), standing=standing) for term in ASKED]
    async with database.transaction() as transaction:
        # As a program whose SQLite has no FTS5 leaves it: texts are written, and no index reaches them.
        await transaction.execute("DROP TABLE search_words")
        await transaction.execute("UPDATE search_index SET reaches = 0")
    assert [await images_of(database, quoted(term), standing=standing) for term in ASKED] == with_index


async def test_what_the_index_does_not_reach_is_looked_through(database: Database) -> None:
    async with database.transaction() as transaction:
        repository = await repository_id(transaction, registry="hub", host="docker.io", name="late/arrival", at=NOW)
        await transaction.execute(
            "INSERT INTO tag (repository, tag, digest, rule, sort_key, first_seen_at, changed_at)"
            " SELECT ?, tag, digest, rule, sort_key, first_seen_at, changed_at FROM tag WHERE repository = 1 LIMIT 1",
            (repository,),
        )
    reaches = (await database.fetch_all("SELECT reaches, (SELECT max(id) FROM search_text) FROM search_index"))[0]
    assert reaches[0] < reaches[1]
    (image,) = await images_of(database, "arrival")
    assert image.repository == "late/arrival"


# ------------------------------------------------------------ order, pages, groups


@pytest.mark.parametrize("sort", SORTS)
async def test_every_order_pages_without_losing_or_repeating(database: Database, sort: str) -> None:
    standing = await standing_of(database)
    for query in ("", "llama", "1"):
        for descending in (False, True):
            whole = await find_entries(
                database, parse(query), NOW, standing, sort=sort, descending=descending, limit=None
            )
            pages: list[int] = []
            for offset in range(0, 70, 7):
                page = await find_entries(
                    database, parse(query), NOW, standing, sort=sort, descending=descending, offset=offset, limit=7
                )
                assert page.total == whole.total
                pages += page.ids
            assert tuple(pages) == whole.ids and len(set(pages)) == whole.total


async def test_orders_are_what_they_are_called(database: Database) -> None:
    standing = await standing_of(database)

    async def keys(sort: str, key: str, *, descending: bool = True) -> list[object]:
        found = await images_of(database, standing=standing, sort=sort, descending=descending)
        return [getattr(image, key) for image in found]

    changed = await keys("changed", "changed_at")
    assert changed == sorted(changed, reverse=True)  # type: ignore[type-var]
    sizes = await keys("size", "size", descending=False)
    assert sizes == sorted(sizes)  # type: ignore[type-var]
    assert (await keys("state", "state"))[:3] == [ImageState.REJECTED, ImageState.APPROVED, ImageState.APPROVED]
    assert (await keys("version", "tag"))[0] == "1.9.0"
    with pytest.raises(UsageError, match="colour"):
        await find_entries(database, parse(""), NOW, sort="colour")


async def test_repositories_count_what_was_found_in_them(database: Database) -> None:
    standing = await standing_of(database)
    for query in ("", "type:chat", "1", "size:<20GB llama", "approved:yes", "zzz"):
        images = await images_of(database, query, standing=standing)
        groups = await find_repositories(database, parse(query), NOW, standing)
        expected = {}
        for image in images:
            held = expected.setdefault((image.registry, image.repository), [0, 0, 0, 0, 0])
            held[0] += 1
            held[1] += image.state is ImageState.APPROVED
            held[2] += image.state is ImageState.CANDIDATE
            held[3] += image.gone_at is not None
            held[4] += bool(image.running)
        assert {
            (one.registry, one.name): [one.tags, one.approved, one.waiting, one.gone, one.running] for one in groups
        } == expected
        for one in groups:
            own = [image for image in images if (image.registry, image.repository) == (one.registry, one.name)]
            assert one.newest == own[0].tag
            assert set(one.types) == {image.type for image in own}
            assert one.changed_at == max(image.changed_at for image in own)
    largest = await find_repositories(database, parse("type:chat"), NOW, standing, sort="tags", descending=True)
    assert [one.tags for one in largest] == sorted((one.tags for one in largest), reverse=True)
    with pytest.raises(UsageError):
        await find_repositories(database, parse(""), NOW, standing, sort="colour")


async def test_only_some_digests_can_be_asked_for(database: Database) -> None:
    wanted = frozenset(image.digest for image in (await images_of(database))[:5])
    assert {image.digest for image in await images_of(database, standing=Standing(only=wanted))} == wanted
    assert await images_of(database, standing=Standing(only=frozenset())) == []
    groups = await find_repositories(database, parse(""), NOW, Standing(only=wanted))
    assert sum(one.tags for one in groups) == 5


async def test_what_runs_is_not_told_without_a_cluster(database: Database) -> None:
    with pytest.raises(UsageError, match="no cluster"):
        await images_of(database, "running:yes")
    assert {image.running for image in await images_of(database)} == {None}


# ------------------------------------------------------------ what is searched


async def test_labels_and_other_scripts_are_found(database: Database) -> None:
    assert len(await images_of(database, "gateway")) == len(await images_of(database, '"GRÖẞE" gateway')) == 1
    assert (await vocabulary(database))["framework"] == ("nim", "vllm")


async def test_a_tag_that_moves_or_is_corrected_is_found_as_what_it_is_now(database: Database) -> None:
    (before,) = await images_of(database, "registry:hub tag:1.0.0 repo:llama")
    image = record(900, type_="ocr", framework="triton", family="phi", size=1, about="reads invoices")
    async with database.transaction() as transaction:
        await write_images(transaction, [image], NOW)
        await write_observations(transaction, 1, [Observation("1.0.0", image.digest, NOW)], rule="other", run="run")
    assert [one.digest for one in await images_of(database, "invoices type:ocr moved:1d")] == [image.digest]
    assert before.name not in {one.name for one in await images_of(database, f"type:{before.type}")}
    async with database.transaction() as transaction:
        await transaction.execute("UPDATE image SET type = 'vision', size = 5 WHERE digest = ?", (image.digest,))
    assert [one.size for one in await images_of(database, "type:vision size:<6B")] == [5]
    async with database.transaction() as transaction:
        await transaction.execute("DELETE FROM tag WHERE digest = ?", (image.digest,))
    assert await images_of(database, "invoices") == []


async def test_a_registry_that_moves_is_found_by_its_new_host(database: Database) -> None:
    async with database.transaction() as transaction:
        await repository_id(transaction, registry="hub", host="mirror.example", name="team-0/llama-0b", at=NOW)
    assert len(await images_of(database, "mirror.example/team-0")) == 10


BEFORE = tuple(step for step in shipped() if step.number < 6)


async def test_a_library_of_before_the_search_is_found(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    database = await Database.open(path, clock=FixedClock(), migrations=BEFORE)
    async with database.transaction() as transaction:
        for statement in (
            "INSERT INTO content VALUES ('sha256:a', 'x', x'00', '2026-01-01T00:00:00.000000Z')",
            "INSERT INTO image VALUES ('sha256:a', 'x', '', NULL, 'image', 'nim', 'vllm', 'chat', 7, '[]', NULL, '')",
            "INSERT INTO classification VALUES ('sha256:a', 'type', 'chat', 'x', 1.0, 'ocr', 'seen', 'robin', '2026')",
            "INSERT INTO repository VALUES (1, 'ngc', 'nvcr.io', 'nim/old', '2026-01-01T00:00:00.000000Z', NULL)",
            "INSERT INTO image_seen VALUES (1, 'sha256:a', 'all', '2026-01-01T00:00:00.000000Z')",
            "INSERT INTO tag VALUES (1, 'V1.0', 'sha256:a', 'sha256:b', 'all', '1x!V1.0',"
            " '2026-01-01T00:00:00.000000Z', '2026-02-27T00:00:00.000000Z', NULL)",
            "INSERT INTO tag_event VALUES (1, 1, 'V1.0', 'moved', 'sha256:a', 'sha256:b',"
            " '2026-02-27T00:00:00.000000Z', 'run')",
        ):
            await transaction.execute(statement)
    await database.close()
    async with open_database(path) as database:
        (image,) = await images_of(database, "ngc/nim/old:v1.0 type:chat moved:7d")
        assert (image.digest, image.size, image.tag) == ("sha256:a", 7, "V1.0")
        kept = await database.fetch_all("SELECT set_value FROM classification")
        assert [row[0] for row in kept] == ["ocr"]
