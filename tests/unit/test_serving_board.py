"""Rows of services, kept up by watches: joined with pods, events and approvals, judged only when something changed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from backend.core.views import Verdict
from backend.serving import board as board_module
from backend.serving.board import Approval, Changes, ServiceBoard
from backend.serving.detail import detail_view
from backend.serving.digests import digest_of, running_digests
from backend.serving.owners import owner_chain
from backend.serving.runtimes import find_runtime, runtime_views
from backend.serving.verdict import Case, Judgement, judge_case
from tests.fakes.serving_objects import (
    DIGEST,
    IMAGE,
    NOW,
    deployment,
    event,
    pod,
    runtime,
    service,
    terminated,
    waiting,
)

KEY = ("llm-prod", "llama")
PLATFORM = "sha256:" + "aa" * 32
CONFIG = "sha256:" + "bb" * 32


def _board() -> ServiceBoard:
    board = ServiceBoard("prod", approver=lambda digests: Approval(digests <= {DIGEST}, "not in the library"))
    board.reset_services([service(ready="True")])
    board.reset_deployments([deployment(ready=1)])
    board.reset_pods([pod(ready=True, gpus=2)])
    board.refresh(NOW)
    return board


def test_a_row_joins_what_the_watches_tell() -> None:
    board = _board()
    board.set_gpu_types({"gpu-0": "NVIDIA-H100-80GB-HBM3", "gpu-9": "other"})
    (row,) = board.refresh(NOW).rows
    assert row.key == "prod/llm-prod/llama"
    assert (row.verdict, row.ready_replicas, row.wanted_replicas, row.gpus) == (Verdict.SERVING, 1, 1, 2)
    assert row.gpu_type == "NVIDIA-H100-80GB-HBM3"
    assert row.images == (IMAGE,)
    assert row.approved is True
    assert row.mode == "Standard"
    assert row == board.row(KEY)


def test_only_what_changed_is_judged_again(monkeypatch: pytest.MonkeyPatch) -> None:
    board = ServiceBoard("prod")
    board.reset_services([service(f"s{number}", ready="True") for number in range(50)])
    board.refresh(NOW)
    judged: list[str] = []

    def counting(case: Case) -> Judgement:
        judged.append(case.service.metadata.name)
        return judge_case(case)

    monkeypatch.setattr(board_module, "judge_case", counting)
    assert board.refresh(NOW).rows == ()
    board.put_pod(pod(service_name="s7", state=waiting("ErrImagePull", "not found")))
    (row,) = board.refresh(NOW).rows
    assert (row.name, row.verdict) == ("s7", Verdict.FAILED)
    assert judged == ["s7"]


def test_a_long_list_is_judged_in_turns() -> None:
    board = ServiceBoard("prod")
    board.reset_services([service(f"s{number}", ready="True") for number in range(25)])
    turns: list[Changes] = []
    while not turns or turns[-1].more:
        turns.append(board.refresh(NOW, limit=10))
    assert [len(turn.rows) for turn in turns] == [10, 10, 5]
    assert len(board.rows()) == 25


def test_time_alone_makes_a_start_slow() -> None:
    board = ServiceBoard("prod")
    board.reset_services([service(ready="False", age=100)])
    board.reset_pods([pod(age=90)])
    (row,) = board.refresh(NOW).rows
    assert row.verdict is Verdict.STARTING
    (row,) = board.refresh(NOW + timedelta(minutes=30)).rows
    assert row.verdict is Verdict.SLOW_TO_LOAD


def test_a_service_that_goes_leaves_no_row() -> None:
    board = _board()
    board.remove_service(KEY)
    assert board.refresh(NOW).removed == (KEY,)
    assert board.rows() == ()
    assert board.refresh(NOW).removed == ()


def test_a_list_read_anew_removes_what_is_not_in_it() -> None:
    board = _board()
    board.reset_services([service("other", ready="True")])
    changes = board.refresh(NOW)
    assert changes.removed == (KEY,)
    assert [row.name for row in changes.rows] == ["other"]


def test_pods_and_deployments_come_and_go() -> None:
    board = _board()
    board.put_pod(pod("b", ready=True))
    board.put_deployment(deployment(replicas=2, ready=2))
    assert board.refresh(NOW).rows[0].reason == "2 of 2 replicas serve"
    board.remove_pod(pod("b"))
    assert board.refresh(NOW).rows[0].verdict is Verdict.DEGRADED
    board.remove_deployment(deployment())
    board.reset_pods([])
    assert board.refresh(NOW).rows[0].ready_replicas == 0


def test_an_event_on_a_pod_is_joined_and_others_are_not_kept() -> None:
    board = _board()
    board.put_event(event("Failed", "x", on="some-other-pod"))
    board.put_event(event("Killing", "x", on="llama", kind="InferenceService"))
    assert board.refresh(NOW).rows == ()
    board.reset_pods([pod(phase="Pending", state=waiting("ContainerCreating"))])
    board.refresh(NOW)
    board.put_event(event("FailedMount", "no such volume"))
    assert "no such volume" in board.refresh(NOW).rows[0].reason


def test_a_crash_without_a_message_asks_for_its_last_words() -> None:
    board = _board()
    board.put_pod(pod(state=waiting("CrashLoopBackOff"), last=terminated(1), restarts=3))
    assert board.refresh(NOW).rows[0].reason == "crash loop: exit code 1"
    (crash,) = board.silent_crashes()
    assert (crash.pod, crash.container, crash.restarts) == ("llama-predictor-a", "kserve-container", 3)
    board.put_last_words(crash, "INFO loading\ntorch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB\n")
    assert board.refresh(NOW).rows[0].reason == "crash loop: out of GPU memory while loading"
    assert board.silent_crashes() == ()
    board.put_pod(pod(state=waiting("CrashLoopBackOff"), last=terminated(1), restarts=4))
    assert [crash.restarts for crash in board.silent_crashes()] == [4]


def test_approval_is_of_all_that_is_named_and_runs() -> None:
    board = _board()
    board.put_pod(pod("b", ready=True, image=f"r.example/other@sha256:{'11' * 32}"))
    assert board.refresh(NOW).rows[0].approved is False
    board.set_approver(lambda digests: Approval(True, ""))
    assert board.refresh(NOW).rows[0].approved is True
    board.put_pod(pod("b", ready=True, image="r.example/other:latest", image_id=f"r.example/other@{DIGEST}"))
    row = board.refresh(NOW).rows[0]
    assert row.approved is False
    assert "not named by its digest" in row.approval_note


def test_whoever_else_writes_a_service_is_named() -> None:
    for labels, annotated, managers, owner in (
        ({}, {"argocd.argoproj.io/tracking-id": "x"}, [], "Argo CD"),
        ({"kustomize.toolkit.fluxcd.io/name": "x"}, {}, [], "Flux"),
        ({}, {}, [{"manager": "argocd-controller", "operation": "Apply"}], "Argo CD"),
        ({}, {"meta.helm.sh/release-name": "x"}, [], "Helm"),
        ({}, {}, [{"manager": "modelyard", "operation": "Apply"}], ""),
    ):
        board = ServiceBoard("prod")
        board.reset_services([service(ready="True", labels=labels, annotations=annotated, managedFields=managers)])
        assert board.refresh(NOW).rows[0].owner == owner


@pytest.mark.parametrize(
    ("reported", "known"),
    [
        (f"docker-pullable://nvcr.io/nim/meta/llama@{PLATFORM}", DIGEST),
        (CONFIG, DIGEST),
        (f"nvcr.io/x@{DIGEST}", DIGEST),
        ("sha256:" + "cc" * 32, ""),
        ("", ""),
    ],
)
def test_a_reported_image_is_matched_by_index_platform_or_config(reported: str, known: str) -> None:
    tagged = pod(ready=True, image="nvcr.io/nim/meta/llama:1.8", image_id=reported)
    found = running_digests(service(), [tagged], {PLATFORM: DIGEST, CONFIG: DIGEST})
    assert found.named == {DIGEST}
    assert found.running == ({known} if known else ({digest_of(reported)} - {""}))
    assert found.unpinned == ("nvcr.io/nim/meta/llama:1.8",)


def test_a_pinned_image_counts_as_what_it_is_pinned_to() -> None:
    found = running_digests(service(), [pod(ready=True, image_id="sha256:" + "cc" * 32)])
    assert found.running == {DIGEST}
    other = running_digests(service(), [pod(image_id=CONFIG)], {CONFIG: "sha256:" + "dd" * 32})
    assert other.running == {DIGEST, "sha256:" + "dd" * 32}


def test_runtimes_tell_who_uses_them() -> None:
    format_: dict[str, Any] = {"supportedModelFormats": [{"name": "vLLM", "version": "1"}], "protocolVersions": ["v2"]}
    server = {"name": "kserve-container", "image": IMAGE, "livenessProbe": {"timeoutSeconds": 3}}
    container: dict[str, Any] = {"containers": [server]}
    runtimes = [runtime("vllm", **format_, **container), runtime("vllm", "llm-prod", **format_), runtime("old")]
    users = [
        service("a", predictor={"model": {"runtime": "vllm"}}),
        service("b", predictor={"model": {"runtime": "old"}}),
    ]
    first, second, third = runtime_views("prod", runtimes, users)
    assert (first.namespace, first.name, first.used_by) == ("", "old", ("llm-prod/b",))
    assert (second.namespace, second.name, second.used_by) == ("", "vllm", ())
    assert second.formats == ("vLLM 1",)
    assert second.images == (IMAGE,)
    assert (third.namespace, third.used_by) == ("llm-prod", ("llm-prod/a",))
    found = find_runtime("vllm", "elsewhere", runtimes)
    assert found is not None
    assert (found.namespace, found.formats, found.liveness_timeout) == ("", ("vLLM",), 3)
    assert find_runtime("none", "elsewhere", runtimes) is None


def test_the_detail_holds_what_explains_the_verdict() -> None:
    board = _board()
    board.put_event(event("Unhealthy", "Readiness probe failed"))
    case, row = board.case(KEY, NOW), board.row(KEY)
    assert case is not None
    assert row is not None
    raw = {"metadata": {"name": "llama", "managedFields": [{"manager": "x"}], "uid": "u"}, "spec": {}}
    detail = detail_view(row, case, raw, [event("Created", "made it", on="llama", kind="InferenceService", seconds=90)])
    assert [told.reason for told in detail.events] == ["Unhealthy", "Created"]
    assert detail.pods[0].ready
    assert {told.type for told in detail.conditions} == {"PredictorReady", "Ready"}
    assert "managedFields" not in detail.manifest
    assert "uid: u" in detail.manifest


def test_rows_whose_watch_is_lost_keep_what_was_known_with_its_age_and_time_judges_nothing() -> None:
    board = ServiceBoard("prod")
    board.reset_services([service(predictor_ready="False", ready="False", age=120)])
    board.reset_pods([pod(age=100, phase="Pending", state={"running": {"startedAt": None}})])
    board.reset_deployments([deployment(deadline=600)])
    (live,) = board.refresh(NOW).rows
    assert (live.verdict, live.as_of) == (Verdict.STARTING, None)

    board.set_lost({"other": NOW})
    assert board.refresh(NOW).rows == ()
    board.set_lost({"llm-prod": NOW})
    (lost,) = board.refresh(NOW + timedelta(seconds=20)).rows
    assert (lost.verdict, lost.reason, lost.as_of) == (Verdict.STARTING, live.reason, NOW)
    assert board.refresh(NOW + timedelta(hours=1)).rows == ()

    board.set_lost({})
    (back,) = board.refresh(NOW + timedelta(hours=1)).rows
    assert (back.verdict, back.as_of) == (Verdict.SLOW_TO_LOAD, None)


def test_the_chain_of_owners_goes_from_who_writes_it_to_its_pods() -> None:
    owned = service(ready="True", labels={"argocd.argoproj.io/instance": "llm"})
    case = Case(
        service=owned,
        deployments=[deployment(ready=1)],
        pods=[pod("a", ready=True, owner="llama-predictor-7d9f"), pod("b", owner="stray", node="")],
        now=NOW,
    )
    manifest = {"metadata": {"managedFields": [{"manager": "kubectl-edit", "time": "2026-11-20T10:00:00Z"}, "odd"]}}
    assert [(one.depth, one.kind, one.name) for one in owner_chain(case, manifest)] == [
        (0, "written by", "Argo CD"),
        (0, "field manager", "kubectl-edit"),
        (1, "InferenceService", "llama"),
        (2, "Deployment", "llama-predictor"),
        (3, "ReplicaSet", "llama-predictor-7d9f"),
        (4, "Pod", "llama-predictor-a"),
        (2, "ReplicaSet", "stray"),
        (3, "Pod", "llama-predictor-b"),
    ]
