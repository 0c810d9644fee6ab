"""The services of all contexts of the yard: one board for each, kept apart."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any, Final, TypeAlias

from backend.core.errors import ModelyardError, UnreachableError
from backend.core.views import ServiceView, Verdict
from backend.flows.approvals import Approvals
from backend.flows.companions import Companions
from backend.flows.context_services import ContextServices
from backend.flows.foundation import Foundation
from backend.flows.start_history import StartHistory
from backend.serving.board import ServiceBoard

_LOG = logging.getLogger(__name__)
#: Told of a context whose services cannot be read, and why.
Unread: TypeAlias = Callable[[str, ModelyardError], None]
#: How long a screen waits for the other contexts once the first has answered; they tell by themselves later.
_PATIENCE: Final = 3.0


class Services:
    """What each context runs. One that is away neither hides nor delays the others."""

    def __init__(self, foundation: Foundation, approvals: Approvals) -> None:
        self._foundation = foundation
        self._approvals = approvals
        self._history = StartHistory(foundation.database)
        links = foundation.clusters.links
        self._contexts = tuple(ContextServices(foundation, link, approvals, self._history) for link in links)
        self._companions = tuple(
            Companions(foundation, link, approvals, self._history, partial(_board_of, one))
            for link, one in zip(links, self._contexts, strict=True)
        )

    @property
    def contexts(self) -> tuple[str, ...]:
        """Names of the contexts in their order, as far as they are known."""
        return tuple(one.context for one in self._contexts)

    async def beside(self, context: str = "") -> Companions:
        """The other kinds of a context, as watched or else read now.

        Raises:
            ModelyardError: they cannot be read.
        """
        return await self._beside(self._position(context))

    async def _beside(self, at: int) -> Companions:
        if self._contexts[at].told and self._companions[at].told:
            return self._companions[at]
        board = await self._contexts[at].current()
        return await self._read_beside(at, board)

    async def _read_beside(self, at: int, board: ServiceBoard) -> Companions:
        link = self._foundation.clusters.links[at]
        beside = Companions(self._foundation, link, self._approvals, self._history, lambda: board)
        await beside.read()
        return beside

    def _told(self) -> bool:
        return all(one.told for one in self._contexts) and all(one.told for one in self._companions)

    def _position(self, context: str) -> int:
        return self._foundation.clusters.links.index(self._foundation.clusters.link(context))

    async def readable_boards(self, *, unread: Unread | None = None) -> list[ServiceBoard]:
        """The boards of InferenceServices and of LLMInferenceServices, as watched or else read now.

        Args:
            unread: told of each context that cannot be read.

        Raises:
            ModelyardError: none can be read.
        """
        positions = range(len(self._contexts))
        told = await asyncio.gather(*map(self._boards_of, positions), return_exceptions=True)
        failures = [(one.context, of) for one, of in zip(self._contexts, told, strict=True) if not isinstance(of, list)]
        for context, error in failures:
            if not isinstance(error, ModelyardError) or len(failures) == len(told):
                raise error
            _LOG.info("services of %s: %s", context, error)
            if unread is not None:
                unread(context, error)
        return [board for of in told if isinstance(of, list) for board in of]

    async def _boards_of(self, at: int) -> list[ServiceBoard]:
        return [await self._contexts[at].current(), (await self._beside(at)).board]

    def of(self, context: str = "") -> ContextServices:
        """The services of a context; without one the primary's.

        Raises:
            NotFoundError: the yard knows no such context.
        """
        return self._contexts[self._position(context)]

    async def rows(self, *, unread: Unread | None = None) -> list[ServiceView]:
        """All services: as watched, or else read now.

        Args:
            unread: told of each context that cannot be read; None: those that do not answer soon are left out, and
                the state of their source tells of it.

        Raises:
            ModelyardError: none can be read.
        """
        asked = {asyncio.create_task(self._read(at)): one for at, one in enumerate(self._contexts)}
        try:
            waiting = set(asked)
            while waiting and not any(task.done() and task.exception() is None for task in asked):
                _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if waiting:
                await asyncio.wait(waiting, timeout=_PATIENCE if unread is None else None)
            return self._gathered(asked, unread)
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)

    async def _read(self, at: int) -> list[ServiceView]:
        """All rows of a context, of every kind."""
        board = await self._contexts[at].current()
        told = self._contexts[at].told and self._companions[at].told
        beside = self._companions[at] if told else await self._read_beside(at, board)
        return [*board.rows(), *beside.rows()]

    def _gathered(
        self, asked: Mapping[asyncio.Task[list[ServiceView]], ContextServices], unread: Unread | None
    ) -> list[ServiceView]:
        rows: list[ServiceView] = []
        failures: list[ModelyardError] = []
        for task, one in asked.items():
            error = task.exception() if task.done() else _late(one.context)
            if error is None:
                rows += task.result()
            elif isinstance(error, ModelyardError):
                failures.append(error)
                _LOG.info("services of %s: %s", one.context, error)
                if unread is not None:
                    unread(one.context, error)
            else:
                raise error
        if len(failures) == len(asked):
            raise failures[0]
        return rows

    def seen(self) -> list[ServiceView]:
        """The services of the contexts that are watched and have told all; another context that is away hides none."""
        of_kind = [row for one in self._contexts if one.told for row in one.board.rows()]
        return [*of_kind, *(row for one in self._companions if one.told for row in one.rows())]

    def away(self) -> frozenset[str]:
        """The contexts that are not watched, or have not told all yet."""
        pairs = zip(self._contexts, self._companions, strict=True)
        return frozenset(one.context for one, beside in pairs if not (one.told and beside.told))

    def available(self) -> Mapping[str, bool]:
        """Of each service that is watched, by its key, whether a replica serves; stopped ones promise nothing."""
        return {
            row.key: row.ready_replicas > 0
            for row in self.seen()
            if row.verdict not in {Verdict.STOPPED, Verdict.SCALED_TO_ZERO}
        }

    async def running(self, digests: frozenset[str]) -> list[ServiceView]:
        """The services of all contexts that name or run an image by one of its digests.

        Raises:
            ModelyardError: those of a context cannot be read.
        """
        return [row for board in await self._every_board() for row in board.using(digests)]

    def on_node(self, context: str, node: str) -> tuple[str, ...]:
        """Keys of the services of a context that have a pod on a node, as watched."""
        return next((one.board.on_node(node) for one in self._contexts if one.context == context), ())

    def users(self) -> Mapping[str, tuple[str, ...]] | None:
        """By digest as the library knows it, the services that name or run it; None: the watches have not told all."""
        if not self._told():
            return None
        boards = [one.board for one in self._contexts] + [one.board for one in self._companions]
        return self._users_on(boards)

    async def users_now(self) -> Mapping[str, tuple[str, ...]]:
        """The same, as watched or else read now.

        Raises:
            ModelyardError: the services of a context cannot be read.
        """
        return self._users_on(await self._every_board())

    async def boards(self) -> list[ServiceBoard]:
        """The board of each context, as watched or else read now.

        Raises:
            ModelyardError: the services of a context cannot be read.
        """
        return list(await asyncio.gather(*(one.current() for one in self._contexts)))

    async def _every_board(self) -> list[ServiceBoard]:
        """Those of LLMInferenceServices too."""
        beside = await asyncio.gather(*(self._beside(at) for at in range(len(self._contexts))))
        return [*await self.boards(), *(one.board for one in beside)]

    def _users_on(self, boards: list[ServiceBoard]) -> Mapping[str, tuple[str, ...]]:
        found: dict[str, dict[str, None]] = {}
        for board in boards:
            for digest, keys in board.users().items():
                found.setdefault(self._approvals.canonical(digest), {}).update(dict.fromkeys(keys))
        return {digest: tuple(keys) for digest, keys in found.items()}

    def following(self) -> list[Coroutine[Any, Any, None]]:
        """The work that keeps the boards live; run each as a task, and cancel them to stop."""
        beside = [work for one in self._companions for work in one.following()]
        return [*(work for one in self._contexts for work in one.following()), *beside]

    async def store_changed(self) -> None:
        """Decisions or proofs changed, perhaps in another process: judge every service's approval again."""
        for one in self._contexts:
            await one.read_proofs()
        if await self._approvals.refresh():
            for one in self._contexts:
                one.judge_approvals()
            for beside in self._companions:
                beside.judge_approvals()


def _board_of(services: ContextServices) -> ServiceBoard:
    return services.board


def _late(context: str) -> ModelyardError:
    return UnreachableError(
        f"services of {context}", "it has not answered yet", "wait; its services appear as soon as it answers"
    )
