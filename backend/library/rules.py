"""What a rule takes of what a registry tells; pure. Every tag gets a clause that says why it was taken or left out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from backend.core.canonical import hash_of
from backend.core.settings import duration_text
from backend.core.views import RuleClauseView, RuleView
from backend.library.config import RuleConfig, TagRule
from backend.library.globs import first_match, has_wildcard
from backend.library.versions import Specifiers, order_key

# Cosign and the referrers tag schema of OCI distribution-spec 1.1 keep evidence under tags of this form.
_EVIDENCE_TAG: Final = re.compile(r"sha256-[0-9a-f]{64}(?:\.[a-z]+)?\Z|sha512-[0-9a-f]{64}\Z")
TAKEN: Final = "taken"
#: Of an image that does not tell when it was made.
AGE_UNKNOWN: Final = "taken: it does not tell when it was created, so max_age does not leave it out"
#: The keys that do not say what a rule takes in, but when and whether it does.
_NOT_CHOOSING: Final = frozenset({"name", "every", "enabled", "max_new"})


class Choice(msgspec.Struct, frozen=True):
    """What became of one tag: taken, or left out by a clause."""

    tag: str
    taken: bool
    clause: str


class ImageTraits(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule asks of an image, once it was looked at.

    Attributes:
        platforms: of the image, or of the images of an index; those that tell none are left out.
        created_at: as the image tells; None: it does not.
    """

    type: str
    platforms: tuple[str, ...] = ()
    is_index: bool = False
    created_at: datetime | None = None


def is_evidence_tag(tag: str) -> bool:
    """Whether the tag holds signatures or other evidence instead of an image."""
    return _EVIDENCE_TAG.match(tag) is not None


class Selection:
    """A rule, ready to be asked.

    Args:
        rule: its patterns and specifiers were checked when the configuration was read.
    """

    def __init__(self, rule: RuleConfig) -> None:
        self.rule = rule
        self._tag_clause = _tag_clause(rule.tags)

    @property
    def named_repositories(self) -> tuple[str, ...]:
        """The repositories that the rule names outright, without those that it excludes."""
        named = (name for name in self.rule.repositories if not has_wildcard(name))
        return tuple(dict.fromkeys(name for name in named if not self.leaves_out(name)))

    @property
    def needs_catalogue(self) -> bool:
        """Whether the registry's list of repositories is needed to know what the rule takes."""
        return any(has_wildcard(pattern) for pattern in self.rule.repositories)

    def leaves_out(self, repository: str) -> str:
        """Why the rule leaves a repository out, in a clause; empty: it takes it."""
        if first_match(self.rule.repositories, repository) is None:
            return "repositories: none matches"
        excluded = first_match(self.rule.exclude_repositories, repository)
        return f"exclude_repositories: {excluded}" if excluded is not None else ""

    def choose(self, tags: Iterable[str]) -> list[Choice]:
        """What becomes of each tag of a repository that the rule takes; tags of evidence are not told of.

        Takes time in proportion to the tags: for thousands of them, call it off the event loop.
        """
        choices = [self._choice(tag) for tag in tags if not is_evidence_tag(tag)]
        newest = self.rule.newest
        taken = [choice.tag for choice in choices if choice.taken]
        if newest is None or len(taken) <= newest:
            return choices
        kept = set(sorted(taken, key=order_key, reverse=True)[:newest])
        clause = f"newest: not among the {newest} newest"
        return [
            Choice(choice.tag, False, clause) if choice.taken and choice.tag not in kept else choice
            for choice in choices
        ]

    def explain(self, repository: str, tags: Iterable[str]) -> list[RuleClauseView]:
        """The same, as it is shown, also for a repository that the rule leaves out."""
        clause = self.leaves_out(repository)
        choices = (
            [Choice(tag, False, clause) for tag in tags if not is_evidence_tag(tag)] if clause else self.choose(tags)
        )
        return [
            RuleClauseView(
                registry=self.rule.registry, repository=repository, tag=choice.tag, taken=choice.taken,
                clause=choice.clause,
            )
            for choice in choices
        ]  # fmt: skip

    def _choice(self, tag: str) -> Choice:
        excluded = first_match(self.rule.tags.exclude, tag)
        clause = f"tags.exclude: {excluded}" if excluded is not None else self._tag_clause(tag)
        return Choice(tag, not clause, clause or TAKEN)


def asks_of_images(rule: RuleConfig) -> bool:
    """Whether the rule cannot tell by names alone what it takes."""
    return rule.types is not None or rule.platforms is not None or rule.max_age is not None


def leaves_out_image(rule: RuleConfig, image: ImageTraits, now: datetime) -> str:
    """Why the rule leaves an image out whose tag it takes, in a clause; empty: it takes it.

    An image that runs anywhere is of every platform; one that does not tell its age is young enough.
    """
    if rule.types is not None and image.type not in rule.types:
        return f"types: it is {image.type}"
    if rule.platforms is not None and (image.platforms or image.is_index):
        mine = (platform.split("/", 2) for platform in image.platforms)
        if not any(takes_platform(rule.platforms, *one) for one in mine):
            return f"platforms: it is for {', '.join(image.platforms) or 'none of them'}"
    if rule.max_age is not None and image.created_at is not None and now - image.created_at > rule.max_age:
        return f"max_age: created {image.created_at:%Y-%m-%d}, longer ago than {duration_text(rule.max_age)}"
    return ""


def takes_clause(rule: RuleConfig, image: ImageTraits) -> str:
    """How an image is told of that the rule takes."""
    return AGE_UNKNOWN if rule.max_age is not None and image.created_at is None else TAKEN


def rule_hash(rule: RuleConfig) -> str:
    """`sha256:` and the hash of the whole rule; keys that have their default do not count."""
    return hash_of(_facts(rule))


def choosing_hash(rule: RuleConfig) -> str:
    """The hash of what the rule takes in; when, whether and under which name it does so does not count."""
    return hash_of({name: value for name, value in _facts(rule).items() if name not in _NOT_CHOOSING})


def _facts(rule: RuleConfig) -> dict[str, Any]:
    facts: dict[str, Any] = rule.model_dump(mode="json", exclude_defaults=True)
    return facts


def takes_platform(platforms: Sequence[str] | None, os: str, architecture: str, variant: str = "") -> bool:
    """Whether a rule's platforms (None: all) take an image; one that tells no platform runs anywhere.

    `linux/arm64` takes every variant, `linux/arm64/v8` only that one.
    """
    if platforms is None or not (os or architecture):
        return True
    mine = [os, architecture, variant]
    return any(mine[: len(wanted)] == wanted for wanted in (platform.split("/") for platform in platforms))


def rule_view(rule: RuleConfig) -> RuleView:
    """A rule as it is shown; when it last ran is for the caller to add."""
    return RuleView(
        name=rule.name, registry=rule.registry, repositories=rule.repositories, tags=_tags_text(rule),
        types=rule.types or (), every=duration_text(rule.every) if rule.every is not None else "",
        enabled=rule.enabled, exclude_repositories=rule.exclude_repositories, platforms=rule.platforms or (),
        newest=rule.newest, max_age=duration_text(rule.max_age) if rule.max_age is not None else "",
        max_new=rule.max_new,
    )  # fmt: skip


def _tags_text(rule: RuleConfig) -> str:
    parts = []
    if rule.tags.versions is not None:
        parts.append(f"versions {rule.tags.versions}")
    elif rule.tags.glob is not None:
        parts.append(" ".join(rule.tags.glob))
    elif rule.tags.regex is not None:
        parts.append(f"/{rule.tags.regex}/")
    if rule.tags.exclude:
        parts.append(f"not {' '.join(rule.tags.exclude)}")
    if rule.newest is not None:
        parts.append(f"newest {rule.newest}")
    return ", ".join(parts) or "all"


def _tag_clause(rule: TagRule) -> Callable[[str], str]:
    """A function that tells why the rule leaves a tag out; empty: it takes it."""
    if rule.versions is not None:
        specifiers = Specifiers(rule.versions)

        def by_version(tag: str) -> str:
            why = specifiers.why_not(tag)
            return f"tags.versions: {why}" if why else ""

        return by_version
    if rule.regex is not None:
        from backend.library.patterns import Expression

        expression = Expression(rule.regex)
        return lambda tag: "" if expression.matches(tag) else f"tags.regex: the whole tag is not {rule.regex}"
    globs = rule.glob
    if globs is None:
        return lambda tag: ""
    return lambda tag: "" if first_match(globs, tag) is not None else "tags.glob: none matches"
