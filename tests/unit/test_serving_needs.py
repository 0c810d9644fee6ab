"""What pods will need, who wrote which field, and how an apply that was cut off is taken back."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.cluster.objects import Pod
from backend.cluster.platform_objects import ResourceQuota
from backend.serving.display import HIDDEN
from backend.serving.needs import Reference, demand, quota_checks, reference_check, references
from backend.serving.ownership import without_defaults
from backend.serving.prerequisites import cold_start_of
from backend.serving.snapshots import Intent, Outcome, Snapshot, became
from backend.serving.undo import cut_off_view, kept_before, projection, undoing

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def _service(name: str = "chat", **predictor: Any) -> dict[str, Any]:
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": name, "namespace": "models"},
        "spec": {"predictor": predictor},
    }


def _resources(**asked: str) -> dict[str, Any]:
    amounts = {key.replace("_", ".").replace("gpu", "nvidia.com/gpu"): value for key, value in asked.items()}
    return {"resources": {"requests": amounts, "limits": dict(amounts)}}


def test_everything_that_pods_name_is_found_wherever_it_stands() -> None:
    service = _service(
        serviceAccountName="llm",
        imagePullSecrets=[{"name": "registry"}],
        volumes=[
            {"name": "cache", "persistentVolumeClaim": {"claimName": "weights"}},
            {"secret": {"secretName": "tls"}},
        ],
        containers=[
            {
                "env": [
                    {"name": "T", "valueFrom": {"secretKeyRef": {"name": "hf", "key": "token"}}},
                    {"name": "O", "valueFrom": {"secretKeyRef": {"name": "may", "key": "x", "optional": True}}},
                ],
                "envFrom": [{"configMapRef": {"name": "settings"}}],
            }
        ],
        workerSpec={"containers": [{"envFrom": [{"secretRef": {"name": "nccl"}}]}]},
    )
    found = {(one.kind, one.name) for one in references([service])}
    assert found == {
        ("ServiceAccount", "llm"), ("Secret", "registry"), ("PersistentVolumeClaim", "weights"), ("Secret", "tls"),
        ("Secret", "hf"), ("ConfigMap", "settings"), ("Secret", "nccl"),
    }  # fmt: skip


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["secret", "env", "name", "imagePullSecrets", "secretKeyRef", "x"]), inner)
    ),
    max_leaves=20,
)


@given(JSON)
def test_no_object_is_too_strange_to_look_through(spec: Any) -> None:
    references([{"spec": spec}])


def test_what_cannot_be_looked_for_is_never_told_as_there() -> None:
    reference = Reference("Secret", "hf", "key token")
    assert reference_check(reference, None, "RBAC").state == "unknown"
    assert "RBAC" in reference_check(reference, None, "RBAC").sentence
    assert reference_check(reference, False).state == "missing"
    assert reference_check(reference, True).state == "ok"


def test_a_service_asks_for_its_replicas_and_overrides_its_runtime() -> None:
    runtime = {"spec": {"containers": [{"name": "kserve-container", **_resources(cpu="1", memory="2Gi")}]}}
    plain = _service(minReplicas=3, model={"modelFormat": {"name": "vLLM"}})
    assert demand(plain, runtime)["requests.cpu"] == 3
    own = _service(minReplicas=2, model={"modelFormat": {"name": "vLLM"}, **_resources(gpu="2")})
    assert demand(own, runtime)["requests.nvidia.com/gpu"] == 4
    assert "requests.cpu" not in demand(own, runtime)
    spread = _service(
        model={"modelFormat": {"name": "vLLM"}, **_resources(gpu="8")},
        workerSpec={"pipelineParallelSize": 3, "containers": [_resources(gpu="8")]},
    )
    assert demand(spread)["requests.nvidia.com/gpu"] == 24
    assert demand(spread)["pods"] == 3
    assert demand(None) == {}


def _quota(hard: dict[str, str], used: dict[str, str], **spec: Any) -> ResourceQuota:
    raw = {"metadata": {"name": "q"}, "spec": {"hard": hard, **spec}, "status": {"hard": hard, "used": used}}
    return msgspec.convert(raw, ResourceQuota)


@pytest.mark.parametrize(
    ("quota", "states"),
    [
        (_quota({"requests.nvidia.com/gpu": "8"}, {"requests.nvidia.com/gpu": "6"}), ["ok"]),
        (_quota({"requests.nvidia.com/gpu": "8"}, {"requests.nvidia.com/gpu": "7"}), ["short"]),
        (_quota({"requests.nvidia.com/gpu": "8"}, {}), ["ok"]),
        (_quota({"requests.memory": "1Gi"}, {}), ["short"]),
        (_quota({"services": "1"}, {"services": "1"}), []),
        (_quota({"pods": "10"}, {"pods": "10"}), ["short"]),
        (_quota({"pods": "10"}, {"pods": "10"}, scopes=["BestEffort"]), ["unknown"]),
        (_quota({"pods": "many"}, {}), ["unknown"]),
    ],
)
def test_a_quota_is_held_against_what_the_plan_adds(quota: ResourceQuota, states: list[str]) -> None:
    after = demand(_service(minReplicas=2, containers=[_resources(gpu="1")]))
    assert [check.state for check in quota_checks([quota], {}, after)] == states


def test_what_a_service_takes_already_is_not_added_again() -> None:
    service = demand(_service(minReplicas=2, containers=[_resources(gpu="1")]))
    full = _quota({"requests.nvidia.com/gpu": "2"}, {"requests.nvidia.com/gpu": "2"})
    assert quota_checks([full], service, service) == ()


def test_a_cold_start_is_told_by_pods_that_were_never_restarted() -> None:
    def pod(seconds: int, restarts: int = 0, ready: str = "True") -> Pod:
        at = (NOW + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")
        raw = {
            "metadata": {"name": "p", "creationTimestamp": NOW.isoformat().replace("+00:00", "Z")},
            "status": {
                "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": at}],
                "containerStatuses": [{"restartCount": restarts}],
            },
        }
        return msgspec.convert(raw, Pod)

    assert cold_start_of([pod(90), pod(200), pod(900, restarts=1), pod(800, ready="False")]) == timedelta(seconds=200)
    assert cold_start_of([]) is None


# ---------------------------------------------------------------- who wrote what


def _managed(spec: dict[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "X", "metadata": {"managedFields": [{"fieldsV1": fields}]}, "spec": spec}


def test_defaults_that_nobody_wrote_are_left_out() -> None:
    written = _managed(
        {
            "replicas": 1,
            "containers": [{"name": "a", "image": "i", "terminationMessagePath": "/dev/log"}],
            "args": ["x"],
        },
        {"f:spec": {"f:containers": {'k:{"name":"a"}': {".": {}, "f:name": {}, "f:image": {}}}, "f:args": {}}},
    )
    assert without_defaults(written)["spec"] == {"containers": [{"name": "a", "image": "i"}], "args": ["x"]}


def test_a_default_that_changes_stays_in_sight() -> None:
    fields = {"f:spec": {"f:a": {}}}
    before, after = _managed({"a": 1, "d": 1}, fields), _managed({"a": 1, "d": 2}, fields)
    assert without_defaults(before, after)["spec"] == {"a": 1, "d": 1}
    assert without_defaults(after, before)["spec"] == {"a": 1, "d": 2}


def test_where_nothing_tells_who_wrote_it_all_is_shown() -> None:
    assert without_defaults({"kind": "X", "spec": {"a": 1}}) == {"kind": "X", "spec": {"a": 1}}


@given(JSON, JSON)
def test_strange_managed_fields_break_nothing(spec: Any, fields: Any) -> None:
    shown = without_defaults({"kind": "X", "metadata": {"managedFields": [{"fieldsV1": fields}, fields]}, "spec": spec})
    assert shown.get("spec", spec) == spec or isinstance(spec, dict | list)


# ---------------------------------------------------------------- coming back


def _intent(*manifests: dict[str, Any], before: tuple[dict[str, Any] | None, ...] = (), **more: Any) -> Intent:
    values: dict[str, Any] = {
        "id": "i1", "context": "prod", "cluster_id": "", "namespace": "models", "name": "chat", "image": "r/i@sha256:1",
        "plan": "p", "manifests": manifests, "deployment": "", "note": "", "actor": "robin", "started_at": NOW,
        "before": before, **more,
    }  # fmt: skip
    return Intent(**values)


def _live(manifest: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    live = copy.deepcopy(manifest)
    live["metadata"] |= {"uid": "u", **metadata}
    return live


def test_what_an_apply_made_is_deleted_and_what_it_changed_returns() -> None:
    new, old = _service("new", minReplicas=2), _service("old", minReplicas=2)
    was = _service("old", minReplicas=1)
    intent = _intent(new, old, before=(None, was))
    undo = undoing(intent, [_live(new), _live(old)], None)
    assert undo.deletions == (new,)
    assert undo.manifests == (was,)
    untouched = undoing(intent, [None, _live(was)], None)
    assert untouched.deletions == ()
    view = cut_off_view(intent, [_live(new), _live(was)], None)
    assert view.told == "1 of 2 objects were applied"
    assert [(one.state, one.made) for one in view.objects] == [("applied", True), ("not applied", False)]
    assert "deletes InferenceService new" in view.undo


def test_a_snapshot_is_returned_to_before_what_the_plan_saw() -> None:
    old, was = _service("old", minReplicas=2), _service("old", minReplicas=1)
    snapshot = Snapshot(intent=_intent(was, id="s1", deployment="name: old"), at=NOW)
    undo = undoing(_intent(old, before=(_service("old", minReplicas=7),)), [_live(old)], snapshot)
    assert undo.manifests == (was,) and undo.source == "name: old" and "snapshot s1" in undo.told


def test_an_object_that_somebody_else_made_meanwhile_is_not_deleted() -> None:
    mine, theirs = _service("x", minReplicas=2), _service("x", minReplicas=9)
    undo = undoing(_intent(mine, before=(None,)), [_live(theirs)], None)
    assert undo.deletions == () and undo.manifests == ()


def test_what_was_not_kept_is_not_made_up() -> None:
    old = _service("old", minReplicas=2)
    assert undoing(_intent(old), [_live(old)], None).impossible
    env = [{"name": "HF_TOKEN", "value": "hf_secret"}]
    kept = kept_before(_live(_service("old", containers=[{"name": "c", "env": env}])), _service("old", containers=[]))
    assert kept is not None and "hf_secret" not in repr(kept) and HIDDEN in repr(kept)
    assert undoing(_intent(old, before=(kept,)), [_live(old)], None).impossible


@given(st.dictionaries(st.sampled_from("abc"), JSON, max_size=3), st.dictionaries(st.sampled_from("abc"), JSON))
def test_a_projection_has_the_fields_of_both_and_the_values_of_the_first(value: Any, shape: Any) -> None:
    kept = projection(value, shape)
    assert set(kept) == set(value) & set(shape)
    assert projection(kept, shape) == kept


def test_how_far_an_apply_came_is_told_from_the_cluster() -> None:
    one, two = _service("one", minReplicas=1), _service("two", minReplicas=1)
    intent = _intent(one, two, before=(None, None))
    assert became(intent, [_live(one), _live(two)]) is Outcome.APPLIED
    assert became(intent, [_live(one), None]) is Outcome.NOT_APPLIED
    assert became(intent, [None, None]) is Outcome.NOT_APPLIED
