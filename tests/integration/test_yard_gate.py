"""Every public coroutine of the facade is known to change something or not, and none that does goes around the gate."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from backend.config import load_configuration
from backend.core.errors import ReadOnlyError
from backend.flows.alerts import AlertsFlow
from backend.flows.audit import AuditFlow
from backend.flows.deployments import DeploymentsFlow
from backend.flows.evidence import EvidenceFlow
from backend.flows.fit import Fits
from backend.flows.forms import Forms
from backend.flows.gate import MUTATIONS
from backend.flows.gpus import GpusFlow
from backend.flows.library import LibraryFlow
from backend.flows.policy import PolicyFlow
from backend.flows.queue import QueueFlow
from backend.flows.rules import RulesFlow
from backend.flows.runtimes import RuntimesFlow
from backend.flows.synchronising import SynchroniseFlow
from backend.flows.telemetry import TelemetryFlow
from backend.registry.client import RegistryClient
from backend.yard import Yard, YardOptions
from tests.fakes.cli import Place
from tests.fakes.cli_world import NAMESPACE, TAGS, World, running_world
from tests.fakes.curation import trivy_report
from tests.fakes.left_behind import alerting, cut_off

ROOMS = {
    "library": LibraryFlow,
    "rules": RulesFlow,
    "runs": SynchroniseFlow,
    "queue": QueueFlow,
    "evidence": EvidenceFlow,
    "policy": PolicyFlow,
    "deployments": DeploymentsFlow,
    "forms": Forms,
    "fits": Fits,
    "runtimes": RuntimesFlow,
    "gpus": GpusFlow,
    "telemetry": TelemetryFlow,
    "alerts": AlertsFlow,
    "audit": AuditFlow,
}


def coroutines(room: type) -> set[str]:
    """Names of a room's public coroutines."""
    found = inspect.getmembers(room, inspect.iscoroutinefunction)
    return {name for name, _ in found if not name.startswith("_")}


#: What only looks, by room; all that history offers is of that kind.
LOOKING = {
    "library": {"images", "image", "history", "search", "repositories"},
    "rules": {"rules", "preview", "text", "check"},
    "runs": {"runs", "run"},
    "queue": {"candidates", "candidate", "impact"},
    "evidence": {"of", "packages", "scanners", "check"},
    "policy": {"check"},
    "deployments": {
        "services", "service", "namespaces", "logs", "snapshots", "export", "draft", "plan", "manifests",
        "cut_off", "settle_plan",
        "rollback_plan", "changes", "running", "drifted", "validations", "canary", "blast",
    },
    "forms": {"open", "of_file", "advice", "take"},
    "fits": {"of_file", "advice", "size_of", "ground"},
    "runtimes": {"runtimes", "runtime", "difference", "catalogue", "plan", "check"},
    "gpus": {"snapshot", "follow", "check", "close"},
    "telemetry": coroutines(TelemetryFlow),
    "alerts": {"alerts", "check", "silences"},
    "audit": {"entries", "entry", "head", "verify", "write_bundle", "check_bundle", "report"},
}  # fmt: skip
Call = Callable[[Yard, dict[str, Any]], Awaitable[Any]]
#: What each coroutine that changes something is called with, and the mutation that it is.
CHANGING: dict[tuple[str, str], tuple[str, Call]] = {
    ("library", "correct"): (
        "library.correct",
        lambda yard, given: yard.library.correct(given["ref"], name="type", value="chat", reason="x"),
    ),
    ("library", "name_parent"): (
        "library.parent",
        lambda yard, given: yard.library.name_parent(given["ref"], parent="hf.co/org/model"),
    ),
    ("library", "prune"): ("library.prune", lambda yard, _: yard.library.prune(timedelta(days=90))),
    ("runs", "synchronise"): ("library.synchronise", lambda yard, _: yard.runs.synchronise()),
    ("runs", "synchronise_as_worker"): (
        "library.synchronise",
        lambda yard, given: yard.runs.synchronise_as_worker(given["rule"]),
    ),
    ("rules", "save"): (
        "rules.write",
        lambda yard, given: yard.rules.save(given["rule_text"], replaces=None, file_hash="seen"),
    ),
    ("rules", "switch"): (
        "rules.write",
        lambda yard, given: yard.rules.switch(given["rule"].name, False, file_hash="seen"),
    ),
    ("rules", "remove"): (
        "rules.remove",
        lambda yard, given: yard.rules.remove(given["rule"].name, file_hash="seen"),
    ),
    ("runs", "cancel"): ("library.cancel", lambda yard, given: yard.runs.cancel(given["run"])),
    ("policy", "keep"): ("policy.keep", lambda yard, _: yard.policy.keep()),
    ("evidence", "evaluate"): ("evidence.collect", lambda yard, _: yard.evidence.evaluate()),
    ("queue", "approve"): (
        "queue.approve",
        lambda yard, given: yard.queue.approve(given["ref"], reason="x", evidence_hash=given["hash"]),
    ),
    ("queue", "reject"): (
        "queue.reject",
        lambda yard, given: yard.queue.reject(given["ref"], reason="x", evidence_hash=given["hash"]),
    ),
    ("queue", "revoke"): (
        "queue.revoke",
        lambda yard, given: yard.queue.revoke(given["ref"], reason="x", evidence_hash=given["hash"]),
    ),
    ("queue", "reject_many"): (
        "queue.reject",
        lambda yard, given: yard.queue.reject_many([given["ref"], given["ref"]], reason="x"),
    ),
    ("queue", "comment"): ("queue.comment", lambda yard, given: yard.queue.comment(given["ref"], text="x")),
    ("queue", "submit"): ("queue.submit", lambda yard, given: yard.queue.submit(given["ref"], reason="x")),
    ("queue", "break_glass"): (
        "queue.break-glass",
        lambda yard, given: yard.queue.break_glass(
            given["ref"], reason="x", ticket="INC-1", until=datetime(2099, 1, 1, tzinfo=UTC)
        ),
    ),
    ("queue", "review"): ("queue.review", lambda yard, given: yard.queue.review(given["decision"], reason="x")),
    ("queue", "waive"): (
        "queue.waive",
        lambda yard, given: yard.queue.waive(
            given["ref"], finding="CVE-1", until=datetime(2099, 1, 1, tzinfo=UTC), reason="x"
        ),
    ),
    ("evidence", "hand_in"): (
        "evidence.import",
        lambda yard, given: yard.evidence.hand_in(given["report"], given["ref"]),
    ),
    ("evidence", "review"): ("evidence.assert", lambda yard, given: yard.evidence.review(given["ref"], note="x")),
    ("evidence", "scan"): ("evidence.scan", lambda yard, given: yard.evidence.scan(given["ref"])),
    ("deployments", "apply"): ("deploy.apply", lambda yard, given: _apply(yard, given["deployment"])),
    ("deployments", "scale"): ("deploy.scale", lambda yard, _: yard.deployments.scale(NAMESPACE, "held", 2)),
    ("deployments", "stop"): ("deploy.stop", lambda yard, _: yard.deployments.stop(NAMESPACE, "held")),
    ("deployments", "shell"): (
        "deploy.exec",
        lambda yard, _: yard.deployments.shell(NAMESPACE, "held-pod", container="kserve-container"),
    ),
    ("deployments", "forward"): (
        "deploy.forward",
        lambda yard, _: yard.deployments.forward(NAMESPACE, "held-pod", "8080:8000"),
    ),
    ("deployments", "weigh"): ("deploy.weigh", lambda yard, _: yard.deployments.weigh(NAMESPACE, "llm:held", 2)),
    ("deployments", "start"): ("deploy.start", lambda yard, _: yard.deployments.start(NAMESPACE, "held")),
    ("runtimes", "apply"): ("runtime.apply", lambda yard, given: _install(yard, given["ref"])),
    ("deployments", "leave"): ("deploy.settle", lambda yard, given: yard.deployments.leave(given["cut_off"])),
    ("deployments", "validate"): ("deploy.validate", lambda yard, _: yard.deployments.validate(NAMESPACE, "held")),
    ("deployments", "follow_validation"): ("deploy.validate", lambda yard, _: _followed(yard)),
    ("deployments", "promote"): ("deploy.promote", lambda yard, _: yard.deployments.promote(NAMESPACE, "held")),
    ("deployments", "abort"): ("deploy.abort", lambda yard, _: yard.deployments.abort(NAMESPACE, "held")),
    ("alerts", "acknowledge"): (
        "alert.acknowledge",
        lambda yard, given: yard.alerts.acknowledge(given["alert"], note="x"),
    ),
    ("alerts", "silence"): (
        "alert.silence",
        lambda yard, _: yard.alerts.silence("x", until=datetime.now(UTC) + timedelta(hours=1), reason="x"),
    ),
    ("alerts", "lift"): ("alert.lift", lambda yard, given: yard.alerts.lift(given["silence"])),
    ("deployments", "delete"): ("deploy.delete", lambda yard, _: yard.deployments.delete(NAMESPACE, "held")),
}


async def _followed(yard: Yard) -> None:
    (expected, *_) = await yard.deployments.validations(NAMESPACE, "held")
    await yard.deployments.follow_validation(expected.id, print)


async def _apply(yard: Yard, deployment: str) -> None:
    await yard.deployments.apply(await yard.deployments.plan(deployment))


async def _install(yard: Yard, reference: str) -> None:
    await yard.runtimes.apply(await yard.runtimes.plan("nim", reference, NAMESPACE))


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_every_public_coroutine_is_known_to_change_something_or_not(room: str) -> None:
    changing = {name for of, name in CHANGING if of == room}
    assert coroutines(ROOMS[room]) == LOOKING[room] | changing
    assert not LOOKING[room] & changing


def test_every_mutation_is_reached_through_the_facade() -> None:
    # A rollback is the apply of a plan to return to a snapshot; alerts are kept by whoever keeps the schedule, which a
    # read-only yard does not.
    apart = {"deploy.rollback", "alert.keep"}
    assert {mutation for mutation, _ in CHANGING.values()} | apart == set(MUTATIONS)


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, Place]]:
    """A yard with an approved image and a service of it."""
    folder = tmp_path_factory.mktemp("held")
    with pytest.MonkeyPatch.context() as patch, running_world() as world:
        patch.setenv("HOME", str(folder))
        place = world.place(folder, patch)
        world.deployed(place, "held", TAGS[0])
        yield world, place


@pytest.mark.parametrize(("room", "name"), sorted(CHANGING))
async def test_in_a_read_only_yard_it_is_refused_and_the_refusal_is_kept(
    held: tuple[World, Place], room: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, place = held
    monkeypatch.setenv("KUBECONFIG", str(place.folder.parent / "kubeconfig"))
    # What a registry is asked for while nothing may be changed would be of no use.
    monkeypatch.setattr(RegistryClient, "tags", _not_to_be_asked)
    configuration = await asyncio.to_thread(load_configuration, place.config)
    report = tmp_path / "report.json"
    report.write_text(json.dumps(trivy_report(digest=world.digests[TAGS[0]])))
    mutation, call = CHANGING[room, name]
    yard = await Yard.open(configuration, YardOptions(read_only=True))
    try:
        reference = world.reference(TAGS[0])
        given = {
            "ref": reference,
            "hash": (await yard.queue.candidate(reference)).evidence_hash,
            "decision": (await yard.queue.candidate(reference)).decisions[-1].id,
            "rule": configuration.settings.rule[0],
            "run": (await yard.runs.runs())[0].run,
            "rule_text": '[[rule]]\nname = "another"\nregistry = "local"\n',
            "report": report,
            "deployment": world.deployment(place, "another", reference).read_text(),
        }
        given["cut_off"] = await asyncio.to_thread(cut_off, place.database)
        given["alert"], given["silence"] = await asyncio.to_thread(alerting, place.database)
        newest = (await yard.audit.entries(limit=1))[0].seq
        before = world.cluster.get(NAMESPACE, "held")
        with pytest.raises(ReadOnlyError):
            await call(yard, given)
        entries = [entry for entry in await yard.audit.entries() if entry.seq > newest]
        told = [(entry.action, entry.outcome) for entry in entries if entry.action != "deploy.plan"]
        assert told == [(mutation, "refused")]
        after = world.cluster.get(NAMESPACE, "held")
        assert before is not None and after is not None and before["spec"] == after["spec"]
        assert (await yard.audit.verify()).intact
    finally:
        await yard.close()


async def _not_to_be_asked(*_: object) -> list[str]:
    raise AssertionError("a registry was asked")


async def test_a_read_only_yard_does_not_work_as_a_worker(
    held: tuple[World, Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, place = held
    monkeypatch.setenv("KUBECONFIG", str(place.folder.parent / "kubeconfig"))
    configuration = await asyncio.to_thread(load_configuration, place.config)
    yard = await Yard.open(configuration, YardOptions(read_only=True))
    try:
        with pytest.raises(ReadOnlyError):
            await yard.work()
    finally:
        await yard.close()
