"""How far a rollout has come, and which snapshot is the last good one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec

from backend.cluster.kserve_objects import ComponentStatus
from backend.core.views import ServiceView, Verdict
from backend.serving.board import Approval
from backend.serving.case import Case
from backend.serving.rollouts import Stage, progress, unrouted_revision
from backend.serving.rows import service_view
from backend.serving.snapshots import Intent, Snapshot
from backend.serving.validations import last_good
from backend.serving.verdict import judge_case
from tests.fakes.serving_objects import IMAGE, NOW, deployment, pod, service, terminated, waiting

STARTUP = timedelta(minutes=30)


def case_of(*, updated: int = 1, ready: bool = True, replicas: int = 1, pods: Any = None, **more: Any) -> Case:
    made = deployment(replicas=replicas, ready=replicas if ready else 0)
    status = msgspec.structs.replace(made.status, updated_replicas=updated)
    return Case(
        service=more.pop("service", service(ready="True" if ready else "False")),
        deployments=more.pop("deployments", (msgspec.structs.replace(made, status=status),)),
        pods=pods if pods is not None else (pod(ready=ready),),
        now=NOW,
    )


def row_of(case: Case) -> ServiceView:
    return service_view("prod", case, judge_case(case), images=(IMAGE,), approval=Approval(True, ""))


def stage(case: Case, seconds: float = 300) -> Stage:
    return progress(case, row_of(case), NOW - timedelta(seconds=seconds), STARTUP).stage


def test_it_is_there_when_every_pod_is_of_the_newest_template_and_serves() -> None:
    assert stage(case_of()) is Stage.THERE
    assert stage(case_of(updated=0)) is Stage.GOING_ON, "the old pods serve still"


def test_the_controller_is_given_a_moment_before_its_numbers_are_believed() -> None:
    assert stage(case_of(), seconds=2) is Stage.GOING_ON


def test_a_crash_has_to_last_before_it_is_a_failure() -> None:
    crashed = pod(state=waiting("CrashLoopBackOff"), last=terminated(1, "out of memory"), restarts=3)
    case = case_of(ready=False, pods=(crashed,))
    assert row_of(case).verdict is Verdict.FAILED
    assert stage(case, seconds=300) is Stage.FAILED
    assert stage(case, seconds=10) is Stage.GOING_ON


def test_what_never_comes_up_fails_in_the_end() -> None:
    case = case_of(ready=False, pods=(pod(age=100),))
    assert stage(case, seconds=60 * 40) is Stage.GOING_ON
    assert stage(case, seconds=60 * 50) is Stage.FAILED


def test_a_stopped_service_has_nobody_to_ask() -> None:
    stopped = service(annotations={"serving.kserve.io/stop": "true"})
    assert stage(Case(service=stopped, now=NOW)) is Stage.NOTHING_RUNS


def test_a_revision_without_traffic_is_asked_before_it_gets_any() -> None:
    component = ComponentStatus(
        latest_created_revision="llama-00002",
        latest_ready_revision="llama-00002",
        latest_rolledout_revision="llama-00001",
    )
    made = service(ready="True", predictor={"canaryTrafficPercent": 0, "containers": [{"image": IMAGE}]})
    assert made.status is not None
    status = msgspec.structs.replace(made.status, components={"predictor": component})
    held = msgspec.structs.replace(made, status=status)

    def of(revision: str, name: str) -> Any:
        one = pod(name, ready=True)
        labels = {**(one.metadata.labels or {}), "serving.knative.dev/revision": revision}
        return msgspec.structs.replace(one, metadata=msgspec.structs.replace(one.metadata, labels=labels))

    old, new = of("llama-00001", "old"), of("llama-00002", "new")
    case = Case(service=held, pods=(old, new), now=NOW)
    found = progress(case, row_of(case), NOW - timedelta(seconds=60), STARTUP)
    assert unrouted_revision(case) == "llama-00002"
    assert found.stage is Stage.THERE and found.before_traffic and found.pods == (new,)
    only_old = Case(service=held, pods=(old,), now=NOW)
    assert progress(only_old, row_of(only_old), NOW - timedelta(seconds=60), STARTUP).stage is Stage.GOING_ON


def held(*replicas: int) -> list[Snapshot]:
    """Snapshots, the newest first, of services with so many replicas, called by the letters of the alphabet."""
    made = []
    for position, count in enumerate(replicas):
        manifests = ({"spec": {"predictor": {"minReplicas": count}}},)
        intent = Intent(
            id="abcdef"[position], context="prod", cluster_id="", namespace="llm", name="llama", image=IMAGE, plan="",
            manifests=manifests, deployment="", note="", actor="robin", started_at=NOW,
        )  # fmt: skip
        made.append(Snapshot(intent=intent, at=NOW - timedelta(hours=position)))
    return made


def test_the_last_good_snapshot_was_proved_and_is_still_approved() -> None:
    snapshots = held(1, 2, 3, 4)
    everything = "abcd"

    def chosen(proved: dict[str, str], approved: str = everything) -> str:
        found = last_good(snapshots, proved, approved)
        return found.id if found is not None else ""

    assert chosen({}) == "b", "nothing is known: the one before"
    assert chosen({"c": "passed"}) == "c", "proved before not proved"
    assert chosen({"b": "failed"}) == "c", "one that was proved bad is never returned to"
    assert chosen({"c": "passed"}, "abd") == "b", "nor one that is no longer approved"
    assert chosen({"b": "failed", "c": "failed", "d": "failed"}) == ""
    assert last_good(held(1, 1, 2), {}, "abc").id == "c"  # type: ignore[union-attr]  # the same as what runs is no way back
    assert last_good([], {}, "") is None
