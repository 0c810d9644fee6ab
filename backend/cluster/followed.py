"""All objects of a kind, kept by a watch: for whoever looks at them again and again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from typing import Generic, TypeVar

from backend.cluster.objects import KubeObject
from backend.cluster.reader import ClusterReader
from backend.cluster.resources import Resource
from backend.cluster.watch import Changed, Listed, Lost, Regained, Removed
from backend.core.errors import ModelyardError

Item = TypeVar("Item", bound=KubeObject)


class FollowedList(Generic[Item]):
    """One kind in one namespace or all, watched from the first time that somebody asks until it is closed."""

    def __init__(
        self, reader: ClusterReader, resource: Resource[Item], namespace: str | None = None, *, label_selector: str = ""
    ) -> None:
        self._reader = reader
        self._resource = resource
        self._namespace = namespace
        self._label_selector = label_selector
        self._objects: dict[tuple[str, str], Item] = {}
        self._error: ModelyardError | None = None
        self._told = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def items(self) -> Sequence[Item]:
        """All objects as they are now.

        Raises:
            ModelyardError: why they cannot be watched just now.
        """
        if self._task is None:
            self._task = asyncio.create_task(self._follow(), name=f"watch of {self._resource.plural}")
        await self._told.wait()
        if self._error is not None:
            # Raised many times over, it must not gather the frames of all of them.
            raise self._error.with_traceback(None)
        return list(self._objects.values())

    async def close(self) -> None:
        """End the watch."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _follow(self) -> None:
        watch = self._reader.watch(self._resource, self._namespace, label_selector=self._label_selector)
        async with aclosing(watch) as events:
            async for event in events:
                match event:
                    case Listed(objects=objects):
                        self._objects = {item.key: item for item in objects}
                        self._error = None
                    case Changed(object=item):
                        self._objects[item.key] = item
                    case Removed(object=item):
                        self._objects.pop(item.key, None)
                    case Lost(error=error):
                        self._error = error
                    case Regained():
                        # A list follows where there was none yet, and then it is told.
                        self._error = None if self._objects else self._error
                self._told.set()
