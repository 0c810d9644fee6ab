"""The link to a cluster: what is being connected when the yard is closed is closed too."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from backend.core.errors import UnreachableError
from backend.core.events import EventHub
from backend.flows import cluster_link
from backend.flows.cluster_link import ClusterLink
from tests.fakes.ports import FixedClock


async def test_a_connection_that_comes_after_the_end_is_closed(
    clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, closed = asyncio.Event(), []

    class Late:
        async def open(self, *_: Any, **__: Any) -> Any:
            await go_on.wait()

            async def close() -> None:
                closed.append("closed")

            return SimpleNamespace(close=close, clock_trouble="")

    monkeypatch.setattr(cluster_link, "_imported", Late)
    link = ClusterLink("prod", (), clock=clock, hub=EventHub(), changed=lambda: None)
    connecting = asyncio.create_task(link.client())
    await asyncio.sleep(0)
    await link.close()
    go_on.set()
    with pytest.raises(UnreachableError):
        await connecting
    assert closed == ["closed"]
