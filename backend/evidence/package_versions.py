"""Versions of packages, compared as their ecosystem does.

An estimate: distributions mend faults without a new upstream version, so `openssl<3.0.15` also finds a patched 3.0.13.
A version that is asked for without an epoch or a revision of the distribution is compared without them.

Rules: Debian policy 5.6.12 (deb), rpm's `rpmvercmp` (rpm), apk-tools' order simplified (apk), PEP 440 (pypi), and for
all others numbers and words from left to right, words that stand for pre-releases before the release.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from itertools import zip_longest
from typing import Final

from packaging.version import InvalidVersion, Version

_LONGEST: Final = 200
_PARTS: Final = re.compile(r"\d+|[A-Za-z]+")
_RPM_PARTS: Final = re.compile(r"\d+|[A-Za-z]+|~|\^")
_EPOCH: Final = re.compile(r"(\d+):")
_BEFORE_RELEASE: Final = ("dev", "snapshot", "alpha", "a", "beta", "b", "milestone", "m", "pre", "rc", "cr")
_PRE_RELEASES: Final = {word: rank for rank, word in enumerate(_BEFORE_RELEASE)}

OPERATORS: Final[dict[str, Callable[[int], bool]]] = {
    "<": lambda order: order < 0,
    "<=": lambda order: order <= 0,
    ">": lambda order: order > 0,
    ">=": lambda order: order >= 0,
    "=": lambda order: order == 0,
    "!=": lambda order: order != 0,
}


@lru_cache(maxsize=65_536)
def compare(found: str, asked: str, ecosystem: str) -> int:
    """How a package's version stands to one that is asked for: below zero when it is older.

    Args:
        ecosystem: type of the package's URL, such as `deb` or `pypi`; empty: not known.
    """
    found, asked = found[:_LONGEST].strip(), asked[:_LONGEST].strip()
    if ecosystem in {"deb", "rpm", "apk"}:
        return _compare_distribution(found, asked, ecosystem)
    if ecosystem == "pypi":
        try:
            ours, theirs = Version(found), Version(asked)
        except InvalidVersion:
            return _compare_parts(found, asked)
        # A local label (`2.7.1+cu128`) is the builder's, as a revision is the distribution's.
        if theirs.local is None:
            ours = Version(ours.public)
        return (ours > theirs) - (ours < theirs)
    return _compare_parts(found, asked)


def _compare_distribution(found: str, asked: str, ecosystem: str) -> int:
    ours, theirs = _split(found), _split(asked)
    if ecosystem == "apk":
        # `3.3.2-r1`: the revision follows `-r`.
        ours, theirs = (0, *_cut(found, "-r")), (0, *_cut(asked, "-r"))
    if _EPOCH.match(asked) and ours[0] != theirs[0]:
        return 1 if ours[0] > theirs[0] else -1
    order = _COMPARERS[ecosystem](ours[1], theirs[1])
    if order or not theirs[2]:
        return order
    return _COMPARERS[ecosystem](ours[2], theirs[2])


def _split(version: str) -> tuple[int, str, str]:
    epoch = _EPOCH.match(version)
    rest = version[epoch.end() :] if epoch else version
    return (int(epoch.group(1)[:18]) if epoch else 0, *_cut(rest, "-"))


def _cut(version: str, separator: str) -> tuple[str, str]:
    upstream, found, revision = version.rpartition(separator)
    return (upstream, revision) if found else (version, "")


def _compare_debian(found: str, asked: str) -> int:
    ours, theirs = found, asked
    while ours or theirs:
        text_ours, text_theirs = _leading(ours, digits=False), _leading(theirs, digits=False)
        for one, other in zip_longest(map(_debian_rank, text_ours), map(_debian_rank, text_theirs), fillvalue=0):
            if one != other:
                return 1 if one > other else -1
        ours, theirs = ours[len(text_ours) :], theirs[len(text_theirs) :]
        number_ours, number_theirs = _leading(ours, digits=True), _leading(theirs, digits=True)
        if int(number_ours or 0) != int(number_theirs or 0):
            return 1 if int(number_ours or 0) > int(number_theirs or 0) else -1
        ours, theirs = ours[len(number_ours) :], theirs[len(number_theirs) :]
    return 0


def _leading(text: str, *, digits: bool) -> str:
    end = 0
    while end < len(text) and ("0" <= text[end] <= "9") is digits:
        end += 1
    return text[:end]


def _debian_rank(character: str) -> int:
    # A tilde sorts before everything, even the end; letters before what is none.
    if character == "~":
        return -1
    return ord(character) if character.isascii() and character.isalpha() else ord(character) + 256


def _compare_rpm(found: str, asked: str) -> int:
    ours, theirs = _RPM_PARTS.findall(found), _RPM_PARTS.findall(asked)
    for one, other in zip_longest(ours, theirs, fillvalue=""):
        if one == other:
            continue
        for mark, order in (("~", -1), ("^", 1)):
            if one == mark or other == mark:
                # A caret is after the end and before anything else.
                later = order if mark == "~" or not (other if one == mark else one) else -1
                return later if one == mark else -later
        if not one or not other:
            return 1 if one else -1
        if one.isdigit() != other.isdigit():
            return 1 if one.isdigit() else -1
        left, right = (int(one), int(other)) if one.isdigit() else (one, other)
        if left != right:
            return 1 if left > right else -1  # type: ignore[operator]
    return 0


def _compare_parts(found: str, asked: str) -> int:
    ours = _PARTS.findall(found.partition("+")[0].removeprefix("v"))
    theirs = _PARTS.findall(asked.partition("+")[0].removeprefix("v"))
    for one, other in zip_longest(ours, theirs, fillvalue=""):
        left, right = _part_rank(one), _part_rank(other)
        if left != right:
            return 1 if left > right else -1
    return 0


def _part_rank(part: str) -> tuple[int, int, str]:
    # pre-release words < end, zero and release words < other words < numbers above zero
    if part.isdigit():
        number = int(part)
        return (2, number, "") if number else (1, 0, "")
    word = part.lower()
    if not word or word in {"final", "ga", "release"}:
        return (1, 0, "")
    if word in _PRE_RELEASES:
        return (0, _PRE_RELEASES[word], "")
    return (1, 1, word)


_COMPARERS: Final[dict[str, Callable[[str, str], int]]] = {
    "deb": _compare_debian,
    "rpm": _compare_rpm,
    "apk": _compare_parts,
}
