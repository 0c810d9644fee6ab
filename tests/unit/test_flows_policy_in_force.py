"""A program that was started with another policy than the files have now decides nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from backend.config import load_configuration
from backend.core.errors import PolicyError
from backend.core.permits import Permit
from backend.core.views import SourceState
from backend.flows import audit, policy, queue
from backend.yard import Yard, YardOptions
from tests.fakes.store import FixedClock

#: Imported here: an event loop has not the time.
_ROOMS = (audit, policy, queue)
OWN = "[policy]\napprovals = 2\n"


@asynccontextmanager
async def yard_in(folder: Path) -> AsyncIterator[Yard]:
    loaded = await asyncio.to_thread(load_configuration, folder / "config.toml", system_policy=folder / "policy.toml")
    yard = await Yard.open(loaded, YardOptions(database=folder / "yard.db"), clock=FixedClock())
    try:
        yield yard
    finally:
        await yard.close()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("backend.config._require_root_owned", lambda _file: None)
    (tmp_path / "config.toml").write_text(OWN)
    return tmp_path


async def decides(yard: Yard, mutation: str = "queue.reject") -> bool:
    """Whether a mutation is let through."""

    async def action(permit: Permit) -> bool:
        permit.spend(mutation)
        return True

    return await yard._foundation.gate.run(mutation, "an image", action)


@pytest.mark.parametrize(
    "changed", ["[policy]\napprovals = 3\n", OWN + '[[role]]\nname = "approver"\nusers = ["mira"]\n', "[policy\n"]
)
async def test_the_own_file(folder: Path, changed: str) -> None:
    async with yard_in(folder) as yard:
        assert await decides(yard)
        (folder / "config.toml").write_text("# Another remark, and a registry.\n" + OWN)
        assert await decides(yard)
        (folder / "config.toml").write_text(changed)
        with pytest.raises(PolicyError, match="start it again"):
            await decides(yard)
        with pytest.raises(PolicyError):
            await yard.policy.keep()
        assert await decides(yard, "library.cancel")
        assert ("queue.reject", "refused") in {(each.action, each.outcome) for each in await yard.audit.entries()}
        (folder / "config.toml").write_text(OWN + "# As it was.\n")
        assert await decides(yard)
        await yard.policy.keep()


async def test_the_systems_file_is_told_in_the_title_bar(folder: Path) -> None:
    (folder / "policy.toml").write_text("[policy]\napprovals = 3\n")
    async with yard_in(folder) as yard:
        in_force = yard._foundation.policy_in_force
        # The user's own policy is not in force, and so may say anything.
        (folder / "config.toml").write_text('[policy]\napprovals = 1\n[scanner]\ncommand = "grype"\n')
        assert await decides(yard) and not await in_force.refresh()
        await yard._foundation.rules.refresh()
        assert [each.name for each in yard.status().sources if each.kind == "configuration"] == []
        (folder / "policy.toml").write_text("[policy]\napprovals = 4\n")
        assert await in_force.refresh() and not await in_force.refresh()
        (told,) = [each for each in yard.status().sources if each.kind == "configuration"]
        assert told.state is SourceState.REFUSED and "policy changed since this program was started" in told.detail
        with pytest.raises(PolicyError, match="policy changed"):
            await decides(yard)


async def test_a_system_file_that_appears_is_noticed(folder: Path) -> None:
    async with yard_in(folder) as yard:
        assert await decides(yard)
        (folder / "policy.toml").write_text("[policy]\napprovals = 3\n")
        with pytest.raises(PolicyError, match="policy changed"):
            await decides(yard)
