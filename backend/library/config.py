"""The `[[rule]]` table of the configuration: what to take into the library."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal, get_args

from pydantic import BeforeValidator, Field, field_validator, model_validator

from backend.core.settings import Duration, Settings

#: What an image is for; `generic` is an engine whose model is chosen at run time.
ImageType = Literal[
    "chat", "completion", "embedding", "reranking", "image-embedding", "ocr", "vision", "moderation", "generic"
]
IMAGE_TYPES: Final[tuple[str, ...]] = get_args(ImageType)

_REPOSITORY_PATTERN: Final = re.compile(r"[a-z0-9._/*?-]{1,255}\Z")
_TAG_PATTERN: Final = re.compile(r"[A-Za-z0-9_.*?-]{1,128}\Z")
_PLATFORM: Final = re.compile(r"[a-z0-9]+/[a-z0-9_]+(?:/[a-z0-9]+)?\Z")
_MOST_PATTERNS: Final = 1000


def _as_list(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Patterns = Annotated[tuple[str, ...], BeforeValidator(_as_list), Field(max_length=_MOST_PATTERNS)]


class TagRule(Settings):
    """Which tags of a repository to take; one of `versions`, `glob` and `regex`, or none of them for all tags.

    Attributes:
        versions: a specifier list as pip reads it (PEP 440), on the tolerant key of `backend.library.versions`.
        glob: a tag that one of these matches.
        regex: the whole tag has to match. As Python reads it, but for what cannot be matched in bounded time
            (`backend.library.patterns`): references back to a group, possessive and atomic parts.
        exclude: globs; a tag that one of these matches is left out.
    """

    versions: str | None = Field(default=None, max_length=500)
    glob: Patterns | None = None
    regex: str | None = Field(default=None, max_length=500)
    exclude: Patterns = ()

    @field_validator("versions")
    @classmethod
    def _specifiers_are_read(cls, text: str | None) -> str | None:
        if text is not None:
            # Imported when needed: a screen without such a rule starts sooner.
            from packaging.specifiers import InvalidSpecifier, SpecifierSet

            try:
                SpecifierSet(text)
            except InvalidSpecifier as error:
                raise ValueError('write versions as a specifier list, such as ">=1.3,<3"') from error
        return text

    @field_validator("regex")
    @classmethod
    def _regex_compiles(cls, text: str | None) -> str | None:
        if text is not None:
            # Imported when needed: a screen without such a rule starts sooner.
            from backend.library.patterns import Expression

            Expression(text)
        return text

    @field_validator("glob", "exclude")
    @classmethod
    def _globs_could_match(cls, patterns: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return _checked(patterns, _TAG_PATTERN, "a tag")

    @model_validator(mode="after")
    def _one_way(self) -> TagRule:
        if sum(given is not None for given in (self.versions, self.glob, self.regex)) > 1:
            raise ValueError("give one of versions, glob and regex")
        return self


class RuleConfig(Settings):
    """What to take in from one registry. An absent key means all.

    Attributes:
        registry: the registry's configured name.
        repositories: names or globs; `*` stays within a path segment, `**` crosses slashes. Names without wildcards
            are asked for directly; globs need the registry's catalogue, which many registries do not tell.
        kind: what the images are that it takes in first, where nothing in them tells: KServe's modelcars are ordinary
            images with weights in them.
        types: only images of these types; others are looked at and passed over.
        platforms: `os/architecture[/variant]`; of an index, only these images are taken.
        newest: of the tags that match, only so many, by version; types, platforms and age are asked of those alone.
        max_age: how long ago an image may have been created, as its configuration or annotations tell. One that does
            not tell is taken: builds that can be repeated leave the time out, and no image is to be missed for it.
        every: how often; None: only when asked for.
        max_new: a run that would take in more new tags than this asks first; None: never asks.
    """

    name: str = Field(min_length=1, max_length=100)
    registry: str = Field(min_length=1, max_length=255)
    repositories: Patterns = ("**",)
    exclude_repositories: Patterns = ()
    tags: TagRule = Field(default_factory=dict, validate_default=True)
    kind: Literal["modelcar"] | None = None
    types: Annotated[tuple[ImageType, ...], BeforeValidator(_as_list)] | None = None
    platforms: Patterns | None = None
    newest: int | None = Field(default=None, ge=1, le=1_000_000)
    max_age: Duration | None = None
    every: Duration | None = None
    enabled: bool = True
    max_new: int | None = Field(default=None, ge=0)

    @field_validator("name")
    @classmethod
    def _name_can_be_printed(cls, name: str) -> str:
        if not name.isprintable():
            raise ValueError("a name holds nothing that cannot be printed")
        return name

    @field_validator("repositories", "exclude_repositories")
    @classmethod
    def _globs_could_match(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        return _checked(patterns, _REPOSITORY_PATTERN, "a repository") or ()

    @field_validator("platforms")
    @classmethod
    def _platforms_are_written_out(cls, platforms: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for platform in platforms or ():
            if not _PLATFORM.match(platform):
                raise ValueError(f"{platform!r} is not a platform: write os/architecture, such as linux/amd64")
        return platforms

    @field_validator("max_age")
    @classmethod
    def _age_is_positive(cls, age: Duration | None) -> Duration | None:
        if age is not None and age.total_seconds() <= 0:
            raise ValueError("max_age is above zero")
        return age

    @field_validator("every")
    @classmethod
    def _not_too_often(cls, every: Duration | None) -> Duration | None:
        if every is not None and every.total_seconds() < 1:
            raise ValueError("a rule runs once a second at most")
        return every


def _checked(patterns: tuple[str, ...] | None, allowed: re.Pattern[str], what: str) -> tuple[str, ...] | None:
    for pattern in patterns or ():
        if not allowed.match(pattern):
            raise ValueError(f"{pattern!r} matches no name of {what}: check its characters")
    return patterns
