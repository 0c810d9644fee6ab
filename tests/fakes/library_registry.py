"""A registry in memory for tests of the library: true digests, and failures and cuts where they are told to be."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from backend.core.errors import ModelyardError, NotFoundError
from backend.registry.manifests import (
    OCI_INDEX,
    OCI_MANIFEST,
    Descriptor,
    Manifest,
    digest_of,
    parse_manifest,
    require_digest,
)
from backend.registry.usage import count

IMAGE_CONFIG = "application/vnd.oci.image.config.v1+json"


async def nothing(call: str) -> None:
    """Before each call; the place for failures and cuts."""


class FakeRegistry:
    """Repositories and content; counts what it is asked.

    Attributes:
        before: awaited before each call with its name, such as `resolve nim/a:1.0`.
        failing: errors by call, or by the start of one up to a space or colon.
        calls: in order.
    """

    def __init__(self) -> None:
        self.repositories: dict[str, dict[str, str]] = {}
        self.content: dict[str, tuple[str, bytes]] = {}
        self.failing: dict[str, ModelyardError] = {}
        self.before: Callable[[str], Awaitable[None]] = nothing
        self.calls: list[str] = []
        self.hidden: set[str] = set()

    # ------------------------------------------------------------ filling it

    def put(self, media_type: str, document: Any) -> Descriptor:
        """Add content."""
        data = document if isinstance(document, bytes) else json.dumps(document).encode()
        digest = digest_of(data)
        self.content[digest] = (media_type, data)
        return Descriptor(media_type=media_type, digest=digest, size=len(data))

    def image(
        self, *, size: int = 1000, config_type: str = IMAGE_CONFIG, artifact_type: str = "", **config: Any
    ) -> str:
        """Add an image; `config` are the keys of its configuration. Returns its digest."""
        document = {"os": "linux", "architecture": "amd64", **config} if config_type == IMAGE_CONFIG else config
        described = self.put(config_type, document)
        manifest = {
            "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": _pointer(described),
            "layers": [
                {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest_of(b"x"), "size": size}
            ],
        }  # fmt: skip
        if artifact_type:
            manifest["artifactType"] = artifact_type
        return self.put(OCI_MANIFEST, manifest).digest

    def index(self, *children: tuple[str, str], attests: str = "") -> str:
        """Add an index of `(platform, digest)`, and an attestation of the digest `attests`. Returns its digest."""
        entries = []
        for platform, digest in children:
            os, architecture, *variant = platform.split("/")
            told = {"os": os, "architecture": architecture, **({"variant": variant[0]} if variant else {})}
            media_type, data = self.content[digest]
            entries.append({"mediaType": media_type, "digest": digest, "size": len(data), "platform": told})
        if attests:
            entries.append(
                {"mediaType": OCI_MANIFEST, "digest": digest_of(b"attestation"), "size": 9,
                 "platform": {"os": "unknown", "architecture": "unknown"},
                 "annotations": {"vnd.docker.reference.type": "attestation-manifest",
                                 "vnd.docker.reference.digest": attests}}
            )  # fmt: skip
        return self.put(OCI_INDEX, {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).digest

    def push(self, repository: str, tag: str, digest: str | None = None, **config: Any) -> str:
        """Have a tag name an image, a new one of its own unless a digest is given."""
        if digest is None:
            digest = self.image(**{"config": {"Labels": {"of": f"{repository}:{tag}"}}, **config})
        self.repositories.setdefault(repository, {})[tag] = digest
        return digest

    # ------------------------------------------------------------ being asked

    async def tags(self, repository: str) -> list[str]:
        await self._asked(f"tags {repository}")
        if repository not in self.repositories:
            raise _missing(repository)
        return list(self.repositories[repository])

    async def catalog(self, globs: Sequence[str] = ()) -> list[str]:
        await self._asked("catalog")
        return [name for name in self.repositories if name not in self.hidden]

    async def resolve(self, repository: str, reference: str) -> Descriptor:
        await self._asked(f"resolve {repository}:{reference}")
        digest = self.repositories.get(repository, {}).get(reference)
        if digest is None:
            raise _missing(f"{repository}:{reference}")
        media_type, data = self.content[digest]
        return Descriptor(media_type=media_type, digest=digest, size=len(data))

    async def manifest(self, repository: str, reference: str) -> Manifest:
        await self._asked(f"manifest {repository}@{reference}")
        media_type, data = self._of(reference)
        return parse_manifest(data, media_type, reference, reference)

    async def blob(self, repository: str, digest: str, size: int, limit: int) -> bytes:
        await self._asked(f"blob {repository}@{digest}")
        _, data = self._of(digest)
        require_digest(data, digest, digest)
        return data

    def _of(self, digest: str) -> tuple[str, bytes]:
        if digest not in self.content:
            raise _missing(digest)
        count(received=len(self.content[digest][1]))
        return self.content[digest]

    async def _asked(self, call: str) -> None:
        self.calls.append(call)
        count(requests=1)
        await self.before(call)
        for part in (call, call.partition(":")[0], call.partition(" ")[0]):
            if part in self.failing:
                raise self.failing[part]


def _missing(what: str) -> NotFoundError:
    return NotFoundError(what, "the registry holds nothing of that name", "check it")


def _pointer(descriptor: Descriptor) -> dict[str, Any]:
    return {"mediaType": descriptor.media_type, "digest": descriptor.digest, "size": descriptor.size}


def fill(registry: FakeRegistry) -> None:
    """Six tags in three repositories: an index of two images, one of which has a tag of its own, and four images."""
    amd, arm = registry.image(size=10), registry.image(size=20, architecture="arm64")
    registry.push("index", "1.0", registry.index(("linux/amd64", amd), ("linux/arm64", arm)))
    for number in range(4):
        registry.push("a", f"1.{number}")
    registry.push("b", "latest", amd)
