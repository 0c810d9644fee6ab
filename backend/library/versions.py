"""Versions in tags, read tolerantly, and specifier lists over them.

Neither PEP 440 nor semantic versioning alone reads the tags of real images (`1.8.0-rtx`, `v0.27.1-ubuntu2404`,
`25.04-trtllm-python-py3`, `1.2.0rc1`), so a tag is taken apart here into release, pre-release, post-release and
variant. Comparing a release with a specifier list is left to `packaging`, so that it is what pip does.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from packaging.specifiers import SpecifierSet

_RELEASE: Final = re.compile(r"[vV]?(\d+(?:\.\d+)*)")
# PEP 440 spellings. A single letter counts only when it is attached and has a number: `1.2.0b2`, but not `70b`, a size,
# nor `1.3.0-a100`, a GPU.
_ATTACHED: Final = re.compile(
    r"(?:(a|b|c)(\d+)|(alpha|beta|rc|preview|pre|dev|post)[-_.]?(\d*))(?=[-_.]|\Z)", re.IGNORECASE
)
_SEPARATED: Final = re.compile(
    r"[-_.](alpha|beta|rc|preview|pre|dev|nightly|snapshot|post)(?:[-_.]?(\d+))?(?=[-_.]|\Z)", re.IGNORECASE
)
# Order of PEP 440: development, alpha, beta, candidate, the release itself.
_PHASES: Final = {
    "dev": 0, "nightly": 0, "snapshot": 0, "a": 1, "alpha": 1, "b": 2, "beta": 2,
    "c": 3, "rc": 3, "pre": 3, "preview": 3,
}  # fmt: skip
_PHASE_NAMES: Final = (".dev", "a", "b", "rc")
_FINAL: Final = 4
_SEPARATORS: Final = "-_."
# More digits than any version has; longer ones are dates run together or noise, and cost time to compare.
_MOST_DIGITS: Final = 20


class TagVersion(msgspec.Struct, frozen=True):
    """The version in a tag.

    Attributes:
        release: the numbers, at least one.
        phase: 0 development, 1 alpha, 2 beta, 3 release candidate, 4 the release itself.
        phase_number: of the pre-release, 0 when it has none.
        post: number of the post-release; -1: it is none.
        variant: what follows, such as `rtx` or `ubuntu2404`; it belongs to its release.
    """

    release: tuple[int, ...]
    phase: int = _FINAL
    phase_number: int = 0
    post: int = -1
    variant: str = ""

    @property
    def is_prerelease(self) -> bool:
        """Whether it comes before its release."""
        return self.phase < _FINAL

    @property
    def public(self) -> str:
        """As PEP 440 writes it, without the variant."""
        release = ".".join(map(str, self.release))
        post = f".post{self.post}" if self.post >= 0 else ""
        phase = f"{_PHASE_NAMES[self.phase]}{self.phase_number}" if self.is_prerelease else ""
        # PEP 440 puts a development release behind everything, any other pre-release before a post-release.
        return f"{release}{post}{phase}" if self.phase == 0 else f"{release}{phase}{post}"

    @property
    def order(self) -> str:
        """Text that sorts by age; trailing zeros do not count, a variant comes before its plain release."""
        release = self.release
        while len(release) > 1 and release[-1] == 0:
            release = release[:-1]
        numbers = "".join(map(_sortable, release))
        variant = f"0{self.variant}" if self.variant else "1"
        return f"{numbers}!{self.phase}{_sortable(self.phase_number)}{_sortable(self.post + 1)}{variant}"


def parse_tag_version(tag: str) -> TagVersion | None:
    """Read the version that a tag starts with, or None when it starts with none (`nightly`, `latest`, `70b`)."""
    match = _RELEASE.match(tag)
    if match is None or any(len(number) > _MOST_DIGITS for number in match.group(1).split(".")):
        return None
    release = tuple(int(number) for number in match.group(1).split("."))
    phase, number, post = _FINAL, 0, -1
    rest = tag[match.end() :]
    if attached := _ATTACHED.match(rest):
        name = (attached.group(1) or attached.group(3)).lower()
        value = _number(attached.group(2) or attached.group(4))
        rest = rest[attached.end() :]
        if name == "post":
            post = value
        else:
            phase, number = _PHASES[name], value
    elif rest and rest[0] not in _SEPARATORS:
        return None
    while found := _SEPARATED.search(rest):
        name, value = found.group(1).lower(), _number(found.group(2))
        rest = rest[: found.start()] + rest[found.end() :]
        if name == "post":
            post = value
        elif _PHASES[name] < phase:
            phase, number = _PHASES[name], value
    return TagVersion(release, phase, number, post, rest.strip(_SEPARATORS).lower())


def order_key(tag: str) -> str:
    """Text that sorts tags by age: those without a version first, the newest version last; the database sorts by it."""
    version = parse_tag_version(tag)
    return f"0{tag}" if version is None else f"1{version.order}!{tag}"


class Specifiers:
    """A specifier list (PEP 440, "Version specifiers") over tags.

    Release numbers compare; pre-releases are out unless the list names one; a variant belongs to its release; a tag
    without a version is out. `===` compares the tag as text.

    Raises:
        ValueError: the text is no specifier list.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._set = _specifier_set(text)
        self._exact = tuple(one.version.lower() for one in self._set if one.operator == "===")
        self._compared = _specifier_set(",".join(str(one) for one in self._set if one.operator != "==="))
        self._prereleases = any(_names_prerelease(one.version) for one in self._set)

    def why_not(self, tag: str) -> str:
        """Why the list leaves the tag out, in a clause; empty: it takes it."""
        version = parse_tag_version(tag)
        if version is None:
            return "it has no version"
        if version.is_prerelease and not self._prereleases:
            return "it is a pre-release, and the list names none"
        if any(tag.lower() != exact for exact in self._exact):
            return f"it is not {self.text}"
        if not self._compared.contains(version.public, prereleases=True):
            return f"it is not {self.text}"
        return ""

    def takes(self, tag: str) -> bool:
        """Whether the list takes the tag."""
        return not self.why_not(tag)


def _specifier_set(text: str) -> SpecifierSet:
    # Imported when needed: a screen without a rule by versions starts sooner.
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        return SpecifierSet(text)
    except InvalidSpecifier as error:
        raise ValueError(str(error)) from error


@lru_cache(maxsize=256)
def _names_prerelease(version: str) -> bool:
    found = parse_tag_version(version)
    return found is not None and found.is_prerelease


def _number(digits: str | None) -> int:
    return int(digits[:_MOST_DIGITS]) if digits else 0


def _sortable(number: int) -> str:
    """The number as text that sorts like it: a letter for how many digits, then the digits."""
    digits = str(number)
    return f"{chr(ord('a') + len(digits))}{digits}"
