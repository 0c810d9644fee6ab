"""The clusters that the yard works on: one link for each configured context."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from backend.cluster.config import ClusterConfig
from backend.core.errors import NotFoundError
from backend.core.events import EventHub
from backend.core.ports import Clock
from backend.flows.cluster_link import ClusterLink

if TYPE_CHECKING:
    from backend.cluster.client import ClusterClient


class Clusters:
    """The links, in the order in which they are configured.

    Attributes:
        links: at least one.
    """

    def __init__(self, links: Sequence[ClusterLink]) -> None:
        self.links = tuple(links)

    @classmethod
    def configured(
        cls,
        clusters: Sequence[ClusterConfig],
        context: str | None,
        *,
        clock: Clock,
        hub: EventHub,
        changed: Callable[[], None],
    ) -> Clusters:
        """The links that the configuration names.

        Args:
            clusters: the `[[cluster]]` tables; none: the kubeconfig's current context.
            context: that `--context` asks for: this one alone, with its table's namespaces where it has one.
        """
        if context is not None:
            clusters = [one for one in clusters if one.context == context][:1] or [ClusterConfig(context=context)]
        return cls(
            [ClusterLink(one.context, one.namespaces, clock=clock, hub=hub, changed=changed) for one in clusters]
            or [ClusterLink(None, (), clock=clock, hub=hub, changed=changed)]
        )

    @property
    def several(self) -> bool:
        """Whether there is more than one."""
        return len(self.links) > 1

    @property
    def primary(self) -> ClusterLink:
        """The first: who acts is asked there, and what names no context goes there."""
        return self.links[0]

    def link(self, context: str = "") -> ClusterLink:
        """The link of a context; without one the primary.

        Raises:
            NotFoundError: the yard knows no such context.
        """
        if not context:
            return self.primary
        for link in self.links:
            if link.context == context:
                return link
        known = ", ".join(link.context for link in self.links if link.context) or "none yet"
        raise NotFoundError(
            f"context {context}",
            f"the yard knows {known}",
            "name one of these, or add a [[cluster]] table for it",
        )

    async def client(self, context: str = "") -> ClusterClient:
        """The client of a context, connected on first use; without one the primary's.

        Raises:
            NotFoundError: the yard knows no such context. ConfigurationError: there is no usable kubeconfig.
        """
        if context and not self.primary.context:
            # The kubeconfig's current context: its name is known once it is connected.
            await self.primary.client()
        return await self.link(context).client()

    async def close(self) -> None:
        """Close every connection."""
        for link in self.links:
            await link.close()
