"""Image references and digests, by OCI distribution-spec 1.1 and the reference grammar of `distribution`."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from backend.core.errors import UsageError

# OCI image-spec 1.1, descriptor: the registered algorithms and the length of their encodings.
_DIGEST: Final = re.compile(r"(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})\Z")
# distribution-spec 1.1, "Pulling manifests": <name> and <reference> as a tag.
_REPOSITORY: Final = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*\Z")
_TAG: Final = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}\Z")
_HOST: Final = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?\Z")
_DIGEST_PREFIX: Final = re.compile(r"(?:sha256:)?([0-9a-f]{12,64})\Z")
_MAX_REPOSITORY: Final = 255


def is_digest(text: str) -> bool:
    """Whether the text is a whole digest of a registered algorithm."""
    return _DIGEST.match(text) is not None


def is_repository(text: str) -> bool:
    """Whether the text is a repository name by the distribution-spec, of at most 255 characters."""
    return len(text) <= _MAX_REPOSITORY and _REPOSITORY.match(text) is not None


def is_tag(text: str) -> bool:
    """Whether the text is a tag by the distribution-spec."""
    return _TAG.match(text) is not None


def is_host(text: str) -> bool:
    """Whether the text is a registry host, with or without a port."""
    return _HOST.match(text) is not None


def short_digest(digest: str) -> str:
    """The first twelve hexadecimal characters of a digest, the shortest form that commands take back."""
    return digest.partition(":")[2][:12]


class ImageReference(msgspec.Struct, frozen=True, order=True):
    """An image as a user names it.

    Attributes:
        registry: the configured name of a registry, or its host with port.
        repository: name inside the registry, without a leading slash.
        tag: or None.
        digest: or None; one of tag and digest is given.
    """

    registry: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.registry}/{self.repository}{tag}{digest}"


class DigestPrefix(msgspec.Struct, frozen=True):
    """An image named by twelve or more leading hexadecimal characters of its sha256 digest."""

    prefix: str

    def __str__(self) -> str:
        return f"sha256:{self.prefix}"


def parse_reference(text: str) -> ImageReference | DigestPrefix:
    """Read `REGISTRY/repository:tag`, `REGISTRY/repository[:tag]@digest`, or a digest prefix of 12 or more.

    Raises:
        UsageError: the text is none of these.
    """
    if match := _DIGEST_PREFIX.match(text):
        return DigestPrefix(match.group(1))
    name, at, digest = text.partition("@")
    if at and not is_digest(digest):
        raise _bad(text, f"{digest!r} is not a digest")
    registry, slash, rest = name.partition("/")
    if not slash or not is_host(registry):
        raise _bad(text, "it does not start with a registry's name or host and a slash")
    repository, colon, tag = rest.partition(":")
    if not is_repository(repository):
        raise _bad(text, f"{repository!r} is not a repository name")
    if colon and not is_tag(tag):
        raise _bad(text, f"{tag!r} is not a tag")
    if not colon and not at:
        raise _bad(text, "it has neither tag nor digest")
    return ImageReference(registry, repository, tag or None, digest or None)


def _bad(text: str, why: str) -> UsageError:
    return UsageError(
        f"reference {text[:120]!r}",
        why,
        "write REGISTRY/repository:tag, REGISTRY/repository@sha256:..., or 12 or more digits of a digest",
    )
