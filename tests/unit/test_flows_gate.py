"""Nothing is changed but through the gate, and what the gate refuses is in the ledger."""

from __future__ import annotations

import ast
import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from backend.core.actors import Actor, ActorSource, Role
from backend.core.errors import (
    AccessDeniedError,
    ConflictError,
    IdentityError,
    PolicyError,
    ReadOnlyError,
    RefusedError,
    RoleError,
    UnreachableError,
)
from backend.core.permits import Permit
from backend.flows.gate import MUTATIONS, Checks, Gate, Reach
from backend.store import ledger
from backend.store.connection import Database
from tests.fakes.ports import FixedClock

_ROOT = Path(__file__).parents[2]
_OPERATOR = Actor(name="robin", source=ActorSource.OPERATING_SYSTEM, roles=frozenset({Role.OPERATOR}))


@pytest_asyncio.fixture
async def database(tmp_path: Path, clock: FixedClock) -> AsyncIterator[Database]:
    opened = await Database.open(tmp_path / "yard" / "modelyard.db", clock=clock)
    yield opened
    await opened.close()


def _gate(database: Database, clock: FixedClock, *, actor: Actor = _OPERATOR, writes_off: str = "") -> Gate:
    async def who() -> Actor:
        return actor

    return Gate(database=database, clock=clock, actor=who, writes_off=lambda: writes_off)


async def _entries(database: Database) -> list[tuple[str, str, str]]:
    rows = await database.fetch_all("SELECT action, outcome, detail FROM ledger ORDER BY seq")
    return [(row["action"], row["outcome"], row["detail"]) for row in rows]


class _Change:
    """A change that spends its permit and counts."""

    def __init__(self, error: Exception | None = None) -> None:
        self.done = 0
        self._error = error

    async def __call__(self, permit: Permit) -> str:
        permit.spend(permit.mutation)
        if self._error is not None:
            raise self._error
        self.done += 1
        return "changed"


@pytest.mark.parametrize("name", sorted(MUTATIONS))
async def test_read_only_refuses_every_mutation_and_says_so_in_the_ledger(
    name: str, database: Database, clock: FixedClock
) -> None:
    change = _Change()
    gate = _gate(database, clock, writes_off="the yard was opened with --read-only")
    with pytest.raises(ReadOnlyError):
        await gate.run(name, "something", change)
    assert change.done == 0
    assert [(action, outcome) for action, outcome, _ in await _entries(database)] == [(name, "refused")]


@pytest.mark.parametrize("name", sorted(MUTATIONS))
async def test_without_the_role_every_mutation_is_refused(name: str, database: Database, clock: FixedClock) -> None:
    change = _Change()
    others = frozenset(Role) - {MUTATIONS[name].role, *MUTATIONS[name].also}
    actor = Actor(name="mira", source=ActorSource.OPERATING_SYSTEM, roles=others)
    with pytest.raises(RoleError, match=MUTATIONS[name].role.value):
        await _gate(database, clock, actor=actor).run(name, "something", change)
    assert change.done == 0


async def test_checks_run_in_the_order_of_the_house_and_stop_at_the_first_refusal(
    database: Database, clock: FixedClock
) -> None:
    seen: list[str] = []

    def check(label: str, error: Exception | None = None) -> Callable[[], Awaitable[None]]:
        async def run() -> None:
            seen.append(label)
            if error is not None:
                raise error

        return run

    change = _Change()
    refusal = ConflictError("apply", "it changed", "plan again")
    checks = Checks(
        access=check("access"),
        policy=check("policy"),
        dry_run=check("dry run"),
        precondition=check("precondition", refusal),
    )
    with pytest.raises(ConflictError):
        await _gate(database, clock).run("deploy.apply", "llm/a", change, checks=checks)
    assert seen == ["access", "policy", "dry run", "precondition"]
    assert change.done == 0

    seen.clear()
    denied = Checks(access=check("access", AccessDeniedError("apply", "RBAC", "ask")), policy=check("policy"))
    with pytest.raises(AccessDeniedError):
        await _gate(database, clock).run("deploy.apply", "llm/a", change, checks=denied)
    assert seen == ["access"]
    assert [outcome for _, outcome, _ in await _entries(database)] == ["refused", "refused"]


async def test_a_change_of_the_cluster_is_told_before_and_after(database: Database, clock: FixedClock) -> None:
    gate = _gate(database, clock)
    result = await gate.run("deploy.apply", "llm/a", _Change(), told=lambda value: {"result": value})
    assert result == "changed"
    entries = await _entries(database)
    assert [outcome for _, outcome, _ in entries] == ["started", "done"]
    assert '"result":"changed"' in entries[1][2]


async def test_a_change_of_the_cluster_that_fails_is_told_as_failed(database: Database, clock: FixedClock) -> None:
    lost = UnreachableError("apply", "connection reset", "try again")
    with pytest.raises(UnreachableError):
        await _gate(database, clock).run("deploy.apply", "llm/a", _Change(lost))
    assert [outcome for _, outcome, _ in await _entries(database)] == ["started", "failed"]


async def test_a_change_of_the_cluster_that_is_interrupted_is_not_told_as_done(
    database: Database, clock: FixedClock
) -> None:
    begun = asyncio.Event()

    async def hang(_: Permit) -> None:
        begun.set()
        await asyncio.Event().wait()

    changing = asyncio.create_task(_gate(database, clock).run("deploy.apply", "llm/a", hang))
    await begun.wait()
    changing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await changing
    entries = await _entries(database)
    assert [outcome for _, outcome, _ in entries] == ["started", "failed"]
    assert "interrupted" in entries[1][2]


async def test_the_worker_does_what_is_on_schedule_and_nothing_else(database: Database, clock: FixedClock) -> None:
    gate = _gate(database, clock, actor=Actor(name="mira", source=ActorSource.OPERATING_SYSTEM))
    for name, mutation in MUTATIONS.items():
        if mutation.by_worker:
            assert await gate.run(name, "something", _Change(), as_worker=True) == "changed"
        else:
            with pytest.raises(RoleError):
                await gate.run(name, "something", _Change(), as_worker=True)
    assert {name for name, mutation in MUTATIONS.items() if mutation.by_worker} == {
        "library.synchronise", "evidence.collect", "policy.keep", "alert.keep",
        "deploy.rollback", "deploy.promote", "deploy.validate",
    }  # fmt: skip


async def test_a_decision_refused_by_its_own_room_is_recorded(database: Database, clock: FixedClock) -> None:
    actor = Actor(name="mira", source=ActorSource.OPERATING_SYSTEM, unrestricted=True)
    stale = PolicyError("approval", "2 critical, 0 allowed", "wait for a fixed image")
    with pytest.raises(PolicyError):
        await _gate(database, clock, actor=actor).run("queue.approve", "host/a@sha256:0", _Change(stale))
    assert [outcome for _, outcome, _ in await _entries(database)] == ["refused"]


async def test_an_unknown_actor_changes_nothing(database: Database, clock: FixedClock) -> None:
    async def nobody() -> Actor:
        raise IdentityError("identity", "the cluster is away", "wait")

    change = _Change()
    gate = Gate(database=database, clock=clock, actor=nobody, writes_off=lambda: "")
    with pytest.raises(IdentityError):
        await gate.run("deploy.apply", "llm/a", change)
    assert change.done == 0


def test_a_permit_is_for_one_change_of_one_kind() -> None:
    permit = Permit(mutation="deploy.stop", object="llm/a", actor=_OPERATOR)
    with pytest.raises(RefusedError):
        permit.spend("deploy.delete")
    permit.spend("deploy.stop")
    with pytest.raises(RefusedError):
        permit.spend("deploy.stop")


def _trees(*folders: str) -> list[tuple[Path, ast.Module]]:
    files = [file for folder in folders for file in sorted((_ROOT / folder).rglob("*.py"))]
    return [(file, ast.parse(file.read_text(encoding="utf-8"))) for file in files]


def test_only_the_gate_issues_permits() -> None:
    issuers = {
        file.relative_to(_ROOT).as_posix()
        for file, tree in _trees("backend", "tui")
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Permit"
    }
    assert issuers == {"backend/flows/gate.py"}


def _arguments(function: ast.AsyncFunctionDef | ast.FunctionDef) -> set[str]:
    return {argument.arg for argument in (*function.args.args, *function.args.kwonlyargs)}


def _changes_the_cluster(call: ast.Call) -> bool:
    """Whether a call sends a verb that changes a cluster's objects, or asks a pod to work."""
    first = call.args[0] if call.args else None
    return isinstance(first, ast.Constant) and first.value in {"PUT", "PATCH", "DELETE", "POST"}


def test_every_public_call_that_changes_a_cluster_asks_for_a_permit_and_spends_it() -> None:
    """Walks from each request with a changing verb up to the public methods that lead to it, over all classes.

    Reviews are POSTs that change nothing; they are functions, not methods.
    """
    methods = {
        method.name: method
        for _file, tree in _trees("backend/cluster")
        for owner in ast.walk(tree)
        if isinstance(owner, ast.ClassDef)
        for method in owner.body
        if isinstance(method, ast.AsyncFunctionDef)
    }
    leading = {
        name
        for name, method in methods.items()
        if any(isinstance(node, ast.Call) and _changes_the_cluster(node) for node in ast.walk(method))
    }
    while True:
        more = {
            name
            for name, method in methods.items()
            for node in ast.walk(method)
            if isinstance(node, ast.Attribute) and node.attr in leading
        }
        if more <= leading:
            break
        leading |= more
    guarded = {name for name in leading if not name.startswith(("_", "dry_run_"))}
    for name in guarded:
        assert "permit" in _arguments(methods[name]), f"{name} changes a cluster without a permit"
        spends = [node for node in ast.walk(methods[name]) if isinstance(node, ast.Attribute) and node.attr == "spend"]
        assert spends, f"{name} does not spend its permit"
    assert guarded == {"apply", "merge_patch", "delete", "pod_request"}


def test_every_action_of_the_screen_that_mutates_names_a_mutation_of_the_gate() -> None:
    from tui.actions import mutating

    assert {action.mutates for action in mutating()} <= set(MUTATIONS)
    for action in mutating():
        assert action.mutates is not None
        assert action.role == MUTATIONS[action.mutates].role.value


def test_mutations_that_reach_the_cluster_are_told_twice() -> None:
    assert {name for name, mutation in MUTATIONS.items() if mutation.reach is Reach.CLUSTER} == {
        name for name in MUTATIONS if name.startswith(("deploy.", "runtime."))
    }


async def test_the_chain_holds_after_refusals_and_changes(database: Database, clock: FixedClock) -> None:
    gate = _gate(database, clock)
    await gate.run("deploy.apply", "llm/a", _Change())
    with pytest.raises(RoleError):
        await gate.run("queue.approve", "host/a@sha256:0", _Change())
    rows = await database.fetch_all("SELECT * FROM ledger ORDER BY seq")
    assert [row["previous"] for row in rows] == [ledger.GENESIS, *[row["hash"] for row in rows[:-1]]]
