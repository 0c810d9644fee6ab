"""Checks of an object against its schema, and what the schema does to it: defaults, and dropping what it lacks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from backend.demo.kubernetes.answers import Cause
from backend.demo.kubernetes.fields import element_name, spoken
from backend.demo.kubernetes.schemas import OPEN, Node
from backend.demo.objects import copied

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_NAME_LENGTH = 253
_NAME_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)


def name_causes(name: str) -> list[Cause]:
    """What is wrong with an object's name."""
    causes = []
    if not _NAME.fullmatch(name):
        causes.append(Cause("FieldValueInvalid", f"Invalid value: {_quoted(name)}: {_NAME_RULE}", "metadata.name"))
    if len(name) > _NAME_LENGTH:
        message = f"Invalid value: {_quoted(name)}: must be no more than {_NAME_LENGTH} characters"
        causes.append(Cause("FieldValueInvalid", message, "metadata.name"))
    return causes


def typed_problems(node: Node, value: Any, where: str = "") -> Iterator[str]:
    """What keeps an applied object from being typed, in the words of structured-merge-diff."""
    problem = _shape_problem(node, value)
    if problem:
        yield f"{where}: {problem}"
    elif isinstance(value, dict) and (node.properties or node.additional or not node.open):
        for name, item in value.items():
            child = node.child(name)
            if child is None:
                yield f"{where}.{name}: field not declared in schema"
            else:
                yield from typed_problems(child, item, f"{where}.{name}")
    elif isinstance(value, list):
        yield from _typed_items(node, value, where)


def _shape_problem(node: Node, value: Any) -> str:
    if value is None or node.int_or_string or not node.type:
        return ""
    if node.type in ("integer", "number"):
        if isinstance(value, bool) or not isinstance(value, int | float):
            return f"expected numeric (int or float), got {_go_type(value)}"
    elif node.type == "string":
        if not isinstance(value, str):
            return f"expected string, got &value.valueUnstructured{{Value:{_go_value(value)}}}"
    elif node.type == "boolean":
        if not isinstance(value, bool):
            return f"expected boolean, got &{{{_go_value(value)}}}"
    elif node.type == "array" and not isinstance(value, list):
        return f"expected list, got &{{{_go_value(value)}}}"
    elif node.type == "object" and not isinstance(value, dict):
        return f"expected map, got &{{{_go_value(value)}}}"
    return ""


def _typed_items(node: Node, items: list[Any], where: str) -> Iterator[str]:
    element = node.element()
    seen: set[str] = set()
    for index, item in enumerate(items):
        name = ""
        if node.list == "map":
            missing = [key for key in node.keys if not _has_key(element, item, key)]
            if missing:
                yield (
                    f"{where}: element {index}: associative list with keys has an element that omits key field "
                    f'"{missing[0]}" (and doesn\'t have default value)'
                )
                continue
        if node.list != "atomic":
            name = element_name(node, item)
            if name in seen:
                yield f"{where}: duplicate entries for key {spoken((name,))}"
            seen.add(name)
        yield from typed_problems(element, item, where + (spoken((name,)) if name else f"[{index}]"))


def _has_key(element: Node, item: Any, key: str) -> bool:
    child = element.properties.get(key)
    return isinstance(item, dict) and (key in item or (child is not None and child.default is not msgspec.UNSET))


def pruned(node: Node, value: Any, where: str = "") -> tuple[Any, list[str]]:
    """The value without undeclared fields, and where those were. The value itself is not changed."""
    unknown: list[str] = []
    if isinstance(value, dict) and (node.properties or node.additional or not node.open) and _declares(node):
        kept = {}
        for name, item in value.items():
            here = f"{where}.{name}" if where else name
            child = node.child(name)
            if child is None:
                unknown.append(here)
                continue
            kept[name], below = pruned(child, item, here)
            unknown += below
        return kept, unknown
    if isinstance(value, list):
        items = []
        for index, item in enumerate(value):
            kept_item, below = pruned(node.element(), item, f"{where}[{index}]")
            items.append(kept_item)
            unknown += below
        return items, unknown
    return value, unknown


def _declares(node: Node) -> bool:
    """Whether the schema says anything about an object's fields."""
    return node.type == "object" or bool(node.properties)


def with_defaults(node: Node, value: Any) -> Any:
    """The value with the schema's defaults for absent fields. The value itself is not changed."""
    if isinstance(value, dict):
        filled = {name: with_defaults(node.child(name) or OPEN, item) for name, item in value.items()}
        for name, child in node.properties.items():
            if name not in filled and child.default is not msgspec.UNSET:
                filled[name] = with_defaults(child, copied(child.default))
        return filled
    if isinstance(value, list):
        return [with_defaults(node.element(), item) for item in value]
    return value


def schema_causes(node: Node, value: Any, where: str = "") -> Iterator[Cause]:
    """What a custom resource's validation refuses: wrong types, missing fields, limits."""
    if value is None and (node.nullable or not node.type):
        return
    wrong = _type_problem(node, value)
    if wrong:
        message = (
            f'Invalid value: "{_json_type(value)}": {where} in body must be of type {wrong}: "{_json_type(value)}"'
        )
        yield Cause("FieldValueTypeInvalid", message, where)
        return
    yield from _limit_causes(node, value, where)
    if isinstance(value, dict):
        for name in node.required:
            if name not in value:
                yield Cause("FieldValueRequired", "Required value", f"{where}.{name}" if where else name)
        for name, item in value.items():
            yield from schema_causes(node.child(name) or OPEN, item, f"{where}.{name}" if where else name)
    elif isinstance(value, list):
        yield from _repeated(node, value, where)
        for index, item in enumerate(value):
            yield from schema_causes(node.element(), item, f"{where}[{index}]")


def _repeated(node: Node, items: list[Any], where: str) -> Iterator[Cause]:
    if node.list == "atomic":
        return
    seen: set[str] = set()
    for index, item in enumerate(items):
        name = element_name(node, item)
        if name in seen:
            keys = json.dumps(json.loads(name[2:]), separators=(",", ":"))
            yield Cause("FieldValueDuplicate", f"Duplicate value: {keys}", f"{where}[{index}]")
        seen.add(name)


def _type_problem(node: Node, value: Any) -> str:
    """The wanted type where the value is not of it."""
    if node.int_or_string:
        return "" if isinstance(value, int | str) and not isinstance(value, bool) else "integer,string"
    actual = _json_type(value)
    if not node.type or actual == node.type or (actual == "integer" and node.type == "number"):
        return ""
    return node.type


def _limit_causes(node: Node, value: Any, where: str) -> Iterator[Cause]:
    shown = json.dumps(value)
    for name, limit in node.limits.items():
        if name == "enum":
            if value not in limit:
                supported = ", ".join(json.dumps(each) for each in limit)
                message = f"Unsupported value: {shown}: supported values: {supported}"
                yield Cause("FieldValueNotSupported", message, where)
        elif problem := _limit_problem(name, limit, value):
            yield Cause("FieldValueInvalid", f"Invalid value: {shown}: {where} in body {problem}", where)


def _limit_problem(name: str, limit: Any, value: Any) -> str:
    if name == "pattern":
        return f"should match '{limit}'" if isinstance(value, str) and not re.search(limit, value) else ""
    if name in ("minimum", "maximum"):
        if isinstance(value, bool) or not isinstance(value, int | float):
            return ""
        words = {"minimum": "greater than or equal to", "maximum": "less than or equal to"}
        wrong = value < limit if name == "minimum" else value > limit
        return f"should be {words[name]} {limit}" if wrong else ""
    sized = str if name.endswith("Length") else list
    if not isinstance(value, sized):
        return ""
    at_least = name.startswith("min")
    if (len(value) < limit) if at_least else (len(value) > limit):
        unit = "chars long" if sized is str else "items"
        verb = "be" if sized is str else "have"
        return f"should {verb} at {'least' if at_least else 'most'} {limit} {unit}"
    return ""


def _json_type(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    names = {int: "integer", float: "number", str: "string", list: "array", dict: "object", type(None): "null"}
    return names[type(value)]


def _go_type(value: Any) -> str:
    names = {bool: "bool", str: "string", list: "[]interface {}", dict: "map[string]interface {}"}
    return names.get(type(value), type(value).__name__)


def _go_value(value: Any) -> str:
    return _quoted(value) if isinstance(value, str) else json.dumps(value)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
