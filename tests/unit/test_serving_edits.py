"""Who else wrote what is wanted of an object, and which fields."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from backend.cluster.resources import INFERENCE_SERVICES
from backend.serving.cautions import last_edit
from backend.serving.edits import between, changed_from, edits, owned, spoken, told, value_at

CONTAINER = 'k:{"name":"kserve-container"}'
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=12,
)


def entry(manager: str, fields: Any, time: str = "2026-11-20T12:00:00Z", **more: Any) -> dict[str, Any]:
    return {
        "manager": manager,
        "operation": "Update",
        "time": time,
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
        **more,
    }


def live(*entries: dict[str, Any], **predictor: Any) -> dict[str, Any]:
    return {"metadata": {"name": "llama", "managedFields": list(entries)}, "spec": {"predictor": predictor}}


REPLICAS = {"f:spec": {"f:predictor": {"f:minReplicas": {}}}}


def test_an_edit_names_its_manager_and_the_fields_that_it_owns() -> None:
    fields = {
        "f:metadata": {"f:annotations": {".": {}, "f:serving.kserve.io/stop": {}}},
        "f:spec": {"f:predictor": {"f:containers": {CONTAINER: {".": {}, "f:args": {}}}, "f:minReplicas": {}}},
    }
    (edit,) = edits(live(entry("kubectl-edit", fields)))
    assert [spoken(path) for path in edit.paths] == [
        ".metadata.annotations.serving.kserve.io/stop",
        ".spec.predictor.containers[kserve-container].args",
        ".spec.predictor.minReplicas",
    ]
    assert told(edit, live(), None) == "stop, args, minReplicas"


def test_what_is_ours_status_or_a_controllers_own_is_no_edit() -> None:
    finalizers = {"f:metadata": {"f:finalizers": {".": {}, 'v:"inferenceservice.finalizers"': {}}}}
    copy = {"f:metadata": {"f:annotations": {"f:kubectl.kubernetes.io/last-applied-configuration": {}}}}
    held = live(
        entry("modelyard", REPLICAS),
        entry("manager", finalizers),
        entry("manager", {"f:status": {"f:url": {}}}, subresource="status"),
        entry("kubectl", copy),
    )
    assert edits(held) == ()
    assert [edit.manager for edit in edits(held, ours=True)] == ["modelyard"]


def test_values_are_told_where_what_was_wanted_before_is_known() -> None:
    fields = {
        "f:spec": {"f:predictor": {"f:containers": {CONTAINER: {"f:args": {}, "f:env": {}}}, "f:minReplicas": {}}}
    }
    before = live(minReplicas=1, containers=[{"name": "kserve-container", "args": ["--a=1"], "env": [1]}])
    after = live(
        entry("x", fields), minReplicas=3, containers=[{"name": "kserve-container", "args": ["--a=2"], "env": [2]}]
    )
    (edit,) = edits(after)
    assert told(edit, after, before) == "args --a=1 > --a=2, env, minReplicas 1 > 3"
    assert between({"spec": before["spec"]}, {"spec": after["spec"]}) == "minReplicas 1 > 3, args --a=1 > --a=2, env"


def test_a_secret_is_not_told() -> None:
    assert "hunter2" not in between(live(args=["--api-key=hunter2"]), live(args=["--api-key=hunter3"]))
    assert "hunter2" not in between(live(apiToken="hunter2"), live(apiToken="x"))
    assert "hunter2" not in between(live(args=["--api-key", "hunter2"]), live(args=["--api-key", "hunter3"]))
    tokens = between(live(args=["--max-num-batched-tokens=1"]), live(args=["--max-num-batched-tokens=2"]))
    assert tokens == "args --max-num-batched-tokens=1 > --max-num-batched-tokens=2"


def test_the_last_edit_of_others_is_seen_in_the_decoded_object() -> None:
    import json

    held = live(
        entry("manager", {"f:metadata": {"f:finalizers": {}}}, time="2026-11-20T12:00:05Z"),
        entry("kubectl-edit", REPLICAS, time="2026-11-20T12:00:01Z"),
        entry("modelyard", REPLICAS, time="2026-11-20T12:00:09Z"),
        entry("hpa", {"f:status": {}}, subresource="status"),
    )
    manager, at = last_edit(INFERENCE_SERVICES.items.decode(json.dumps(held)).metadata)
    assert manager == "kubectl-edit" and at is not None and at.second == 1


def test_what_differs_from_what_was_wanted() -> None:
    wanted = {"a": {"b": 1}, "d": [{"name": "x", "v": 1}, {"name": "y", "v": 1}], "e": [{"port": 1}]}
    now = {"a": {"b": 2, "c": 1}, "d": [{"name": "y", "v": 1}, {"name": "x", "v": 3}], "e": [{"port": 1, "more": 2}]}
    assert changed_from(now, wanted) == "b 1 > 2, v 1 > 3"
    assert changed_from(now, wanted, without={("f:a", "f:b")}) == "v 1 > 3"
    assert changed_from({}, {"a": 1}) == "a 1 > none"


@given(JSON, JSON)
def test_no_tree_of_fields_and_no_object_makes_it_fail(tree: Any, object_: Any) -> None:
    for path in owned(tree):
        spoken(path)
        value_at(object_ if isinstance(object_, dict) else {}, path)
    holder = {"metadata": {"managedFields": [entry("x", tree)]}, "spec": object_}
    for edit in edits(holder):
        told(edit, holder, {"spec": {}})
    between({"spec": object_}, {"spec": tree})


@given(JSON)
def test_nothing_differs_from_itself(value: Any) -> None:
    assert changed_from({"a": value}, {"a": value}) == ""
    assert between({"a": value}, {"a": value}) == ""
