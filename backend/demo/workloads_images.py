"""What the nodes find when they pull an image from the demo's registry."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple, Protocol

from backend.demo.workloads_faults import repository_of


class Manifest(Protocol):
    """A stored manifest."""

    @property
    def body(self) -> bytes:
        """Its bytes."""


class Repository(Protocol):
    """A repository of the registry."""

    @property
    def tags(self) -> Mapping[str, str]:
        """Tag to digest."""

    @property
    def manifests(self) -> Mapping[str, Manifest]:
        """Digest to manifest."""


class Images(Protocol):
    """The content of the demo's registry."""

    @property
    def repositories(self) -> Mapping[str, Repository]:
        """By name."""

    def digest(self, repository: str, tag: str) -> str:
        """The digest that a tag names; KeyError when there is none."""


class Found(NamedTuple):
    """An image that can be pulled.

    Attributes:
        repository: with the registry's host.
        digest: of the index, or of the manifest when there is no index.
        platform_digest: of the manifest for the nodes' platform, linux/amd64.
    """

    repository: str
    digest: str
    platform_digest: str


def find_image(images: Images, registry_host: str, reference: str) -> Found | None:
    """What a pull of `reference` gives, or None when the registry has no such image.

    Args:
        images: the registry's content.
        registry_host: its `host:port`; another registry cannot be reached from the demo's nodes.
        reference: as the container names it.
    """
    host, _, _ = reference.partition("/")
    repository = repository_of(reference)
    stored = images.repositories.get(repository)
    if host != registry_host or stored is None:
        return None
    if "@" in reference:
        digest: str | None = reference.rpartition("@")[2]
    else:
        tag = reference.rpartition("/")[2].partition(":")[2] or "latest"
        digest = stored.tags.get(tag)
    if digest is None or digest not in stored.manifests:
        return None
    return Found(f"{host}/{repository}", digest, _platform_digest(stored, digest))


def _platform_digest(repository: Repository, digest: str) -> str:
    for child in json.loads(repository.manifests[digest].body).get("manifests", ()):
        platform = child.get("platform") or {}
        if platform.get("os") == "linux" and platform.get("architecture") == "amd64":
            return str(child["digest"])
    return digest
