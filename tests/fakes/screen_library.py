"""The library rooms of the screen tests' yard: images, rules, runs."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from backend.core.errors import NotFoundError
from backend.core.events import LibraryChanged, Topic
from backend.core.views import (
    ImageDetailView,
    ImageView,
    RuleClauseView,
    RuleView,
    SyncEntryView,
    SyncResultView,
    TagEventView,
)
from tests.fakes import screen_data as data

if TYPE_CHECKING:
    from tests.fakes.screen_yard import FakeYard


class FakeLibrary:
    """The library."""

    def __init__(self, yard: FakeYard) -> None:
        self._yard = yard

    async def images(self, query: str = "", approved: bool = False, at: datetime | None = None) -> list[ImageView]:
        self._yard.note("images", query, approved, at)
        return list(self._yard.image_views)

    async def image(self, reference: str) -> ImageDetailView:
        self._yard.note("image", reference)
        found = next((view for view in self._yard.image_views if view.reference == reference), None)
        if found is None:
            raise NotFoundError(f"image {reference}", "the library has no such image", "check the reference")
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
            classifications=(),
            referrers=(("signature", data.digest_of("signature")),),
            manifest='{\n  "schemaVersion": 2\n}',
        )

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


class FakeRules:
    """The rules."""

    def __init__(self, yard: FakeYard) -> None:
        self._yard = yard

    async def rules(self) -> list[RuleView]:
        return data.rules()

    async def preview(self, rule: str | None = None) -> list[RuleClauseView]:
        self._yard.note("preview", rule)
        return data.clauses()


class FakeRuns:
    """Runs of the synchroniser."""

    def __init__(self, yard: FakeYard) -> None:
        self._yard = yard

    async def synchronise(self, rule: str | None = None, dry_run: bool = False) -> SyncResultView:
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
