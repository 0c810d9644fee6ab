"""What an image says of itself in its configuration blob, read with limits.

The blob is an OCI image configuration (image-spec 1.1, "Image Configuration"), or that of a model artifact: ModelPack
(model-spec 1.0), KitOps, or Docker models.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from backend.core.errors import MalformedDataError
from backend.core.ports import instant

#: Bytes of a configuration blob that are taken; real ones have a few kilobytes.
LARGEST_CONFIG: Final = 4 << 20
_MOST_ENTRIES: Final = 512
_LONGEST: Final = 8192
_EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)


_OCI: Final = "org.opencontainers.image."
_TOLD_FIRST: Final = ("title", "vendor", "description", "licenses")
# Names of labels, and values, that tell of one build alone.
_OF_A_BUILD: Final = re.compile(r"version|revision|created|date|commit|digest|sha|ref\.|\d{8}|[0-9a-f]{12}|\d\d:\d\d")
_WORD: Final = re.compile(r"[^\s\x00-\x1f\x7f]{2,40}")
_LONGEST_LICENCE: Final = 500
#: Characters of labels that are searched.
_SEARCHED: Final = 200


class Capabilities(msgspec.Struct, frozen=True, rename="camel"):
    """What a ModelPack declares that its model does (model-spec, "config.capabilities")."""

    input_types: tuple[str, ...] = ()
    output_types: tuple[str, ...] = ()
    reasoning: bool = False
    tool_usage: bool = False


class Description(msgspec.Struct, frozen=True, kw_only=True):
    """What an image or a model says of itself; empty where it says nothing.

    Attributes:
        entrypoint: entry point and arguments, in order.
        environment: `NAME=value`, as in the image.
        created_at: as told; the builder may have set any time, so it proves nothing.
        model_name: that a model artifact gives itself.
        licences: that a model artifact declares.
        capabilities: None: none are declared.
        user: that the image runs as. exposed_ports: such as `8000/tcp`.
        family, parameters, precision: of the model, as a model artifact declares them.
    """

    os: str = ""
    architecture: str = ""
    variant: str = ""
    labels: dict[str, str] = {}
    environment: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    created_at: datetime | None = None
    model_name: str = ""
    licences: tuple[str, ...] = ()
    capabilities: Capabilities | None = None
    user: str = ""
    exposed_ports: tuple[str, ...] = ()
    family: str = ""
    parameters: str = ""
    precision: str = ""

    def variable(self, name: str) -> str | None:
        """The value of an environment variable of the image, or None."""
        start = f"{name}="
        return next((one[len(start) :] for one in self.environment if one.startswith(start)), None)


NOTHING_TOLD: Final = Description()


def read_description(data: bytes, where: str) -> Description:
    """Read a configuration blob. Fields of another type than they should have are taken as not told.

    Args:
        where: what is read, for the error.

    Raises:
        MalformedDataError: it is no JSON object.
    """
    try:
        document = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _malformed(where, f"it is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise _malformed(where, "it is not a JSON object")
    config = _table(document.get("config"))
    model = _table(document.get("descriptor"))
    kit = _table(document.get("package"))
    kit_model = _table(document.get("model"))
    return Description(
        os=_text(document.get("os")),
        architecture=_text(document.get("architecture")),
        variant=_text(document.get("variant")),
        labels=_labels(config.get("Labels")),
        environment=_texts(config.get("Env")),
        entrypoint=_texts(config.get("Entrypoint")) + _texts(config.get("Cmd")),
        created_at=plausible_instant(document.get("created") or model.get("createdAt") or model.get("created")),
        model_name=_text(model.get("name")) or _text(kit_model.get("name")) or _text(kit.get("name")),
        licences=_texts(model.get("licenses"))
        or tuple(filter(None, [_text(kit_model.get("license") or kit.get("license"))])),
        capabilities=_capabilities(config.get("capabilities")),
        user=_text(config.get("User")),
        exposed_ports=tuple(_text(port) for port in list(_table(config.get("ExposedPorts")))[:_MOST_ENTRIES]),
        family=_text(model.get("family")) or _text(config.get("architecture")),
        parameters=_text(config.get("paramSize")) or _text(config.get("parameters")),
        precision=_text(config.get("quantization")) or _text(config.get("precision")),
    )


def bounded(told: Mapping[str, str]) -> dict[str, str]:
    """Labels or annotations, no more and no longer than are taken."""
    return _labels(dict(told))


def licence_of(description: Description, annotations: Mapping[str, str]) -> str:
    """The licences that an image declares, as it spells them; empty: none."""
    told = description.licences or tuple(
        value for held in (annotations, description.labels) if (value := held.get(f"{_OCI}licenses", "").strip())
    )
    return _storable(", ".join(dict.fromkeys(told)))[:_LONGEST_LICENCE]


def search_words(description: Description, annotations: Mapping[str, str]) -> str:
    """The first words of what an image says of itself, in lower case, for the search.

    Left out are values that differ from build to build: versions, dates and digests are found by tag and digest.
    """
    told = {**annotations, **description.labels}
    values = [description.model_name, *(told.get(f"{_OCI}{name}", "") for name in _TOLD_FIRST)]
    values += [told[name] for name in sorted(told) if not _OF_A_BUILD.search(name.lower()[:200])]
    words: dict[str, None] = {}
    for value in values:
        if not _OF_A_BUILD.search(value[:100]):
            words.update(dict.fromkeys(_WORD.findall(value[:_SEARCHED].casefold())))
    return _storable(" ".join(words))[:_SEARCHED].rpartition(" ")[0] if words else ""


def plausible_instant(value: object) -> datetime | None:
    """The instant of an RFC 3339 text; None when it is none, or one from before there were container images.

    Reproducible builds give the epoch or other early times, which tell nothing.
    """
    if not isinstance(value, str) or len(value) > 64:
        return None
    try:
        found = instant(value)
    except (ValueError, OverflowError):
        return None
    return found if found >= _EARLIEST else None


def _capabilities(value: object) -> Capabilities | None:
    table = _table(value)
    if not table:
        return None
    return Capabilities(
        input_types=_texts(table.get("inputTypes")), output_types=_texts(table.get("outputTypes")),
        reasoning=table.get("reasoning") is True, tool_usage=table.get("toolUsage") is True,
    )  # fmt: skip


def _table(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return _storable(value)[:_LONGEST] if isinstance(value, str) else ""


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        return ()
    return tuple(_text(one) for one in value[:_MOST_ENTRIES] if isinstance(one, str))


def _labels(value: object) -> dict[str, str]:
    pairs = list(_table(value).items())[:_MOST_ENTRIES]
    return {_text(name): _text(label) for name, label in pairs if isinstance(label, str)}


def _storable(text: str) -> str:
    # JSON may hold lone surrogates, which UTF-8 and the database have no form for.
    return text if text.isascii() else text.encode("utf-8", errors="replace").decode("utf-8")


def _malformed(where: str, why: str) -> MalformedDataError:
    return MalformedDataError(where, why, "tell the registry's operator; nothing of it was taken in")
