"""The Prometheus text format 0.0.4, read fast: what stays the same from scrape to scrape is parsed once.

A sample's label block is the same bytes at every scrape, and on an exporter's page the same for every metric of a
device. So blocks are kept, as text and as labels, from one page to the next, and forgotten when a page lacks them; and
so are names.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Final, TypeAlias

from backend.core.errors import LimitExceededError, MalformedDataError

Labels: TypeAlias = Mapping[str, str]
Sample: TypeAlias = tuple[Labels, float]
#: The samples of each name, in the order of the page. Names are as written: `_total`, `_bucket` and the like are kept.
Families: TypeAlias = dict[str, list[Sample]]

_LARGEST_PAGE: Final = 32 << 20
_LONGEST_BLOCK: Final = 1 << 15
_NO_LABELS: Final[Labels] = {}
_NAME: Final = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*\Z")
_LABEL: Final = re.compile(r'[ \t]*([a-zA-Z_][a-zA-Z0-9_]*)[ \t]*=[ \t]*"((?:[^"\\]|\\.)*+)"[ \t]*(,|(?=\}))')
_LINE: Final = re.compile(
    r"[ \t]*(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*+)[ \t]*"
    r'(?:\{(?P<labels>(?:[^"}]|"(?:[^"\\]|\\.)*+")*+\}))?'
    # A time stamp in milliseconds, or in seconds as OpenMetrics has it, with an exemplar after it.
    r"[ \t]*(?P<value>[^ \t]+)(?:[ \t]+-?[0-9]+(?:\.[0-9]*)?(?:e[+-]?[0-9]+)?)?(?:[ \t]+#[ \t].*)?[ \t\r]*\Z"
)
_ESCAPED: Final = re.compile(r'\\([\\n"])')


class ExpositionParser:
    """Reads the pages of one source. Not for several threads at once."""

    def __init__(self) -> None:
        self._known: dict[str, Labels] = {}
        self._names: Collection[str] = ()

    def parse(self, page: bytes, where: str) -> Families:
        """The samples of a page. Lines that cannot be read are left out; time stamps and exemplars are passed over.

        The format ends every line with a line feed: a last line without one was cut off, and its number with it.

        Args:
            where: whose page it is, for errors.

        Raises:
            MalformedDataError: there is no line of the format, but there are others.
            LimitExceededError: the page is larger than 32 MiB.
        """
        if len(page) > _LARGEST_PAGE:
            raise LimitExceededError(
                where,
                f"its page of metrics has {len(page)} bytes, {_LARGEST_PAGE} are taken",
                "check what answers there",
            )
        known, names = self._known, self._names
        seen: dict[str, Labels] = {"": _NO_LABELS}
        families: Families = {}
        last = ""
        samples: list[Sample] = []
        unread = 0
        lines = page.decode("utf-8", "replace").split("\n")
        unread += bool(lines.pop().strip())
        for line in lines:
            if not line or line[0] == "#":
                continue
            head, _, value = line.rpartition(" ")
            name, _, block = head.partition("{")
            if name != last:
                found = families.get(name)
                if found is None and name in names:
                    found = families[name] = []
                last, samples = (name, found) if found is not None else ("", [])
            labels = seen.get(block)
            if labels is None:
                labels = known.get(block)
                if labels is not None:
                    seen[block] = labels
            try:
                if labels is None or not last:
                    raise ValueError
                samples.append((labels, float(value)))
            except ValueError:
                unread += not _read_line(line, families, seen)
        for name in [name for name, samples in families.items() if not samples]:
            del families[name]
        if unread and not families:
            raise MalformedDataError(
                where, "what it answers is not a page of metrics", "check the port and the path of its metrics"
            )
        self._known, self._names = seen, frozenset(families)
        return families


def _read_line(line: str, families: Families, seen: dict[str, Labels]) -> bool:
    """Read a line of a kind not met before on the page; whether it could be read (an empty one can)."""
    match = _LINE.match(line)
    if match is None:
        return not line.strip() or line.lstrip().startswith("#")
    block = match["labels"] or ""
    labels = seen.get(block)
    if labels is None:
        labels = _read_labels(block)
        if labels is None:
            return False
        seen[block] = labels
    try:
        value = float(match["value"])
    except ValueError:
        return False
    families.setdefault(match["name"], []).append((labels, value))
    return True


def _read_labels(block: str) -> Labels | None:
    """The labels of a block, written without its opening and with its closing brace; None: it is malformed."""
    if len(block) > _LONGEST_BLOCK:
        return None
    labels: dict[str, str] = {}
    position = 0
    while block[position:].strip(" \t") != "}":
        label = _LABEL.match(block, position)
        if label is None or label[1] in labels:
            return None
        value = label[2]
        labels[label[1]] = _ESCAPED.sub(_unescaped, value) if "\\" in value else value
        position = label.end()
    return labels


def _unescaped(match: re.Match[str]) -> str:
    return "\n" if match[1] == "n" else match[1]


def total_of(families: Families, name: str) -> float | None:
    """The sum over all series of a name; None: the page has none, or one is no number."""
    samples = families.get(name)
    if not samples:
        return None
    # A series that stands there twice counts once: its labels are one object.
    total = sum({id(labels): value for labels, value in samples}.values())
    return total if total == total and abs(total) != float("inf") else None
