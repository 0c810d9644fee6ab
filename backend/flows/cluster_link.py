"""The cluster that the yard works on: connected when first needed, and what it last said."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from backend.core.errors import AuthenticationError, ConfigurationError, ModelyardError, UnreachableError
from backend.core.events import EventHub, SourceChanged, Topic
from backend.core.ports import Clock
from backend.core.views import SourceState, SourceView

if TYPE_CHECKING:
    from backend.cluster.client import ClusterClient


class ClusterLink:
    """One context of the kubeconfig.

    Attributes:
        namespaces: to look at; empty: all that may be listed.
        source: what the cluster last said.
        followed: watches keep `source`; how a single request went is told of no more.
    """

    def __init__(
        self,
        context: str | None,
        namespaces: tuple[str, ...],
        *,
        clock: Clock,
        hub: EventHub,
        changed: Callable[[], None],
    ) -> None:
        """
        Args:
            context: of the kubeconfig, or None: the current one.
            changed: called after `source` changed.
        """
        self._context = context
        self.namespaces = namespaces
        self._clock = clock
        self._hub = hub
        self._changed = changed
        self._client: ClusterClient | None = None
        self._connecting = asyncio.Lock()
        self._closed = False
        self.followed = False
        self.source = SourceView(
            name=context or "cluster", kind="cluster", state=SourceState.ABSENT, as_of=None, detail="not asked yet"
        )

    @property
    def context(self) -> str:
        """The context's name, as far as it is known."""
        return self._client.context if self._client is not None else self._context or ""

    async def has_kubeconfig(self) -> bool:
        """Whether any of the files is there in which a kubeconfig is looked for."""
        return await asyncio.to_thread(_kubeconfig_is_there)

    async def is_named(self) -> bool:
        """Whether anything names a cluster: a context that was asked for, `$KUBECONFIG`, or a file where it would be.

        A file that cannot be read, or that `$KUBECONFIG` names and is not there, stands for a cluster all the same.
        """
        return bool(self._context or os.environ.get("KUBECONFIG")) or await self.has_kubeconfig()

    async def client(self) -> ClusterClient:
        """The client, connected on first use.

        Raises:
            ConfigurationError: there is no usable kubeconfig or context.
        """
        async with self._connecting:
            if self._client is None:
                try:
                    kind = await asyncio.to_thread(_imported)
                    client = await kind.open(self._context, clock=self._clock)
                except ModelyardError as error:
                    self.heard(error)
                    raise
                if self._closed:
                    # Whoever asked is still at it where another cluster's failure has ended the command.
                    await client.close()
                    raise UnreachableError("cluster", "the yard was closed meanwhile", "open it again")
                self._client = client
            return self._client

    def answered(self, error: ModelyardError | None = None) -> None:
        """A request was answered, or failed: what is known of the cluster where nothing watches it."""
        if not self.followed:
            self.heard(error)

    def heard(self, error: ModelyardError | None, detail: str = "") -> None:
        """Note that the cluster answered, or why it did not, and tell subscribers when the state is new."""
        state = SourceState.LIVE
        if isinstance(error, ConfigurationError):
            state = SourceState.ABSENT
        elif isinstance(error, AuthenticationError):
            state = SourceState.REFUSED
        elif error is not None:
            state = SourceState.LOST
        trouble = self._client.clock_trouble if self._client is not None else ""
        said = error.why if error else "; ".join(part for part in (detail, trouble) if part)
        known = self.source
        # While it is live, when it was last heard is of no interest, and telling would repaint the screen for nothing.
        if state is SourceState.LIVE and known.state is state and known.detail == said:
            return
        self.source = SourceView(
            name=self.context or "cluster", kind="cluster", state=state, as_of=self._clock.now(), detail=said
        )
        self._hub.publish(Topic.SOURCES, SourceChanged(key=f"cluster/{self.source.name}", source=self.source))
        self._changed()

    async def close(self) -> None:
        """Close the connection; one that is being made is closed when it is there."""
        self._closed = True
        if self._client is not None:
            await self._client.close()
            self._client = None


def _kubeconfig_is_there() -> bool:
    from backend.cluster.kubeconfig import kubeconfig_paths

    # A link that leads nowhere was somebody's kubeconfig, and so is a file that may not be looked at.
    return any(os.path.lexists(path) for path in kubeconfig_paths(None, os.environ))


def _imported() -> type[ClusterClient]:
    """The client's class: imported when a cluster is first asked, and not on the event loop."""
    from backend.cluster.client import ClusterClient

    return ClusterClient
