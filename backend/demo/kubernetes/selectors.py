"""Label and field selectors."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

from backend.demo.objects import Object, Stored
from backend.demo.resources import EVENTS, NODES, PODS, SECRETS, Resource

#: Whether a stored object is selected.
Predicate: TypeAlias = Callable[[Stored], bool]

_SET_BASED = re.compile(r"(?P<key>[^\s,=!()]+)\s+(?P<operator>in|notin)\s*\((?P<values>[^()]*)\)")
_EQUALITY = re.compile(r"(?P<key>[^\s,=!()]+)\s*(?P<operator>==|=|!=)\s*(?P<value>[^\s,=!()]*)")
_EXISTENCE = re.compile(r"(?P<operator>!?)\s*(?P<key>[^\s,=!()]+)")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_EVENT_FIELDS = tuple(
    f"involvedObject.{name}"
    for name in ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
)
#: Fields that may be selected by, beside name and namespace.
_SELECTABLE: dict[Resource, tuple[str, ...]] = {
    PODS: ("spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "status.phase", "status.podIP"),
    NODES: ("spec.unschedulable",),
    EVENTS: (*_EVENT_FIELDS, "reason", "type", "reportingComponent"),
    SECRETS: ("type",),
}


class SelectorError(Exception):
    """A selector that cannot be understood, or selects by a field that cannot be selected by."""


class Requirement(NamedTuple):
    """One condition on labels: `operator` is `in`, `notin`, `exists` or `absent`."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether labels meet it. `notin` is met by labels that lack the key, as in Kubernetes."""
        if self.operator == "exists":
            return self.key in labels
        if self.operator == "absent":
            return self.key not in labels
        return (labels.get(self.key) in self.values) is (self.operator == "in")


def parse_labels(text: str) -> tuple[Requirement, ...]:
    """The requirements of a label selector, all of which must be met.

    Raises:
        SelectorError: it is malformed.
    """
    requirements: list[Requirement] = []
    rest = text.strip()
    while rest:
        requirement, rest = _requirement(rest, text)
        requirements.append(requirement)
        rest = rest.lstrip()
        if rest:
            if not rest.startswith(","):
                raise SelectorError(f"unable to parse requirement: found '{rest}', expected: ',' or 'end of string'")
            rest = rest[1:].lstrip()
            if not rest:
                raise SelectorError("unable to parse requirement: found '', expected: identifier after ','")
    return tuple(requirements)


def _requirement(rest: str, whole: str) -> tuple[Requirement, str]:
    if match := _SET_BASED.match(rest):
        values = frozenset(value.strip() for value in match["values"].split(","))
        requirement = Requirement(match["key"], match["operator"], values)
    elif match := _EQUALITY.match(rest):
        operator = "notin" if match["operator"] == "!=" else "in"
        requirement = Requirement(match["key"], operator, frozenset({match["value"]}))
    elif match := _EXISTENCE.match(rest):
        requirement = Requirement(match["key"], "absent" if match["operator"] else "exists")
    else:
        raise SelectorError(f"unable to parse requirement: found '{rest}' in '{whole}', expected: identifier")
    for value in requirement.values:
        if not _LABEL_VALUE.fullmatch(value):
            raise SelectorError(f'unable to parse requirement: values[0][{requirement.key}]: Invalid value: "{value}"')
    return requirement, rest[match.end() :]


class FieldRequirement(NamedTuple):
    """One condition on a field: it has, or has not, a value. An absent field has the empty value."""

    field: str
    value: str
    equal: bool

    def matches(self, content: Object) -> bool:
        """Whether the object meets it."""
        found: Any = content
        for name in self.field.split("."):
            found = found.get(name) if isinstance(found, dict) else None
        if isinstance(found, bool):
            found = str(found).lower()
        return (str(found or "") == self.value) is self.equal


def parse_fields(text: str, resource: Resource) -> tuple[FieldRequirement, ...]:
    """The requirements of a field selector for objects of a kind.

    Raises:
        SelectorError: it is malformed, or the kind cannot be selected by that field.
    """
    requirements = []
    for term in filter(None, text.split(",")):
        match = re.fullmatch(r"\s*([^=!\s]+)\s*(==|=|!=)\s*(\S*)\s*", term)
        if match is None:
            raise SelectorError(f'invalid selector: "{text}"; can\'t understand "{term}"')
        name, operator, value = match.groups()
        if name not in ("metadata.name", "metadata.namespace", *_SELECTABLE.get(resource, ())):
            raise SelectorError(f"field label not supported: {name}")
        requirements.append(FieldRequirement(name, value, operator != "!="))
    return tuple(requirements)


def predicate(resource: Resource, labels: str, fields: str) -> Predicate | None:
    """What a request's selectors select; None when there are none.

    Raises:
        SelectorError: one of them is malformed.
    """
    by_label, by_field = parse_labels(labels), parse_fields(fields, resource)
    if not by_label and not by_field:
        return None
    return lambda stored: (
        all(each.matches(stored.labels) for each in by_label) and all(each.matches(stored.content) for each in by_field)
    )
