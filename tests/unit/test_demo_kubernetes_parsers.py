"""What the demo's cluster reads from requests: selectors, addresses, patches, protobuf, and objects by their schema."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.demo.kubernetes.answers import StatusError
from backend.demo.kubernetes.calls import Address, parse_address, verb_of
from backend.demo.kubernetes.patches import PatchError, json_patch, merge_patch, strategic_merge_patch
from backend.demo.kubernetes.protobuf import REVIEWS, review_from_protobuf
from backend.demo.kubernetes.schemas import custom_schema
from backend.demo.kubernetes.selectors import SelectorError, parse_fields, parse_labels
from backend.demo.kubernetes.tables import age, find_path
from backend.demo.kubernetes.validation import name_causes, pruned, schema_causes, typed_problems, with_defaults
from backend.demo.kubernetes.writes import schema_of
from backend.demo.resources import EVENTS, INFERENCE_SERVICES, KSERVE_RESOURCES, PODS, SERVING_RUNTIMES

_json = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
_label = st.from_regex(r"[a-z]([a-z0-9]{0,5}[a-z0-9])?", fullmatch=True)


def service(predictor: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "chat"},
        "spec": {"predictor": predictor},
    }


@pytest.mark.parametrize(
    ("selector", "labels", "selected"),
    [
        ("app=chat", {"app": "chat"}, True),
        ("app==chat", {"app": "chat"}, True),
        ("app=chat", {}, False),
        ("app!=chat", {}, True),
        ("app!=chat", {"app": "chat"}, False),
        ("app in (chat, embed)", {"app": "embed"}, True),
        ("app notin (chat)", {"app": "chat"}, False),
        ("app notin (chat)", {}, True),
        ("app", {"app": ""}, True),
        ("!app", {}, True),
        ("!app", {"app": "x"}, False),
        ("app=", {"app": ""}, True),
        ("a=1,b in (2,3),!c", {"a": "1", "b": "3"}, True),
        ("a=1,b in (2,3),!c", {"a": "1", "b": "3", "c": ""}, False),
        ("", {"any": "thing"}, True),
    ],
)
def test_label_selectors(selector: str, labels: dict[str, str], selected: bool) -> None:
    assert all(requirement.matches(labels) for requirement in parse_labels(selector)) is selected


@pytest.mark.parametrize("selector", ["=", "a,", "a in", "a=b c", "a in (b", "a=-b", ",a", "a=b=c"])
def test_malformed_label_selectors(selector: str) -> None:
    with pytest.raises(SelectorError):
        parse_labels(selector)


@given(st.text(max_size=30))
def test_no_text_breaks_the_selectors(text: str) -> None:
    for parse in (parse_labels, lambda given_text: parse_fields(given_text, PODS)):
        try:
            parse(text)
        except SelectorError:
            continue


@given(st.dictionaries(_label, _label, max_size=3), st.dictionaries(_label, _label, max_size=4))
def test_equality_selects_the_labels_that_contain_it(wanted: dict[str, str], labels: dict[str, str]) -> None:
    requirements = parse_labels(",".join(f"{key}={value}" for key, value in wanted.items()))
    assert all(requirement.matches(labels) for requirement in requirements) is (wanted.items() <= labels.items())


def test_field_selectors() -> None:
    event = {"metadata": {"name": "e"}, "involvedObject": {"name": "pod"}, "type": "Warning"}
    text = "involvedObject.name=pod,type!=Normal,reason="
    assert all(requirement.matches(event) for requirement in parse_fields(text, EVENTS))
    with pytest.raises(SelectorError, match="field label not supported"):
        parse_fields("spec.predictor=x", INFERENCE_SERVICES)


@pytest.mark.parametrize(
    ("path", "address"),
    [
        ("/api/v1/nodes", Address(group="", version="v1", plural="nodes")),
        ("/api/v1/namespaces", Address(group="", version="v1", plural="namespaces")),
        ("/api/v1/namespaces/a", Address(group="", version="v1", plural="namespaces", name="a")),
        (
            "/api/v1/namespaces/a/status",
            Address(group="", version="v1", plural="namespaces", name="a", subresource="status"),
        ),
        ("/apis/apps/v1/deployments", Address(group="apps", version="v1", plural="deployments")),
        (
            "/api/v1/namespaces/a/pods/b:1/proxy/x/y",
            Address(group="", version="v1", plural="pods", namespace="a", name="b:1", subresource="proxy", rest="x/y"),
        ),
        ("/api/v1", None),
        ("/apis/apps/v1", None),
        ("/apis/apps", None),
        ("/api/v1//x", None),
    ],
)
def test_addresses(path: str, address: Address | None) -> None:
    assert parse_address(path) == address


@given(st.text(alphabet="/ab.", max_size=20))
def test_no_path_breaks_the_addresses(path: str) -> None:
    parse_address("/api/" + path)
    parse_address("/apis/" + path)


def test_methods_without_a_meaning_are_refused() -> None:
    with pytest.raises(StatusError) as caught:
        verb_of("PUT", Address(group="", version="v1", plural="pods"), watch=False)
    assert caught.value.code == 405


def test_merge_patch_follows_its_rfc() -> None:
    target = {"a": "b", "c": {"d": "e", "f": "g"}, "list": [1, 2]}
    assert merge_patch(target, {"a": "z", "c": {"f": None}, "list": [3]}) == {"a": "z", "c": {"d": "e"}, "list": [3]}
    assert merge_patch({"a": [1]}, {"a": {"b": None, "c": 1}}) == {"a": {"c": 1}}
    assert merge_patch(target, "text") == "text"


@given(_json, _json)
def test_a_merge_patch_is_idempotent(target: Any, patch: Any) -> None:
    once = merge_patch(target, patch)
    assert merge_patch(once, patch) == once


def test_json_patch() -> None:
    target = {"a": {"b/c": [1, 2, 3]}, "x": 1}
    operations = [
        {"op": "test", "path": "/x", "value": 1},
        {"op": "add", "path": "/a/b~1c/1", "value": 9},
        {"op": "add", "path": "/a/b~1c/-", "value": 4},
        {"op": "remove", "path": "/a/b~1c/0"},
        {"op": "move", "from": "/x", "path": "/y"},
        {"op": "copy", "from": "/y", "path": "/a/z"},
        {"op": "replace", "path": "/y", "value": None},
    ]
    assert json_patch(target, operations) == {"a": {"b/c": [9, 2, 3, 4], "z": 1}, "y": None}
    assert target == {"a": {"b/c": [1, 2, 3]}, "x": 1}


@pytest.mark.parametrize(
    "operation",
    [
        {},
        {"op": "add", "path": "/a"},
        {"op": "remove", "path": "/none"},
        {"op": "replace", "path": "/none", "value": 1},
        {"op": "test", "path": "/x", "value": 2},
        {"op": "add", "path": "/list/7", "value": 1},
        {"op": "add", "path": "/list/-1", "value": 1},
        {"op": "add", "path": "x", "value": 1},
        {"op": "add", "path": "/x/y", "value": 1},
        {"op": "move", "path": "/y"},
        {"op": "jump", "path": "/x"},
    ],
)
def test_json_patches_that_do_not_fit(operation: dict[str, Any]) -> None:
    with pytest.raises(PatchError):
        json_patch({"x": 1, "list": []}, [operation])


@given(_json, st.lists(st.fixed_dictionaries({"op": st.text(), "path": st.text(alphabet="/a0~")}), max_size=3) | _json)
def test_no_json_patch_breaks_the_server(target: Any, operations: Any) -> None:
    with contextlib.suppress(PatchError):
        json_patch(target, operations)


def test_strategic_merge_goes_by_keys() -> None:
    pod = {"spec": {"containers": [{"name": "a", "image": "1"}, {"name": "b"}], "tolerations": [{"key": "x"}]}}
    patch = {
        "spec": {
            "$setElementOrder/containers": [{"name": "a"}],
            "containers": [{"name": "a", "image": "2"}, {"$patch": "delete", "name": "b"}],
            "tolerations": [{"key": "y"}],
        }
    }
    patched = strategic_merge_patch(schema_of(PODS), pod, patch)
    assert patched == {"spec": {"containers": [{"name": "a", "image": "2"}], "tolerations": [{"key": "y"}]}}


@given(st.binary(max_size=60), st.sampled_from(sorted(REVIEWS)))
def test_no_bytes_break_the_protobuf(data: bytes, plural: str) -> None:
    for body in (data, b"k8s\x00" + data, b"k8s\x00\x12" + bytes([len(data)]) + data):
        try:
            assert "spec" in review_from_protobuf(body, plural)
        except StatusError as error:
            assert error.code == 400


def test_protobuf_reviews() -> None:
    attributes = b"\x0a\x08llm-prod\x12\x05patch\x1a\x11serving.kserve.io\x2a\x11inferenceservices"
    spec = b"\x0a" + bytes([len(attributes)]) + attributes
    message = b"\x12" + bytes([len(spec)]) + spec
    envelope = b"k8s\x00\x0a\x02\x0a\x00\x12" + bytes([len(message)]) + message + b"\x1a\x00"
    assert review_from_protobuf(envelope, "selfsubjectaccessreviews") == {
        "spec": {
            "resourceAttributes": {
                "namespace": "llm-prod",
                "verb": "patch",
                "group": "serving.kserve.io",
                "resource": "inferenceservices",
            }
        }
    }


@pytest.mark.parametrize(
    ("predictor", "problem"),
    [
        ({"minReplica": 1}, ".spec.predictor.minReplica: field not declared in schema"),
        ({"minReplicas": "one"}, ".spec.predictor.minReplicas: expected numeric (int or float), got string"),
        (
            {"containers": [{"name": "x", "imag": "y"}]},
            ".spec.predictor.containers[0].imag: field not declared in schema",
        ),
        (
            {"model": {"env": [{"value": "x"}]}},
            ".spec.predictor.model.env: element 0: associative list with keys has an element that omits key field "
            '"name" (and doesn\'t have default value)',
        ),
        (
            {"model": {"env": [{"name": "A"}, {"name": "A"}]}},
            '.spec.predictor.model.env: duplicate entries for key [name="A"]',
        ),
        ({"labels": ["x"]}, '.spec.predictor.labels: expected map, got &{["x"]}'),
        ({"containers": {}}, ".spec.predictor.containers: expected list, got &{{}}"),
        (
            {"serviceAccountName": 1},
            ".spec.predictor.serviceAccountName: expected string, got &value.valueUnstructured{Value:1}",
        ),
        ({"hostNetwork": "yes"}, '.spec.predictor.hostNetwork: expected boolean, got &{"yes"}'),
    ],
)
def test_applied_objects_are_typed(predictor: dict[str, Any], problem: str) -> None:
    assert list(typed_problems(custom_schema(INFERENCE_SERVICES), service(predictor))) == [problem]


@pytest.mark.parametrize("quantity", ["1", 1, "500m"])
def test_quantities_are_numbers_or_text(quantity: Any) -> None:
    given_service = service({"model": {"modelFormat": {"name": "x"}, "resources": {"limits": {"cpu": quantity}}}})
    schema = custom_schema(INFERENCE_SERVICES)
    assert list(typed_problems(schema, given_service)) == []
    assert list(schema_causes(schema, given_service)) == []


@pytest.mark.parametrize(
    ("predictor", "reason", "field"),
    [
        ({"containers": [{}]}, "FieldValueRequired", "spec.predictor.containers[0].name"),
        ({"minReplicas": "one"}, "FieldValueTypeInvalid", "spec.predictor.minReplicas"),
        ({"scaleMetric": "luck"}, "FieldValueNotSupported", "spec.predictor.scaleMetric"),
        (
            {"model": {"modelFormat": {"name": "x"}, "resources": {"limits": {"cpu": "many"}}}},
            "FieldValueInvalid",
            "spec.predictor.model.resources.limits.cpu",
        ),
        (
            {"model": {"modelFormat": {"name": "x"}, "env": [{"name": "A"}, {"name": "A"}]}},
            "FieldValueDuplicate",
            "spec.predictor.model.env[1]",
        ),
    ],
)
def test_the_schema_refuses(predictor: dict[str, Any], reason: str, field: str) -> None:
    causes = list(schema_causes(custom_schema(INFERENCE_SERVICES), service(predictor)))
    assert [(cause.reason, cause.field) for cause in causes] == [(reason, field)]


@given(_json)
def test_any_spec_gets_an_answer(spec: Any) -> None:
    for resource in KSERVE_RESOURCES:
        schema = custom_schema(resource)
        content = {"metadata": {"name": "x"}, "spec": spec}
        list(typed_problems(schema, content))
        list(schema_causes(schema, content))
        kept, _ = pruned(schema, content)
        assert pruned(schema, kept) == (kept, [])
        with_defaults(schema, kept)


def test_unknown_fields_are_pruned_where_the_schema_is_closed() -> None:
    schema = custom_schema(INFERENCE_SERVICES)
    given_service = service({"minReplica": 1, "labels": {"any": "thing"}, "containers": [{"name": "x", "y": 1}]})
    kept, unknown = pruned(schema, given_service)
    assert kept == service({"labels": {"any": "thing"}, "containers": [{"name": "x"}]})
    assert unknown == ["spec.predictor.minReplica", "spec.predictor.containers[0].y"]


def test_defaults_come_from_the_schema() -> None:
    runtime = {"spec": {"containers": [{"name": "x", "ports": [{"containerPort": 1}]}]}}
    filled = with_defaults(custom_schema(SERVING_RUNTIMES), runtime)
    assert filled["spec"]["containers"][0]["ports"] == [{"containerPort": 1, "protocol": "TCP"}]


@pytest.mark.parametrize("name", ["a", "a-b.c", "9"])
def test_names(name: str) -> None:
    assert name_causes(name) == []


@pytest.mark.parametrize("name", ["Bad_Name", "-a", "a-", "", "a..b", "ä", "a" * 254, "a\n"])
def test_bad_names(name: str) -> None:
    assert [cause.reason for cause in name_causes(name)] == ["FieldValueInvalid"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-60, "<invalid>"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (200, "3m20s"),
        (600, "10m"),
        (3 * 3600, "3h"),
        (3 * 3600 + 60, "3h1m"),
        (9 * 3600, "9h"),
        (2 * 86400, "2d"),
        (3 * 86400 + 3600, "3d1h"),
        (20 * 86400, "20d"),
        (800 * 86400, "2y"),
    ],
)
def test_ages_read_as_kubectl_writes_them(seconds: int, text: str) -> None:
    now = datetime(2026, 8, 1, tzinfo=UTC)
    assert age((now - timedelta(seconds=seconds)).isoformat(), now) == text
    assert age("soon", now) == "<invalid>"


def test_paths_of_columns() -> None:
    content = json.loads('{"a": [{"t": "x", "v": 1}, {"t": "y", "v": 2, "l": true}], "b": {"c-d": 3}}')
    assert find_path(content, ".a[?(@.t=='y')].v") == 2
    assert find_path(content, ".a[?(@.l==true)].v") == 2
    assert find_path(content, ".a[*].v") == 1
    assert find_path(content, ".b.c-d") == 3
    assert find_path(content, ".b.none[*].x") is None
