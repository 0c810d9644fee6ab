"""Reading the library: lists, references, details, corrections, history."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from backend.core.actors import WORKER, Actor, ActorSource
from backend.core.errors import DigestMismatchError, LimitExceededError, NotFoundError, StoreConstraintError, UsageError
from backend.core.permits import Permit
from backend.core.references import DigestPrefix, ImageReference, parse_reference
from backend.core.views import ImageState
from backend.library import catalogue, corrections
from backend.library import events as library_events
from backend.library.config import RuleConfig
from backend.library.fetching import Fetcher
from backend.library.search import Standing
from backend.library.sources import Setting
from backend.library.synchroniser import Synchroniser
from backend.store.connection import Database
from tests.fakes.library_listing import images_of
from tests.fakes.library_registry import FakeRegistry
from tests.fakes.store import FixedClock, open_database

HOST = "127.0.0.1:5000"
ROBIN = Actor(name="robin", source=ActorSource.OPERATING_SYSTEM)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with open_database(tmp_path / "modelyard.db") as database:
        yield database


@pytest.fixture
def registry() -> FakeRegistry:
    return FakeRegistry()


CLOCK = FixedClock()


async def sync(database: Database, registry: FakeRegistry, name: str = "local", rule: str = "all") -> None:
    CLOCK.advance(minutes=1)
    setting = Setting(
        database=database, source=registry, registry=name, host=HOST if name == "local" else name, clock=CLOCK,
        actor=WORKER,
    )  # fmt: skip
    await Synchroniser(setting).run(RuleConfig(name=rule, registry=name), run=f"run{CLOCK.now()}")


async def test_the_list_is_in_order_of_name_and_version(database: Database, registry: FakeRegistry) -> None:
    for tag in ("1.9.0", "1.10.0", "latest", "1.10.0-rc1", "1.10.0-rtx"):
        registry.push("b", tag)
    registry.push("a", "1")
    await sync(database, registry)
    found = [f"{image.repository}:{image.tag}" for image in await images_of(database)]
    assert found == ["a:1", "b:1.10.0", "b:1.10.0-rtx", "b:1.10.0-rc1", "b:1.9.0", "b:latest"]
    assert await library_events.count(database) == (6, 6)
    page = await images_of(database, limit=2, offset=1)
    assert [image.tag for image in page] == ["1.10.0", "1.10.0-rtx"]


async def test_the_newest_change_comes_first_when_asked_for(database: Database, registry: FakeRegistry) -> None:
    registry.push("a", "1")
    await sync(database, registry)
    registry.push("b", "1")
    await sync(database, registry)
    assert [image.repository for image in await images_of(database, sort="changed", descending=True)] == ["b", "a"]


async def test_every_word_of_a_filter_has_to_occur(database: Database, registry: FakeRegistry) -> None:
    digest = registry.push("nim/meta/llama", "1.3.0", config={"Labels": {"com.nvidia.nim.type": "llm"}})
    registry.push("vllm/vllm-openai", "v0.27.1", config={"Entrypoint": ["vllm"]})
    await sync(database, registry)

    async def found(query: str) -> list[str]:
        return [image.repository for image in await images_of(database, query)]

    assert await found("LLAMA 1.3") == await found("nim chat") == await found(digest[7:19]) == ["nim/meta/llama"]
    assert await found("llama vllm") == await found("%") == await found("' OR 1") == []
    assert len(await found("127.0.0.1:5000/")) == 2


async def test_states_come_from_curation(database: Database, registry: FakeRegistry) -> None:
    approved, other = registry.push("a", "1"), registry.push("a", "2")
    await sync(database, registry)
    found = await images_of(database, standing=Standing(states={approved: ImageState.APPROVED}))
    assert {image.digest: image.state for image in found} == {
        approved: ImageState.APPROVED, other: ImageState.CANDIDATE,
    }  # fmt: skip


async def test_an_image_is_found_by_every_form_of_reference(database: Database, registry: FakeRegistry) -> None:
    digest = registry.push("nim/llama", "1.0")
    await sync(database, registry)
    for text in (
        "local/nim/llama:1.0", f"{HOST}/nim/llama:1.0", f"local/nim/llama@{digest}", f"local/nim/llama:1.0@{digest}",
        digest, digest[7:19], digest[:19],
    ):  # fmt: skip
        image = await catalogue.find(database, parse_reference(text))
        assert (image.digest, image.name, image.reference) == (
            digest, "local/nim/llama:1.0", f"{HOST}/nim/llama@{digest}",
        )  # fmt: skip


@pytest.mark.parametrize("text", ["local/nim/llama:2.0", "other/nim/llama:1.0", "local/nim:1.0", "0" * 12])
async def test_what_is_not_there_is_told(database: Database, registry: FakeRegistry, text: str) -> None:
    registry.push("nim/llama", "1.0")
    await sync(database, registry)
    with pytest.raises(NotFoundError):
        await catalogue.find(database, parse_reference(text))


async def test_a_digest_in_two_places_is_ambiguous(database: Database, registry: FakeRegistry) -> None:
    digest = registry.push("a", "1.0")
    registry.push("b", "1.0", digest)
    await sync(database, registry)
    with pytest.raises(UsageError, match="2 images"):
        await catalogue.find(database, DigestPrefix(digest[7:30]))
    assert (await catalogue.find(database, ImageReference("local", "b", digest=digest))).repository == "b"


async def test_a_digest_that_no_tag_names_any_more_is_found(database: Database, registry: FakeRegistry) -> None:
    old = registry.push("a", "1.0")
    await sync(database, registry)
    new = registry.push("a", "1.0", config={"Labels": {"x": "y"}})
    await sync(database, registry)
    for reference in (DigestPrefix(old[7:25]), ImageReference("local", "a", digest=old)):
        image = await catalogue.find(database, reference)
        assert (image.digest, image.tag, image.gone_at is not None) == (old, "1.0", True)
        assert await catalogue.tags_of(database, image) == ()
    assert (await catalogue.find(database, ImageReference("local", "a", tag="1.0"))).digest == new
    with pytest.raises(NotFoundError):
        await catalogue.find(database, ImageReference("local", "a", tag="1.0", digest=old))


async def test_the_detail_tells_what_the_image_says_and_hides_secrets(
    database: Database, registry: FakeRegistry
) -> None:
    registry.push(
        "nim/llama", "1.0", created="2026-01-02T03:04:05Z",
        config={"Labels": {"com.nvidia.nim.type": "llm"}, "Env": ["PATH=/bin", "HF_TOKEN=hf_x"], "Cmd": ["serve"]},
    )  # fmt: skip
    await sync(database, registry)
    image = await catalogue.find(database, ImageReference("local", "nim/llama", tag="1.0"))
    detail = await catalogue.detail(database, image)
    assert detail.environment == ("PATH=/bin", "HF_TOKEN=(hidden)")
    assert detail.entrypoint == ("serve",) and detail.tags == ("1.0",) and '"schemaVersion"' in detail.manifest
    assert [view.name for view in detail.classifications] == ["kind", "framework", "engine", "type", "family"]
    assert image.created_at is not None and image.created_at.year == 2026
    facts = await catalogue.facts_of(database, image)
    assert (facts.rules, facts.framework, facts.labels) == (("all",), "nim", {"com.nvidia.nim.type": "llm"})


async def correct(database: Database, reference: str, name: str, value: str, reason: str = "model card") -> None:
    image = await catalogue.find(database, parse_reference(reference))
    permit = Permit(mutation="library.correct", object=image.reference, actor=ROBIN)
    async with database.transaction() as transaction:
        await corrections.correct(
            transaction, permit, image, name=name, value=corrections.checked_value(name, value), reason=reason,
            at=CLOCK.now(),
        )  # fmt: skip


async def test_a_persons_correction_counts_and_stays(database: Database, registry: FakeRegistry) -> None:
    digest = registry.push("x", "1.0")
    await sync(database, registry)
    await correct(database, digest, "type", " Embedding")
    await correct(database, digest, "family", "bert")
    # Found again in another place, by another rule, and described again by a newer program.
    registry.push("y", "1.0", digest)
    async with database.transaction() as transaction:
        await transaction.execute("UPDATE image SET described = 0")
    await sync(database, registry, rule="other")
    for image in await images_of(database, "type:embedding family:bert"):
        assert (image.type, image.family, image.digest) == ("embedding", "bert", digest)
    entries = {entry.name: entry for entry in await catalogue.classifications_of(database, digest)}
    assert entries["type"].set_by == "robin" and entries["type"].evidence == "model card"
    assert [name for name, entry in entries.items() if entry.set_by] == ["type", "family"]


async def test_a_correction_is_taken_back_by_an_empty_value(database: Database, registry: FakeRegistry) -> None:
    digest = registry.push("nim/llama-chat", "1.0")
    await sync(database, registry)
    before = (await images_of(database))[0]
    with pytest.raises(UsageError, match="nobody corrected it"):
        await correct(database, digest, "precision", "")
    for name, value in (("type", "ocr"), ("precision", "fp8"), ("framework", "nim")):
        await correct(database, digest, name, value)
    assert len(await images_of(database, "type:ocr precision:fp8 framework:nim")) == 1
    for name in ("type", "precision", "framework"):
        await correct(database, digest, name, "")
    assert (await images_of(database)) == [before]
    ledger = await database.fetch_all("SELECT detail FROM ledger WHERE action = 'library.correct' ORDER BY seq")
    assert len(ledger) == 6 and '"ocr"' in ledger[0]["detail"] and "model card" in ledger[0]["detail"]


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("colour", "red", "no property"), ("type", "painting", "is no type"), ("kind", "x", "is no kind"),
        ("family", "x" * 101, "longer than"), ("engine", "a\x1b[31mb", "cannot be printed"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_correction_is_refused(name: str, value: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        corrections.checked_value(name, value)


async def test_a_correction_needs_a_reason(database: Database, registry: FakeRegistry) -> None:
    digest = registry.push("x", "1.0")
    await sync(database, registry)
    with pytest.raises(UsageError, match="reason"):
        await correct(database, digest, "type", "chat", reason="  ")


async def test_history_is_of_a_tag_or_of_a_digest(database: Database, registry: FakeRegistry) -> None:
    old = registry.push("a", "1.0")
    await sync(database, registry)
    new = registry.push("a", "1.0", config={"Labels": {"x": "y"}})
    registry.push("a", "also", old)
    await sync(database, registry)
    of_tag = await catalogue.history(database, ImageReference("local", "a", tag="1.0"))
    assert [(event.change, event.digest, event.previous_digest) for event in of_tag] == [
        ("moved", new, old), ("new", old, None),
    ]  # fmt: skip
    of_digest = await catalogue.history(database, DigestPrefix(old[7:30]))
    assert {(event.tag, event.change) for event in of_digest} == {("1.0", "new"), ("1.0", "moved"), ("also", "new")}
    with pytest.raises(NotFoundError):
        await catalogue.history(database, ImageReference("local", "a", tag="9"))


async def test_one_repository_name_in_two_registries_is_two(database: Database, registry: FakeRegistry) -> None:
    registry.push("a", "1.0")
    await sync(database, registry)
    await sync(database, registry, name="mirror.example")
    assert [image.host for image in await images_of(database)] == [HOST, "mirror.example"]


async def test_content_is_held_to_its_digest(database: Database, registry: FakeRegistry) -> None:
    digest = registry.push("a", "1.0")
    await sync(database, registry)
    with pytest.raises(StoreConstraintError):
        async with database.transaction() as transaction:
            await transaction.execute("UPDATE content SET data = x'00'")
    async with database.transaction() as transaction:
        await transaction.execute("DROP TRIGGER content_never_changes")
        await transaction.execute("UPDATE content SET data = CAST('{}' AS BLOB) WHERE digest = ?", (digest,))
    with pytest.raises(DigestMismatchError):
        await catalogue.manifest_of(database, digest)


async def test_an_index_of_too_many_images_is_refused(database: Database, registry: FakeRegistry) -> None:
    children = [(f"linux/a{number}", registry.image(size=number)) for number in range(65)]
    index = registry.index(*children)
    fetcher = Fetcher(registry, database, "local")
    with pytest.raises(LimitExceededError, match="65 images"):
        await fetcher.image("a", index, tags=(), platforms=None)
    records = await fetcher.image("a", index, tags=(), platforms=["linux/a3"])
    assert len(records) == 2 and records[-1].size == records[0].size
