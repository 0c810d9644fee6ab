"""Package URLs (purl-spec 1.0): what they name, and whether one covers another."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from packageurl import PackageURL

# Types whose purl names an image and not a package in one.
_IMAGES: Final = frozenset({"oci", "docker"})


@lru_cache(maxsize=8192)
def parse(text: str) -> PackageURL | None:
    """The parts of a package URL; None when it is none."""
    try:
        return PackageURL.from_string(text)
    except ValueError:
        return None


def ecosystem(text: str) -> str:
    """The type of a package URL, such as `deb` or `pypi`; empty when it is none."""
    return text[4:].partition("/")[0].lower() if text.startswith("pkg:") else ""


def names_package(text: str) -> bool:
    """Whether a text is the package URL of a package, and not of an image."""
    return text.startswith("pkg:") and ecosystem(text) not in _IMAGES and parse(text) is not None


def covers(pattern: str, purl: str) -> bool:
    """Whether a package URL is meant by another: the same type, namespace and name, and version and qualifiers where
    the pattern has them."""
    if pattern == purl:
        return True
    wanted, found = parse(pattern), parse(purl)
    if wanted is None or found is None:
        return False
    if (wanted.type, wanted.name) != (found.type, found.name):
        return False
    if wanted.namespace and wanted.namespace != found.namespace:
        return False
    if wanted.version and wanted.version != found.version:
        return False
    qualifiers = dict(wanted.qualifiers or {})
    own = dict(found.qualifiers or {})
    return all(own.get(name) == value for name, value in qualifiers.items())
