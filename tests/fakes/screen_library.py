"""The library rooms of the screen tests' yard: images, rules, runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING

import msgspec

from backend.core.errors import ConflictError, NotFoundError
from backend.core.events import LibraryChanged, RulesChanged, Topic
from backend.core.views import (
    ClassificationView,
    CompletionView,
    ImageDetailView,
    ImagePageView,
    ImageState,
    ImageView,
    JournalEntryView,
    LineageView,
    ParentView,
    PlatformView,
    PrunedView,
    PruneView,
    RepositoryView,
    RulePreviewView,
    RuleTextView,
    RuleView,
    RunView,
    SyncEntryView,
    SyncResultView,
    TagEventView,
)
from tests.fakes import screen_data as data

if TYPE_CHECKING:
    from tests.fakes.screen_yard import FakeYard

_KEYS: dict[str, Callable[[ImageView], str]] = {
    "type": lambda image: image.type,
    "framework": lambda image: image.framework,
    "registry": lambda image: image.registry,
    "repo": lambda image: image.repository,
    "state": lambda image: image.state.value,
    "approved": lambda image: "yes" if image.state is ImageState.APPROVED else "no",
    "gone": lambda image: "yes" if image.gone_at is not None else "no",
}
_ORDER: dict[str, Callable[[ImageView], object]] = {
    "name": lambda image: (image.registry, image.repository, image.tag),
    "changed": lambda image: image.changed_at,
    "created": lambda image: image.created_at or data.NOW,
    "size": lambda image: image.size or 0,
    "state": lambda image: image.state.value,
    "type": lambda image: image.type,
    "framework": lambda image: image.framework,
    "version": lambda image: image.tag,
}


class ManyImages(Sequence[ImageView]):
    """So many images that they are made as they are asked for, 100 a repository, in the order of their names."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._template = data.images(1)[0]

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index):  # type: ignore[no-untyped-def]
        if isinstance(index, slice):
            return [self._at(position) for position in range(*index.indices(self._count))]
        return self._at(index)

    def _at(self, index: int) -> ImageView:
        repository, tag = divmod(index, 100)
        return msgspec.structs.replace(
            self._template,
            repository=f"bulk/model-{repository:05d}",
            tag=f"1.{tag:02d}.0",
            digest=f"sha256:{index:064x}",
            state=ImageState.CANDIDATE,
        )

    def repositories(self) -> list[RepositoryView]:
        """Their repositories."""
        return [_repository(self[at : at + 1], tags=min(100, self._count - at)) for at in range(0, self._count, 100)]


class FakeLibrary:
    """The library. It understands words, and the terms that the tests use."""

    def __init__(self, yard: FakeYard) -> None:
        self._yard = yard
        # When set, a search waits for it: an answer that comes late.
        self.slow: asyncio.Event | None = None

    async def search(
        self,
        query: str = "",
        *,
        sort: str = "name",
        descending: bool = False,
        offset: int = 0,
        limit: int = 200,
        approved: bool = False,
        at: datetime | None = None,
    ) -> ImagePageView:
        self._yard.note("search", query, sort, descending, offset, limit)
        if self.slow is not None:
            await self.slow.wait()
        if problem := _problem(query):
            return ImagePageView(images=(), offset=0, total=0, problem=problem)
        found = self._found(query, sort, descending)
        return ImagePageView(images=tuple(found[offset : offset + limit]), offset=offset, total=len(found))

    async def repositories(
        self, query: str = "", *, sort: str = "name", descending: bool = False
    ) -> list[RepositoryView]:
        self._yard.note("repositories", query, sort, descending)
        images = self._yard.image_views
        if isinstance(images, ManyImages) and not query.strip():
            return images.repositories()
        return repositories_of(self._found(query, "name", False))

    def completions(self, text: str, cursor: int) -> tuple[CompletionView, ...]:
        start = text.rfind(" ", 0, cursor) + 1
        key, colon, _ = text[start:cursor].partition(":")
        choices = [f"{key}:{each} " for each in ("chat", "embedding")] if colon else [f"{each}:" for each in _KEYS]
        return tuple(
            CompletionView(start=start, end=cursor, text=each)
            for each in choices
            if each.startswith(text[start:cursor]) and text[start:cursor]
        )

    async def image(self, reference: str) -> ImageDetailView:
        self._yard.note("image", reference)
        found = next((view for view in self._yard.image_views if reference in {view.reference, view.name}), None)
        if found is None:
            raise NotFoundError(f"image {reference}", "the library has no such image", "check the reference")
        return _detail(found)

    async def history(self, reference: str) -> list[TagEventView]:
        self._yard.note("history", reference)
        return [
            TagEventView(
                registry="ngc",
                repository="nim/meta/llama",
                tag="1.3",
                change="moved",
                digest=data.digest_of("new"),
                previous_digest=data.digest_of("old"),
                at=data.ago(minutes=31),
                run="run1",
            )
        ]

    async def correct(self, reference: str, *, name: str, value: str, reason: str) -> ImageDetailView:
        self._yard.note("correct", reference, name, value, reason)
        changed = [
            msgspec.structs.replace(view, type=value) if view.reference == reference else view
            for view in self._yard.image_views
        ]
        self._yard.image_views = changed
        self._yard.publish(Topic.LIBRARY, LibraryChanged())
        return await self.image(reference)

    async def name_parent(
        self, reference: str, *, parent: str, relation: str, note: str = "", remove: bool = False
    ) -> ImageDetailView:
        self._yard.note("name_parent", reference, parent, relation, note, remove)
        return await self.image(reference)

    async def prune(self, older_than: timedelta, dry_run: bool = False) -> PruneView:
        self._yard.note("prune", older_than.days, dry_run)
        old = PrunedView(
            registry="ngc",
            host="nvcr.io",
            repository="nim/old/falcon",
            tag="0.8",
            digest=data.digest_of("falcon"),
            unnamed_since=data.ago(days=400),
            bytes=9_000,
            reason="no tag names it",
        )
        kept = msgspec.structs.replace(old, tag="0.7", reason="it is approved")
        return PruneView(dry_run=dry_run, before=data.NOW - older_than, removed=(old,), kept=(kept,), bytes=9_000)

    def _found(self, query: str, sort: str, descending: bool) -> Sequence[ImageView]:
        images = self._yard.image_views
        if isinstance(images, ManyImages) and not query.strip():
            return images
        kept = [image for image in images if all(_holds(image, term) for term in query.split())]
        return sorted(kept, key=_ORDER[sort], reverse=descending)  # type: ignore[arg-type]


def repositories_of(images: Iterable[ImageView]) -> list[RepositoryView]:
    """The repositories of images that are sorted by name."""
    grouped = groupby(images, key=lambda image: (image.registry, image.repository))
    return [_repository(list(inside)) for _, inside in grouped]


def _problem(query: str) -> str:
    unknown = [key for key, colon, _ in (term.lstrip("-").partition(":") for term in query.split()) if colon]
    return next((f"{key}: is no key; write type: or state:" for key in unknown if key not in _KEYS), "")


def _holds(image: ImageView, term: str) -> bool:
    negated = term.startswith("-")
    key, colon, value = term.removeprefix("-").partition(":")
    held = value in _KEYS[key](image) if colon else key in f"{image.name} {image.digest}"
    return held != negated


def _repository(images: Sequence[ImageView], tags: int | None = None) -> RepositoryView:
    first = images[0]
    return RepositoryView(
        registry=first.registry,
        host=first.host,
        name=first.repository,
        tags=tags or len(images),
        approved=sum(image.state is ImageState.APPROVED for image in images),
        waiting=sum(image.state is ImageState.CANDIDATE for image in images),
        gone=sum(image.gone_at is not None for image in images),
        running=None,
        newest=images[0].tag,
        changed_at=max(image.changed_at for image in images),
        types=tuple(sorted({image.type for image in images})),
        frameworks=tuple(sorted({image.framework for image in images})),
    )


def _detail(found: ImageView) -> ImageDetailView:
    found_to_be = ClassificationView(
        name="type", value=found.type, evidence="NIM_TYPE of its environment", confidence=0.9
    )
    return ImageDetailView(
        image=found,
        tags=(found.tag, "latest"),
        media_type="application/vnd.oci.image.index.v1+json",
        artifact_type="",
        labels={"org.opencontainers.image.licenses": "Apache-2.0", "hostile": data.HOSTILE},
        annotations={},
        environment=("NIM_MODEL=llama", f"X={data.HOSTILE}"),
        entrypoint=("/opt/nim/start.sh",),
        layers=(("application/vnd.oci.image.layer.v1.tar+gzip", data.digest_of("layer"), 812 * 1024**2),),
        classifications=(found_to_be,),
        referrers=(("signature", data.digest_of("signature")),),
        manifest='{\n  "schemaVersion": 2\n}',
        platforms=(PlatformView(platform="linux/amd64", digest=data.digest_of("amd64"), size=812 * 1024**2),),
        card=f"# Llama\n\nMade for {data.HOSTILE}\n- careful",
        lineage=LineageView(
            rules=(("nim-llama", "run1", data.ago(days=3)),),
            base_name="nvcr.io/nvidia/cuda:12.8",
            predecessor="nvcr.io/nim/meta/llama:1.2",
            parents=(
                ParentView(
                    reference="hf://meta-llama/Llama-3.1-8B",
                    relation="fine-tuned",
                    note="by us",
                    named_by="mira",
                    at=data.ago(days=1),
                ),
            ),
            running=("prod-eu1/llm-prod/llama-8b",),
        ),
    )


class FakeRules:
    """The rules, and their file: what is written is remembered."""

    def __init__(self, yard: FakeYard) -> None:
        self._yard = yard
        self.views = [] if yard.empty else data.rules()
        self.problem = ""
        self.unwritable = ""
        self.texts = {view.name: _rule_text(view.name) for view in self.views}
        self.hash = "sha256:1"

    async def rules(self) -> list[RuleView]:
        self._yard.note("rules")
        return list(self.views)

    async def preview(
        self, rule: str | None = None, *, draft: str | None = None, at: datetime | None = None
    ) -> list[RulePreviewView]:
        self._yard.note("preview", rule, draft, at)
        return [
            RulePreviewView(
                rule=rule or "nim-llama",
                at=at,
                draft=draft is not None,
                clauses=tuple(data.clauses()),
                added=("ngc/nim/meta/llama-3.1-8b:1.3.0",) if draft is not None else (),
                removed=("ngc/nim/meta/llama-3.1-8b:1.2.9",) if draft is not None else (),
                notes=("a run asks first",),
            )
        ]

    async def text(self, rule: str) -> RuleTextView:
        self._yard.note("text", rule)
        told = self.texts[rule] if rule else _rule_text("new-rule")
        return RuleTextView(
            rule=rule, text=told, path="/etc/modelyard/config.toml", hash=self.hash, writable=self.unwritable
        )

    async def check(self, text: str) -> str:
        self._yard.note("check", text)
        return "line 2: unknown key; correct it" if "wrong" in text else ""

    async def save(self, text: str, *, replaces: str | None, file_hash: str) -> RuleView:
        self._yard.note("save", text, replaces, file_hash)
        self._same_file(file_hash)
        view = msgspec.structs.replace(data.rules()[0], name=replaces or "new-rule", author="robin")
        self.views = [view if one.name == replaces else one for one in self.views]
        self.views += [] if replaces else [view]
        self.texts[view.name] = text
        self._told()
        return view

    async def switch(self, rule: str, enabled: bool, *, file_hash: str) -> RuleView:
        self._yard.note("switch", rule, enabled, file_hash)
        self._same_file(file_hash)
        self.views = [msgspec.structs.replace(one, enabled=enabled) if one.name == rule else one for one in self.views]
        self._told()
        return next(one for one in self.views if one.name == rule)

    async def remove(self, rule: str, *, file_hash: str) -> None:
        self._yard.note("remove", rule, file_hash)
        self._same_file(file_hash)
        self.views = [one for one in self.views if one.name != rule]
        self._told()

    def _same_file(self, file_hash: str) -> None:
        if file_hash != self.hash:
            raise ConflictError("config.toml", "the file was changed since it was read", "open it again")

    def _told(self) -> None:
        self.hash += "1"
        self._yard.publish(Topic.LIBRARY, RulesChanged(key="rules"))


def _rule_text(name: str) -> str:
    return f'# For the chat models.\n[[rule]]\nname = "{name}"\nregistry = "ngc"\nrepositories = ["nim/meta/*"]\n'


class FakeRuns:
    """Runs of the synchroniser: two that ended, the newer with failures."""

    def __init__(self, yard: FakeYard) -> None:
        self._yard = yard
        self.run_views = [] if not yard.image_views else [_run("run1", 4, failed=3), _run("run0", 260)]

    async def synchronise(
        self, rule: str | None = None, dry_run: bool = False, allow_many: bool = False, evaluate: bool = True
    ) -> SyncResultView:
        self._yard.note("synchronise", rule, dry_run)
        entry = SyncEntryView(registry="ngc", repository="nim/meta/new", tag="1.0", digest=data.digest_of("new"))
        self._yard.publish(Topic.LIBRARY, LibraryChanged())
        return SyncResultView(
            run="run2",
            dry_run=dry_run,
            new=(entry,),
            moved=(),
            gone=(),
            failed=(),
            unchanged=411,
            skipped=0,
            requests=418,
            bytes=90_000,
            seconds=2.4,
        )

    async def runs(self, limit: int = 50) -> list[RunView]:
        self._yard.note("runs", limit)
        return self.run_views[:limit]

    async def run(self, run: str) -> RunView:
        self._yard.note("run", run)
        found = next((view for view in self.run_views if view.run == run), None)
        if found is None:
            raise NotFoundError(f"run {run}", "no such run is kept", "look at the list")
        return msgspec.structs.replace(found, journal=_journal())

    async def cancel(self, run: str) -> None:
        self._yard.note("cancel", run)


def _run(run: str, minutes: int, failed: int = 0) -> RunView:
    return RunView(
        run=run,
        rules=("nim-llama",),
        actor="modelyard-worker",
        started_at=data.ago(minutes=minutes),
        finished_at=data.ago(minutes=minutes) + timedelta(seconds=42),
        outcome="partial" if failed else "done",
        reason="",
        new=3,
        moved=1,
        gone=0,
        unchanged=408,
        skipped=2,
        failed=failed,
        requests=430,
        bytes=1_900_000,
    )


def _journal() -> tuple[JournalEntryView, ...]:
    well = JournalEntryView(
        registry="ngc",
        repository="nim/meta/llama-3.1-8b",
        rule="nim-llama",
        state="done",
        seen=40,
        new=3,
        moved=1,
        gone=0,
        unchanged=36,
        skipped=0,
        failed=0,
        requests=44,
        bytes=90_000,
        seconds=1.5,
    )
    ill = msgspec.structs.replace(
        well,
        repository="evil/repo",
        state="partial",
        new=0,
        failed=3,
        reasons=(("1.0", "its manifest has another digest"), ("1.1", data.HOSTILE), ("", "429 for an hour")),
    )
    return well, ill
