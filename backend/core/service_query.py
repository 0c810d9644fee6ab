"""Filters of services: `verdict:failed,stuck ns:llm-* -approved:yes llama`, for the screen and the command line.

A word `field:value` asks of a field; several values of one word are alternatives, words are all asked. Values are
compared without regard to case, by their beginning, or as a glob where they hold `*` or `?`. `-` in front turns a word
around.
What names no field is left to the caller: the screen takes it as a regular expression, as it does elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from fnmatch import translate
from typing import Final

import msgspec

from backend.core.views import ServiceMetricsView, ServiceView

_YES: Final = {True: "yes", False: "no", None: "unknown"}
_FIELDS: Final[Mapping[str, Callable[[ServiceView], tuple[str, ...]]]] = {
    "verdict": lambda one: (one.verdict.value, one.verdict.value.replace(" ", "-")),
    "approved": lambda one: (_YES[one.approved],),
    "ns": lambda one: (one.namespace,),
    "context": lambda one: (one.context,),
    "name": lambda one: (one.name,),
    "kind": lambda one: (one.kind,),
    "image": lambda one: one.images,
    "model": lambda one: (one.model,),
    "runtime": lambda one: (one.runtime,),
    "mode": lambda one: (one.mode,),
    "owner": lambda one: (one.owner or "none",),
    "gpu": lambda one: (one.gpu_type, *((str(one.gpus),) if one.gpus else ("none",))),
    "live": lambda one: (_YES[one.as_of is None],),
}
_ALIASES: Final = {"namespace": "ns", "v": "verdict", "ctx": "context", "state": "verdict"}
#: Every field that can be asked of, `slow` by what the model servers measure.
FIELDS: Final = (*_FIELDS, "slow")
_WORD: Final = re.compile(r"(?:\A|(?<=\s))(-?)([a-z]+):(\S*)(?=\s|\Z)")
#: Inside a longer name, such as an image's, a value is looked for anywhere.
_ANYWHERE: Final = frozenset({"image", "model", "gpu"})


class Term(msgspec.Struct, frozen=True):
    """A word of a query: one of the patterns must be found, or with `inverse` none."""

    field: str
    patterns: tuple[re.Pattern[str], ...]
    inverse: bool

    def keeps(self, service: ServiceView, metrics: ServiceMetricsView | None) -> bool:
        """Whether a service passes."""
        values = (_YES[bool(metrics and metrics.slow)],) if self.field == "slow" else _FIELDS[self.field](service)
        found = any(pattern.match(value.lower()) for pattern in self.patterns for value in values)
        return found is not self.inverse


class ServiceQuery(msgspec.Struct, frozen=True):
    """A filter as typed.

    Attributes:
        rest: what names no field. unknown: words that look like fields and are none; they are part of the rest.
    """

    terms: tuple[Term, ...]
    rest: str
    unknown: tuple[str, ...]

    def keeps(self, service: ServiceView, metrics: ServiceMetricsView | None = None) -> bool:
        """Whether a service passes the words that ask of fields."""
        return all(term.keeps(service, metrics) for term in self.terms)


def parse_query(typed: str) -> ServiceQuery:
    """Read a filter; nothing that can be typed is refused."""
    terms: list[Term] = []
    unknown: list[str] = []

    def take(match: re.Match[str]) -> str:
        sign, name, told = match.groups()
        field = _ALIASES.get(name, name)
        if field not in FIELDS:
            # An image or an address may hold a colon too.
            unknown.append(name)
            return match.group()
        values = [value for value in told.lower().split(",") if value]
        if values:
            patterns = tuple(_pattern(field, value) for value in values)
            terms.append(Term(field, patterns, sign == "-"))
        return ""

    rest = _WORD.sub(take, typed)
    return ServiceQuery(tuple(terms), " ".join(rest.split()) if terms else rest.strip(), tuple(unknown))


def complete_query(typed: str, values: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Whole filters that the typed one may become.

    Args:
        values: by field, what services have there now.
    """
    head, space, last = typed.rpartition(" ")
    sign = "-" if last.startswith("-") else ""
    name, colon, begun = last.removeprefix("-").partition(":")
    if not colon:
        words = [f"{sign}{field}:" for field in FIELDS if name and field.startswith(name)]
    else:
        known = {**values, "approved": ("no", "unknown", "yes"), "slow": ("no", "yes"), "live": ("no", "yes")}
        found = known.get(_ALIASES.get(name, name), ())
        words = [f"{sign}{name}:{value}" for value in found if value.startswith(begun) and value != begun]
    return [f"{head}{space}{word}" for word in words]


def _pattern(field: str, value: str) -> re.Pattern[str]:
    if "*" in value or "?" in value:
        return re.compile(translate(value))
    return re.compile((".*" if field in _ANYWHERE else "") + re.escape(value), re.S)
