"""From what a person typed to the image they mean, and to the candidate that it is."""

from __future__ import annotations

import msgspec

from backend.core.errors import NotFoundError
from backend.core.references import ImageReference, parse_reference, short_digest
from backend.core.views import CandidateView, ImageView
from backend.curation import curated, queue
from backend.evidence.facts import ImageFacts
from backend.flows.foundation import Foundation
from backend.library import catalogue
from backend.library.facts import all_facts


class Lookup:
    """Reads across library and curation."""

    def __init__(self, foundation: Foundation) -> None:
        self._foundation = foundation

    async def image(self, reference: str) -> ImageView:
        """The image that a reference means, with its state.

        Raises:
            UsageError: it is no reference, or means several images. NotFoundError: the library has none such.
        """
        foundation = self._foundation
        states = await curated.decided_states(foundation.database, foundation.policy.hash, foundation.clock.now())
        return await catalogue.find(foundation.database, parse_reference(reference), states=states)

    async def facts(self, reference: str) -> ImageFacts:
        """Everything that gates and drafts need to know of an image."""
        return await catalogue.facts_of(self._foundation.database, await self.image(reference))

    async def of_digest(self, digest: str) -> ImageFacts:
        """The same, by digest.

        Raises:
            NotFoundError: the library does not hold it.
        """
        known = (await all_facts(self._foundation.database)).get(digest)
        if known is None:
            raise NotFoundError(
                f"image {short_digest(digest)}", "the library holds nothing of that digest", "synchronise it first"
            )
        return await self.completed(known)

    async def completed(self, light: ImageFacts) -> ImageFacts:
        """Facts with what only the manifest and configuration tell: labels, annotations, declared licences."""
        named = ImageReference(light.registry, light.repository, None, light.digest)
        image = await catalogue.find(self._foundation.database, named)
        return await catalogue.facts_of(self._foundation.database, image)

    async def candidate(self, digest: str) -> CandidateView:
        """A candidate in full, as it is to the actor.

        Raises:
            NotFoundError: the digest was never submitted.
        """
        foundation = self._foundation
        facts = await all_facts(foundation.database)
        if digest in facts:
            facts[digest] = await self.of_digest(digest)
        actor, unknown = await foundation.identity.onlooker()
        found = await queue.candidate(
            foundation.database, digest, facts, policy=foundation.policy, actor=actor, now=foundation.clock.now()
        )
        return msgspec.structs.replace(found, not_me=unknown) if unknown else found
