"""What really runs, by any of the digests that container runtimes report, against what was approved and applied."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from backend.core.views import RunningState
from backend.serving.running import Drift, Standing, drift, ran, rows
from backend.serving.snapshots import Intent, Snapshot
from tests.fakes.serving_objects import DIGEST, IMAGE, NOW, ago, pod

PLATFORM, CONFIG, OTHER = ("sha256:" + letter * 64 for letter in "abc")
ALIASES = {PLATFORM: DIGEST, CONFIG: DIGEST, DIGEST: DIGEST, OTHER: OTHER}
WHERE = ("prod", "llm-prod", "llama")
MANIFEST = {
    "metadata": {"name": "llama", "namespace": "llm-prod", "labels": {"a": "b"}},
    "spec": {"predictor": {"minReplicas": 1, "containers": [{"name": "kserve-container", "image": IMAGE}]}},
}


def snapshot(seconds: float = 600) -> Snapshot:
    at = NOW - timedelta(seconds=seconds)
    intent = Intent(
        id="f" * 32, context="prod", cluster_id="", namespace="llm-prod", name="llama", image=IMAGE, plan="",
        manifests=(MANIFEST,), deployment="", note="", actor="robin", started_at=at,
    )  # fmt: skip
    return Snapshot(intent=intent, at=at)


def written(manager: str, seconds: float, *names: str, operation: str = "Update") -> dict[str, Any]:
    fields = {"f:spec": {"f:predictor": {f"f:{name}": {} for name in names}}}
    return {"manager": manager, "operation": operation, "time": ago(seconds), "fieldsV1": fields}


def live(*managers: Mapping[str, Any], **predictor: Any) -> dict[str, Any]:
    metadata = {**MANIFEST["metadata"], "managedFields": list(managers)}
    return {"metadata": metadata, "spec": {"predictor": {**MANIFEST["spec"]["predictor"], **predictor}}}


@pytest.mark.parametrize("reported", [DIGEST, PLATFORM, CONFIG])
@pytest.mark.parametrize("form", ["nvcr.io/nim/x@{}", "docker-pullable://nvcr.io/nim/x@{}", "{}"])
def test_any_of_the_three_digests_names_the_image(reported: str, form: str) -> None:
    (one,) = ran([pod(image="nvcr.io/nim/x:1.3", image_id=form.format(reported))], ALIASES.get)
    assert (one.digest, one.note) == (DIGEST, "")


def test_a_reported_digest_that_nobody_knows_says_nothing_against_a_stated_one() -> None:
    unknown = "sha256:" + "d" * 64
    (one,) = ran([pod(image_id=f"x@{unknown}")], ALIASES.get)
    assert (one.digest, one.note) == (DIGEST, "")
    (one,) = ran([pod(image="x:1", image_id=f"x@{unknown}")], ALIASES.get)
    assert one.digest == unknown


def test_another_image_than_the_spec_names_is_what_runs() -> None:
    (one,) = ran([pod(image_id=f"x@{OTHER}")], ALIASES.get)
    assert one.digest == OTHER and "another image" in one.note


def test_replicas_are_one_row_and_what_does_not_run_is_none() -> None:
    two = [pod("a", image_id=IMAGE), pod("b", image_id=IMAGE)]
    waits = pod("c", state={"waiting": {"reason": "ImagePullBackOff"}})
    ended = pod("d", image_id=IMAGE, phase="Failed")
    (one,) = ran([*two, waits, ended], ALIASES.get)
    assert one.pods == ("llama-predictor-a", "llama-predictor-b")


def test_an_image_by_its_tag_alone_is_unknown() -> None:
    running = ran([pod(image="x:1", image_id="")], ALIASES.get)
    (row,) = rows(WHERE, running, lambda _: Standing(RunningState.APPROVED, ""), None, None)
    assert row.state is RunningState.UNKNOWN and "tag alone" in row.detail


def test_each_image_is_judged_and_the_service_beside_them() -> None:
    running = ran([pod("a", image_id=IMAGE), pod("b", image=f"x@{OTHER}", image_id=f"x@{OTHER}")], ALIASES.get)
    states = {DIGEST: Standing(RunningState.APPROVED, ""), OTHER: Standing(RunningState.REVOKED, "digest is revoked")}
    drifted = Drift(told="minReplicas 1 > 3", by=("kubectl-edit",), at=NOW)
    found = rows(WHERE, running, states.__getitem__, snapshot(), drifted)
    assert [row.state for row in found] == [RunningState.APPROVED, RunningState.REVOKED, RunningState.DRIFTED]
    assert found[2].by == "kubectl-edit" and "minReplicas 1 > 3" in found[2].detail


def test_what_differs_from_the_snapshot_is_drift_and_who_wrote_it_is_told() -> None:
    found = drift(live(written("kubectl-edit", 10, "minReplicas"), minReplicas=3), snapshot())
    assert (found.told, found.by) == ("minReplicas 1 > 3", ("kubectl-edit",))


def test_an_edit_that_leaves_what_was_applied_is_an_edit_and_no_drift() -> None:
    found = drift(live(written("hpa-tool", 10, "scaleTarget"), scaleTarget=80), snapshot())
    assert (found.told, found.by, found.fields) == ("", ("hpa-tool",), (".spec.predictor.scaleTarget",))
    (row,) = rows(WHERE, (), lambda _: Standing(RunningState.APPROVED, ""), snapshot(), found)
    assert row.state is RunningState.EDITED


def test_our_own_scale_and_what_others_wrote_before_the_apply_are_neither() -> None:
    ours = written("modelyard", 5, "minReplicas")
    assert drift(live(ours, minReplicas=4), snapshot()) == Drift()
    assert drift(live(written("kubectl", 6000, "minReplicas")), snapshot()) == Drift()
    assert rows(WHERE, (), lambda _: Standing(RunningState.APPROVED, ""), snapshot(), Drift()) == []
