"""Parents, lineage, and what retention removes and keeps."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from backend.audit.verification import verify
from backend.core.actors import WORKER, Actor, ActorSource
from backend.core.errors import NotFoundError, UsageError
from backend.core.permits import Permit
from backend.core.references import ImageReference
from backend.core.views import ImageView, PruneView
from backend.library import catalogue, corrections, retention
from backend.library import events as library_events
from backend.library.config import RuleConfig
from backend.library.sources import Setting
from backend.library.synchroniser import Synchroniser
from backend.store.connection import Database
from tests.fakes.library_listing import images_of
from tests.fakes.library_registry import FakeRegistry
from tests.fakes.store import FixedClock, open_database

HOST = "127.0.0.1:5000"
ROBIN = Actor(name="robin", source=ActorSource.OPERATING_SYSTEM)
ALL = RuleConfig(name="all", registry="local")


class Library:
    """A library and the registry that it is synchronised from."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.registry = FakeRegistry()
        self.clock = FixedClock()

    async def sync(self, *, rule: RuleConfig = ALL, days: float = 0) -> None:
        self.clock.advance(minutes=1, days=days)
        setting = Setting(
            database=self.database, source=self.registry, registry="local", host=HOST, clock=self.clock, actor=WORKER
        )
        await Synchroniser(setting).run(rule, run=f"run{self.clock.now()}")

    async def image(self, repository: str, tag: str) -> ImageView:
        return await catalogue.find(self.database, ImageReference("local", repository, tag=tag))

    async def name(self, image: ImageView, parent: str, digest: str | None = None, relation: str = "distilled") -> None:
        permit = Permit(mutation="library.parent", object=image.reference, actor=ROBIN)
        async with self.database.transaction() as transaction:
            await corrections.name_parent(
                transaction, permit, image, parent=parent, parent_digest=digest, relation=relation, note="as told",
                at=self.clock.now(),
            )  # fmt: skip

    async def prune(self, days: float = 90, needed: dict[str, str] | None = None) -> PruneView:
        permit = Permit(mutation="library.prune", object="old ones", actor=ROBIN)
        before = self.clock.now() - timedelta(days=days)
        async with self.database.transaction() as transaction:
            planned = await retention.plan(transaction, before, needed or {}, dry_run=False)
            await retention.remove(transaction, permit, planned, self.clock.now())
        assert await self.database.fetch_all("PRAGMA foreign_key_check") == []
        assert (await verify(self.database)).intact
        return planned


@pytest.fixture
async def library(tmp_path: Path) -> AsyncIterator[Library]:
    async with open_database(tmp_path / "modelyard.db") as database:
        yield Library(database)


# ------------------------------------------------------------ parents and lineage


async def test_parents_are_named_replaced_and_taken_back(library: Library) -> None:
    base, tuned = library.registry.push("llama", "1"), library.registry.push("llama-tuned", "1")
    await library.sync()
    image, parent = await library.image("llama-tuned", "1"), await library.image("llama", "1")
    await library.name(image, parent.reference, base)
    await library.name(image, parent.reference, base, relation="fine-tuned")
    await library.name(image, "hf.co/meta/llama")
    lineage = (await catalogue.detail(library.database, image)).lineage
    assert [(one.reference, one.relation, one.named_by) for one in lineage.parents] == [
        (parent.reference, "fine-tuned", "robin"), ("hf.co/meta/llama", "distilled", "robin"),
    ]  # fmt: skip
    assert (await catalogue.detail(library.database, parent)).lineage.children == (f"{HOST}/llama-tuned@{tuned}",)
    permit = Permit(mutation="library.parent", object=image.reference, actor=ROBIN)
    async with library.database.transaction() as transaction:
        at = library.clock.now()
        await corrections.remove_parent(transaction, permit, image, parent="hf.co/meta/llama", at=at)
    again = Permit(mutation="library.parent", object=image.reference, actor=ROBIN)
    with pytest.raises(NotFoundError):
        async with library.database.transaction() as transaction:
            await corrections.remove_parent(transaction, again, image, parent="hf.co/meta/llama", at=at)
    told = await library.database.fetch_all("SELECT 1 FROM ledger WHERE action = 'library.parent'")
    assert len(told) == 4


async def test_an_image_does_not_come_from_itself(library: Library) -> None:
    digests = [library.registry.push("chain", str(number)) for number in range(3)]
    await library.sync()
    images = [await library.image("chain", str(number)) for number in range(3)]
    await library.name(images[1], images[0].reference, digests[0])
    await library.name(images[2], images[1].reference, digests[1])
    for parent in range(3):
        with pytest.raises(UsageError, match="itself"):
            await library.name(images[0], images[parent].reference, digests[parent])
    with pytest.raises(UsageError, match="relation"):
        await library.name(images[0], "x", relation="inspired")
    with pytest.raises(UsageError, match="empty"):
        await library.name(images[0], "  ")


async def test_lineage_tells_rule_run_base_and_the_versions_around(library: Library) -> None:
    config = {"Labels": {"org.opencontainers.image.base.name": "ubuntu:24.04"}}
    for tag in ("1.0.0", "1.1.0", "1.1.0-rtx", "1.2.0", "1.2.0-rtx", "latest"):
        library.registry.push("nim", tag, config={"Labels": {**config["Labels"], "tag": tag}})
    await library.sync()
    at = library.clock.now()
    found = await library.image("nim", "1.1.0")
    lineage = (await catalogue.detail(library.database, found, {found.digest: ("prod/llm/chat",)})).lineage
    assert lineage.rules == (("all", f"run{at}", at),)
    assert lineage.base_name == "ubuntu:24.04" and lineage.running == ("prod/llm/chat",)
    assert lineage.predecessor.startswith(f"{HOST}/nim:1.0.0@sha256:")
    assert lineage.successor.startswith(f"{HOST}/nim:1.2.0@sha256:")
    variant = (await catalogue.detail(library.database, await library.image("nim", "1.1.0-rtx"))).lineage
    assert variant.successor.startswith(f"{HOST}/nim:1.2.0-rtx@") and variant.running is None
    unversioned = (await catalogue.detail(library.database, await library.image("nim", "latest"))).lineage
    assert (unversioned.predecessor, unversioned.successor) == ("", "")


# ------------------------------------------------------------ retention


async def test_what_no_tag_names_for_long_goes_and_its_history_stays(library: Library) -> None:
    old, gone = library.registry.push("a", "1"), library.registry.push("a", "2")
    await library.sync()
    kept = library.registry.push("a", "1", config={"Labels": {"x": "y"}})
    del library.registry.repositories["a"]["2"]
    await library.sync(days=1)
    assert (await library.prune()).removed == ()
    library.clock.advance(days=91)
    planned = await library.prune()
    assert {(view.digest, view.tag) for view in planned.removed} == {(old, "1"), (gone, "2")} and not planned.kept
    assert planned.bytes > 0
    assert [image.digest for image in await images_of(library.database)] == [kept]
    stored = {row[0] for row in await library.database.fetch_all("SELECT digest FROM content")}
    assert kept in stored and not stored & {old, gone} and len(stored) == 2
    events = await library_events.recent_events(library.database)
    assert [(event.tag, event.change) for event in events].count(("2", "gone")) == 1
    ledger = await library.database.fetch_all("SELECT object, detail FROM ledger WHERE action = 'library.prune'")
    assert [row["object"] for row in ledger] == [f"{HOST}/a"] and old in ledger[0]["detail"]
    # What went comes back when a tag names it again.
    library.registry.push("a", "3", old)
    await library.sync()
    assert (await library.image("a", "3")).digest == old


async def test_what_is_needed_stays_by_any_of_its_digests(library: Library) -> None:
    registry = library.registry
    amd, arm = registry.image(size=10), registry.image(size=20, architecture="arm64")
    index = registry.index(("linux/amd64", amd), ("linux/arm64", arm))
    registry.push("index", "1", index)
    single = registry.push("single", "1")
    parent, tuned = registry.push("parent", "1"), registry.push("tuned", "1")
    lost = registry.push("lost", "1")
    await library.sync()
    await library.name(await library.image("tuned", "1"), "the parent", parent)
    for repository in ("index", "single", "parent", "lost"):
        registry.repositories[repository].clear()
    await library.sync()
    library.clock.advance(days=91)
    config = (await library.database.fetch_all("SELECT config_digest FROM image WHERE digest = ?", (single,)))[0][0]
    planned = await library.prune(needed={arm: "llm/chat uses it", config: "a snapshot names it"})
    assert {view.digest: view.reason for view in planned.kept} == {
        index: "llm/chat uses it", single: "a snapshot names it", parent: retention.NAMED_AS_PARENT,
    }  # fmt: skip
    assert [view.digest for view in planned.removed] == [lost]
    assert {row[0] for row in await library.database.fetch_all("SELECT digest FROM image")} == {
        index, amd, arm, single, parent, tuned,
    }  # fmt: skip


async def test_the_images_of_an_index_go_with_it_unless_something_else_holds_them(library: Library) -> None:
    registry = library.registry
    alone, shared, tagged = (registry.image(size=size) for size in (10, 20, 30))
    went = registry.index(("linux/amd64", alone), ("linux/arm64", shared), ("linux/s390x", tagged))
    stays = registry.index(("linux/arm64", shared))
    registry.push("a", "1", went)
    registry.push("a", "2", stays)
    registry.push("a", "3", tagged)
    await library.sync()
    del registry.repositories["a"]["1"]
    await library.sync()
    library.clock.advance(days=91)
    assert [view.digest for view in (await library.prune()).removed] == [went]
    assert {row[0] for row in await library.database.fetch_all("SELECT digest FROM image")} == {stays, shared, tagged}
    await library.sync()


async def test_a_digest_that_another_repository_names_stays(library: Library) -> None:
    digest = library.registry.push("a", "1")
    library.registry.push("b", "1", digest)
    await library.sync()
    library.registry.repositories["a"].clear()
    await library.sync()
    library.clock.advance(days=91)
    planned = await library.prune()
    assert (planned.removed, planned.kept) == ((), ())
    library.registry.repositories["b"].clear()
    await library.sync()
    library.clock.advance(days=89)
    assert (await library.prune()).removed == ()
    library.clock.advance(days=2)
    assert [(view.repository, view.digest) for view in (await library.prune()).removed] == [
        ("a", digest),
        ("b", digest),
    ]


async def test_a_rule_says_that_images_are_modelcars(library: Library) -> None:
    amd, arm = library.registry.image(size=10), library.registry.image(size=20, architecture="arm64")
    library.registry.push("cars", "1", library.registry.index(("linux/amd64", amd), ("linux/arm64", arm)))
    library.registry.push("cars", "2", config={"Entrypoint": ["vllm", "serve"]})
    library.registry.push("cars", "3", config_type="application/vnd.docker.ai.model.config.v0.1+json")
    await library.sync(rule=RuleConfig(name="cars", registry="local", kind="modelcar", platforms=("linux/amd64",)))
    found = {image.tag: (image.kind, image.framework) for image in await images_of(library.database)}
    assert found == {"1": ("modelcar", "unknown"), "2": ("modelcar", "unknown"), "3": ("docker-model", "unknown")}
    (kind, *_) = await catalogue.classifications_of(library.database, (await library.image("cars", "2")).digest)
    assert (kind.value, kind.evidence) == ("modelcar", "rule cars says so")
    # An index that is called so is an index still: another rule takes another platform of it.
    library.registry.push("cars", "4", library.registry.repositories["cars"]["1"])
    await library.sync(rule=RuleConfig(name="arms", registry="local", platforms=("linux/arm64",)))
    assert await library.database.fetch_one("SELECT 1 FROM image WHERE digest = ?", (arm,)) is not None
