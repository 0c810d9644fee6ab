"""Documents that tell of a model: which layer of an artifact holds one, and what it says; pure.

Media types: ModelPack (model-spec 1.0, "doc" layers), KitOps (`modelkit.docs`), Docker models (`ai.license`), and any
artifact whose layer is titled as a README (OCI image-spec 1.1, `org.opencontainers.image.title`).
"""

from __future__ import annotations

import io
import re
import tarfile
import zlib
from collections.abc import Mapping
from typing import Final

from backend.registry.manifests import Descriptor, Manifest

#: Larger documents are left where they are.
LARGEST_CARD: Final = 1 << 20
_UNPACKED: Final = 4 << 20
_SHOWN: Final = 1 << 18
_MOST_MEMBERS: Final = 200
_DOCUMENTS: Final = ("application/vnd.cncf.model.doc.v1.", "application/vnd.cnai.model.doc.v1.",
                     "application/vnd.kitops.modelkit.docs.v1.")  # fmt: skip
_LICENCES: Final = ("application/vnd.docker.ai.license", "application/vnd.kitops.modelkit.license.v1.")
_TITLES: Final = ("org.opencontainers.image.title", "org.cncf.model.filepath", "org.cnai.model.filepath")
_README: Final = re.compile(r"(?:.*/)?(?:readme|model[-_ ]?card)(?:\.(?:md|txt|rst))?\Z", re.IGNORECASE)
_LICENCE: Final = re.compile(r"(?:.*/)?(?:licen[cs]e|copying)(?:\.(?:md|txt))?\Z", re.IGNORECASE)
_OCI: Final = "org.opencontainers.image."
_TOLD: Final = ("title", "description", "documentation", "url", "source", "vendor", "authors", "licenses")
_NIM: Final = "com.nvidia.nim."


def card_layer(manifest: Manifest) -> Descriptor | None:
    """The layer that holds the document to show, the best of them; None: none is there, or only a large one."""
    ranked = [
        (rank, position, layer)
        for position, layer in enumerate(manifest.layers)
        if 0 < layer.size <= LARGEST_CARD and (rank := _rank(layer)) is not None
    ]
    return min(ranked)[2] if ranked else None


def card_of(data: bytes | None, annotations: Mapping[str, str], labels: Mapping[str, str]) -> str:
    """The document as text, else what annotations and labels say of the image; empty: nothing does.

    Args:
        data: of the layer that `card_layer` chose: text, or an archive of files.
    """
    text = "" if data is None else _text_in(data)
    if text.strip():
        return text
    said = {name: annotations.get(_OCI + name) or labels.get(_OCI + name) for name in _TOLD}
    lines = [f"{name}: {told}" for name, told in said.items() if told]
    lines += [f"{name.removeprefix(_NIM)}: {value}" for name, value in sorted(labels.items()) if name.startswith(_NIM)]
    return "\n".join(lines)[:_SHOWN]


def _rank(layer: Descriptor) -> int | None:
    titles = [layer.annotations[name] for name in _TITLES if name in layer.annotations]
    if any(_README.match(title[:500]) for title in titles):
        return 0
    if layer.media_type.startswith(_DOCUMENTS):
        return 1
    if layer.media_type.startswith(_LICENCES) or any(_LICENCE.match(title[:500]) for title in titles):
        return 2
    return None


def _text_in(data: bytes) -> str:
    """The text of a document, or of the best file of an archive; empty when it is neither."""
    if data.startswith(b"\x1f\x8b"):
        try:
            # What a small file unpacks to is cut off and not trusted to be small.
            data = zlib.decompressobj(wbits=31).decompress(data, _UNPACKED)
        except zlib.error:
            return ""
    if data[257:262] == b"ustar":
        data = _file_in(data)
    if b"\x00" in data[:4096]:
        return ""
    return data[:_SHOWN].decode("utf-8", errors="replace")


def _file_in(archive: bytes) -> bytes:
    best: tuple[int, bytes] = (3, b"")
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as files:
            for _, member in zip(range(_MOST_MEMBERS), files, strict=False):
                rank = 0 if _README.match(member.name[:500]) else 1 if member.name.lower().endswith(".md") else 2
                if member.isreg() and rank < best[0] and (file := files.extractfile(member)) is not None:
                    best = (rank, file.read(_SHOWN))
    except (tarfile.TarError, EOFError, OSError, ValueError):
        return best[1]
    return best[1]
