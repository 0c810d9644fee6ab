"""The library as commands and screen know it."""

from __future__ import annotations

from datetime import datetime

from backend.core.references import parse_reference
from backend.core.views import ImageDetailView, ImageView, TagEventView
from backend.curation import curated
from backend.flows.approvals import approved_at
from backend.flows.foundation import Foundation
from backend.flows.lookup import Lookup
from backend.library import catalogue


class LibraryFlow:
    """Images of the library."""

    def __init__(self, foundation: Foundation, lookup: Lookup) -> None:
        self._foundation = foundation
        self._lookup = lookup

    async def images(self, query: str = "", approved: bool = False, at: datetime | None = None) -> list[ImageView]:
        """Tags of the library with the state of what they name.

        Args:
            query: words that must all occur.
            approved: only what is approved, or with `at`, what was approved then.
        """
        foundation = self._foundation
        now = foundation.clock.now()
        states = await curated.states(foundation.database, foundation.policy.hash, now)
        found = await catalogue.images(foundation.database, query, states=states)
        if not approved:
            return found
        digests = await approved_at(foundation.database, foundation.policy, at, now)
        return [image for image in found if image.digest in digests]

    async def image(self, reference: str) -> ImageDetailView:
        """All that is known of one image."""
        return await catalogue.detail(self._foundation.database, await self._lookup.image(reference))

    async def history(self, reference: str) -> list[TagEventView]:
        """What happened to a tag, or to the tags of a digest, newest first."""
        return await catalogue.history(self._foundation.database, parse_reference(reference))
