"""Doing many things at a time, a bounded number of them, so that the first failure ends all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, TypeVar

_Item = TypeVar("_Item")


async def together(*work: Coroutine[Any, Any, None]) -> None:
    """Run coroutines beside each other to their end. When one fails the others are cancelled, and its error is raised.

    Raises:
        Exception: the first failure, as it was raised.
    """
    try:
        async with asyncio.TaskGroup() as group:
            for one in work:
                group.create_task(one)
    except BaseExceptionGroup as failures:
        raise _first(failures) from failures


async def in_turns(items: Iterable[_Item], at_a_time: int, work: Callable[[_Item], Awaitable[None]]) -> None:
    """Do the work for each item, `at_a_time` of them beside each other, in their order.

    Raises:
        Exception: the first failure; items that were not begun are left.
    """
    waiting = iter(items)

    async def worker() -> None:
        for item in waiting:
            await work(item)

    await together(*(worker() for _ in range(max(at_a_time, 1))))


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    first = failures.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
