"""Server-side apply as pure functions: what an apply makes of an object, and who owns it then."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.demo.kubernetes.answers import StatusError
from backend.demo.kubernetes.fields import compare, from_tree, owned_fields, spoken, to_tree
from backend.demo.kubernetes.ownership import Manager, applied, updated
from backend.demo.kubernetes.schemas import Node

_NUMBER = Node(type="integer")
_ITEM = Node(
    type="object",
    properties={"name": Node(type="string"), "value": _NUMBER, "port": Node(type="string", default="http")},
)
#: A schema with every way to merge.
SCHEMA = Node(
    type="object",
    properties={
        "metadata": Node(type="object", properties={"name": Node(type="string"), "labels": Node(additional=_NUMBER)}),
        "spec": Node(
            type="object",
            properties={
                "number": _NUMBER,
                "inner": Node(type="object", properties={"a": _NUMBER, "b": _NUMBER}),
                "free": Node(type="object", additional=_NUMBER),
                "whole": Node(type="object", map="atomic", additional=_NUMBER),
                "plain": Node(type="array", items=_NUMBER),
                "tags": Node(type="array", list="set", items=Node(type="string")),
                "items": Node(type="array", list="map", keys=("name",), items=_ITEM),
                "ports": Node(type="array", list="map", keys=("name", "port"), items=_ITEM),
            },
        ),
    },
)
ROBIN = Manager("robin", "Apply", "v1")
MIRA = Manager("mira", "Apply", "v1")
EDITOR = Manager("editor", "Update", "v1")

_numbers = st.integers(0, 2)
_names = st.sampled_from(["x", "y", "z"])
_items = st.lists(
    st.fixed_dictionaries({"name": _names}, optional={"value": _numbers}),
    max_size=3,
    unique_by=lambda item: item["name"],
)
_specs = st.fixed_dictionaries(
    {},
    optional={
        "number": _numbers,
        "inner": st.fixed_dictionaries({}, optional={"a": _numbers, "b": _numbers}),
        "free": st.dictionaries(_names, _numbers, max_size=3),
        "whole": st.dictionaries(_names, _numbers, max_size=2),
        "plain": st.lists(_numbers, max_size=2),
        "tags": st.lists(_names, max_size=3, unique=True),
        "items": _items,
        "ports": _items,
    },
)


def config(spec: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"name": "chat"}, "spec": spec}


def apply(live: dict[str, Any] | None, spec: dict[str, Any], who: Manager = ROBIN, **more: Any) -> dict[str, Any]:
    """The object after an apply, with its owners."""
    content, owners = applied(SCHEMA, live, config(spec), who, **{"force": False, "now": "t1", **more})
    return {**content, "metadata": {**content["metadata"], "managedFields": owners.entries()}}


def edit(live: dict[str, Any], spec: dict[str, Any]) -> dict[str, Any]:
    """The object after somebody has replaced its spec."""
    owners = updated(SCHEMA, live, {**live, "spec": spec}, EDITOR, now="t2")
    return {**live, "spec": spec, "metadata": {**live["metadata"], "managedFields": owners.entries()}}


def owned(live: dict[str, Any], who: Manager) -> set[tuple[str, ...]]:
    trees = [entry["fieldsV1"] for entry in live["metadata"]["managedFields"] if entry["manager"] == who.name]
    return {path for tree in trees for path in from_tree(tree)}


def test_an_apply_owns_what_it_names() -> None:
    live = apply(None, {"number": 1, "plain": [1], "items": [{"name": "x", "value": 2}], "tags": ["y"]})
    assert live["metadata"]["managedFields"] == [
        {
            "apiVersion": "v1",
            "fieldsType": "FieldsV1",
            "fieldsV1": {
                "f:spec": {
                    "f:items": {'k:{"name":"x"}': {".": {}, "f:name": {}, "f:value": {}}},
                    "f:number": {},
                    "f:plain": {},
                    "f:tags": {'v:"y"': {}},
                }
            },
            "manager": "robin",
            "operation": "Apply",
            "time": "t1",
        }
    ]


def test_what_is_no_longer_applied_goes() -> None:
    live = apply(None, {"number": 1, "inner": {"a": 1}, "items": [{"name": "x"}, {"name": "y"}], "tags": ["x", "y"]})
    assert apply(live, {"items": [{"name": "y"}], "tags": ["x"]})["spec"] == {"items": [{"name": "y"}], "tags": ["x"]}


def test_what_another_owns_too_stays() -> None:
    live = apply(apply(None, {"number": 1, "inner": {"a": 1}}), {"number": 1, "inner": {"b": 2}}, MIRA)
    after = apply(live, {})
    assert after["spec"] == {"number": 1, "inner": {"b": 2}}
    assert owned(after, ROBIN) == {("f:spec",)}


def test_what_nobody_applied_stays() -> None:
    live = apply(None, {"number": 1})
    live = {**live, "spec": {**live["spec"], "free": {"x": 1}}}
    assert apply(live, {"number": 2})["spec"] == {"number": 2, "free": {"x": 1}}


def test_a_field_of_another_is_a_conflict() -> None:
    live = edit(apply(None, {"number": 1, "free": {"x": 1}}), {"number": 2, "free": {"x": 2}})
    with pytest.raises(StatusError) as caught:
        apply(live, {"number": 3, "free": {"x": 1}})
    body = caught.value.body
    assert isinstance(body, dict)
    assert body["message"] == (
        'Apply failed with 2 conflicts: conflicts with "editor" using v1:\n- .spec.free.x\n- .spec.number'
    )
    assert [cause["field"] for cause in body["details"]["causes"]] == [".spec.free.x", ".spec.number"]


def test_force_takes_the_field_over() -> None:
    live = edit(apply(None, {"number": 1}), {"number": 2})
    assert owned(live, ROBIN) == set()
    after = apply(live, {"number": 3}, force=True)
    assert (after["spec"], owned(after, EDITOR), owned(after, ROBIN)) == (
        {"number": 3},
        set(),
        {("f:spec", "f:number")},
    )


def test_the_same_value_is_owned_by_both() -> None:
    live = apply(apply(None, {"number": 1}), {"number": 1}, MIRA)
    assert owned(live, ROBIN) == owned(live, MIRA) == {("f:spec", "f:number")}


def test_an_edit_takes_away_what_it_changes_and_adds_what_appears() -> None:
    live = edit(apply(None, {"number": 1, "plain": [1]}), {"number": 2, "plain": [1], "free": {"x": 1}})
    assert owned(live, ROBIN) == {("f:spec", "f:plain")}
    assert owned(live, EDITOR) == {("f:spec", "f:number"), ("f:spec", "f:free"), ("f:spec", "f:free", "f:x")}


def test_others_keep_the_time_of_their_last_write() -> None:
    live = edit(apply(None, {"number": 1, "plain": [1]}), {"number": 2, "plain": [1]})
    times = {entry["manager"]: entry["time"] for entry in live["metadata"]["managedFields"]}
    assert times == {"robin": "t1", "editor": "t2"}


def test_keyed_lists_use_the_default_of_an_absent_key() -> None:
    live = apply(None, {"ports": [{"name": "x", "value": 1}]})
    after = apply(live, {"ports": [{"name": "x", "port": "http", "value": 2}]})
    assert after["spec"]["ports"] == [{"name": "x", "port": "http", "value": 2}]


def test_paths_are_spoken_as_kubernetes_does() -> None:
    assert spoken(("f:spec", "f:items", 'k:{"a":1,"name":"x"}', "f:b.c")) == '.spec.items[a=1,name="x"].b.c'
    assert spoken(("f:tags", 'v:"x"')) == '.tags[="x"]'


@given(st.sets(st.lists(st.sampled_from(["f:a", "f:b", 'k:{"n":"."}', 'v:"."']), min_size=1, max_size=4).map(tuple)))
def test_sets_survive_their_written_form(fields: set[tuple[str, ...]]) -> None:
    assert set(from_tree(to_tree(fields))) == fields


@given(_specs)
def test_the_same_apply_again_changes_nothing(spec: dict[str, Any]) -> None:
    live = apply(None, spec)
    assert apply(live, spec, now="t9") == live


@given(_specs, _specs)
def test_an_apply_alone_leaves_exactly_what_it_names(first: dict[str, Any], second: dict[str, Any]) -> None:
    after = apply(apply(None, first), second)
    assert not any(compare(SCHEMA, {"spec": second}, {"spec": after["spec"]}))
    assert owned(after, ROBIN) == set(owned_fields(SCHEMA, {"spec": second}))


@given(_specs, _specs, _specs)
def test_applied_values_stand_whatever_others_do(
    one: dict[str, Any], other: dict[str, Any], edited: dict[str, Any]
) -> None:
    live = apply(apply(None, one), other, MIRA, force=True)
    live = apply(edit(live, edited), one, force=True)
    values = dict(leaves(live["spec"]))
    for path, value in leaves(one):
        if value not in ({}, []):
            assert values[path] == value


@given(_specs, _specs)
def test_after_a_forced_apply_nobody_else_owns_a_different_value(one: dict[str, Any], other: dict[str, Any]) -> None:
    live = apply(apply(None, one), other, MIRA, force=True)
    shared_fields = owned(live, ROBIN) & owned(live, MIRA)
    changed = compare(SCHEMA, {"spec": one}, {"spec": other})
    assert not shared_fields & changed.modified


def leaves(value: Any, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    """Path and value of whatever is no granular container in a spec of this schema."""
    if isinstance(value, dict) and path != ("whole",):
        return [leaf for name, item in value.items() for leaf in leaves(item, (*path, name))]
    if path in (("items",), ("ports",)) and isinstance(value, list):
        return [leaf for item in value for leaf in leaves(item, (*path, item["name"]))]
    if path == ("tags",):
        return [((*path, item), True) for item in value]
    return [(path, value)]
