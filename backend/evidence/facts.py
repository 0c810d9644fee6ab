"""What the rooms that judge an image need to know of it. Whoever has the catalogue fills it in."""

from __future__ import annotations

import msgspec


class ImageFacts(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An image of the library, as gates, risk and comparisons see it.

    Attributes:
        registry: configured name; `host` is its host with port.
        tags: that name the digest now, newest first.
        rules: that took it in.
        kind: image, index, modelpack, kitops, docker-model, artifact; empty: not known.
        type: chat, completion, embedding, ..., generic; empty: not known.
        framework: nim, vllm, triton, ...; empty: not known.
        size: compressed bytes; None: not told.
        labels: of the image's configuration. annotations: of its manifest.
        licences: that a model's own configuration declares (ModelPack `descriptor.licenses`).
    """

    digest: str
    registry: str
    host: str
    repository: str
    tags: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    kind: str = ""
    type: str = ""
    framework: str = ""
    size: int | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    licences: tuple[str, ...] = ()

    @property
    def reference(self) -> str:
        """`host/repository@digest`."""
        return f"{self.host}/{self.repository}@{self.digest}"

    @property
    def name(self) -> str:
        """`registry/repository:tag` of its newest tag, or with its digest when no tag names it."""
        where = f"{self.registry}/{self.repository}"
        return f"{where}:{self.tags[0]}" if self.tags else f"{where}@{self.digest}"
