"""What an image's configurations say that gates ask for: user, ports, age, base image, labels.

Formats: OCI image-spec 1.1, "Image Configuration" and "Annotations" (`org.opencontainers.image.base.*`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from backend.core.errors import MalformedDataError
from backend.core.ports import timestamp
from backend.evidence.decoding import clean, decode, moment
from backend.evidence.facts import ImageFacts

_BASE_NAME: Final = "org.opencontainers.image.base.name"
_BASE_DIGEST: Final = "org.opencontainers.image.base.digest"
#: Labels of vendors that name a base image, where the standard annotation is not given.
_BASE_LABELS: Final = ("com.nvidia.nim.base_image",)
_MOST_ENTRIES: Final = 200
_LONGEST_VALUE: Final = 500
_CONFIG_LIMIT: Final = 4 * 1024 * 1024


class _Settings(msgspec.Struct, frozen=True):
    user: str | None = msgspec.field(name="User", default=None)
    ports: dict[str, Any] | None = msgspec.field(name="ExposedPorts", default=None)
    environment: list[str] | None = msgspec.field(name="Env", default=None)
    entrypoint: list[str] | None = msgspec.field(name="Entrypoint", default=None)
    command: list[str] | None = msgspec.field(name="Cmd", default=None)


class _Configuration(msgspec.Struct, frozen=True):
    rootfs: dict[str, Any]
    os: str | None = None
    architecture: str | None = None
    variant: str | None = None
    created: str | None = None
    config: _Settings | None = None


_DECODER: Final = msgspec.json.Decoder(_Configuration)


class ImageSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What one platform's configuration says.

    Attributes:
        user: empty: none is set, which is root.
        ports: such as `8000/tcp`.
        environment, arguments: variables by name; entry point and command, in order.
    """

    platform: str
    user: str = ""
    ports: tuple[str, ...] = ()
    created: datetime | None = None
    environment: Mapping[str, str] = {}
    arguments: tuple[str, ...] = ()

    @property
    def runs_as_root(self) -> bool:
        """Whether a container runs as root unless the cluster says otherwise."""
        return self.user.partition(":")[0] in {"", "0", "root"}


async def read_all(configurations: Iterable[bytes]) -> tuple[ImageSettings, ...]:
    """The settings of all platforms; configurations of models, and broken ones, are left out."""
    return await asyncio.to_thread(_read_all, tuple(configurations))


def _read_all(configurations: tuple[bytes, ...]) -> tuple[ImageSettings, ...]:
    found = []
    for data in configurations:
        try:
            found.append(read(data))
        except MalformedDataError:
            # A model's configuration has no file system; whatever else it is, it sets no user.
            continue
    return tuple(found)


def read(data: bytes) -> ImageSettings:
    """The settings of one platform.

    Raises:
        MalformedDataError: it is no configuration of a container image.
    """
    document = decode(data, _DECODER, "image configuration", _CONFIG_LIMIT)
    settings = document.config or _Settings()
    pairs = [text.partition("=") for text in (settings.environment or ())[:_MOST_ENTRIES]]
    return ImageSettings(
        platform="/".join(clean(part, 40) for part in (document.os, document.architecture, document.variant) if part),
        user=clean(settings.user, 100),
        ports=tuple(sorted(clean(port, 40) for port in list(settings.ports or ())[:_MOST_ENTRIES])),
        created=moment(document.created),
        environment={clean(name, 200): clean(value, 2000) for name, equals, value in pairs if equals},
        arguments=tuple(
            clean(each, 2000) for each in [*(settings.entrypoint or ()), *(settings.command or ())][:_MOST_ENTRIES]
        ),
    )


def describe(facts: ImageFacts, settings: Iterable[ImageSettings]) -> tuple[str, dict[str, Any]]:
    """What compliance gates read of an image (`backend.evidence.records`), and it in a clause."""
    platforms = list(settings)
    payload: dict[str, Any] = {
        "labels": _bounded(facts.labels),
        "annotations": _bounded(facts.annotations),
        "base": _base(facts),
    }
    if facts.size is not None:
        payload["size"] = facts.size
    created = [each.created for each in platforms if each.created]
    if created:
        # The oldest of several platforms: what an age limit asks about holds for all of them.
        payload["created"] = timestamp(min(created))
    if platforms:
        payload |= {
            "users": [each.user for each in platforms],
            "root": any(each.runs_as_root for each in platforms),
            "ports": sorted({port for each in platforms for port in each.ports}),
            "platforms": [each.platform for each in platforms],
        }
    return _summary(payload), payload


def _summary(payload: Mapping[str, Any]) -> str:
    parts = []
    if "root" in payload:
        users = sorted({user or "root" for user in payload["users"]})
        parts.append(f"runs as {', '.join(users)}")
        parts.append(f"ports {', '.join(payload['ports'])}" if payload["ports"] else "no port is declared")
    if payload["base"]:
        parts.append(f"based on {payload['base'].get('name') or payload['base'].get('digest')}")
    parts.append(f"{len(payload['labels'])} labels")
    return clean("; ".join(parts), 300)


def _base(facts: ImageFacts) -> dict[str, str]:
    for where, told in (("annotation", facts.annotations), ("label", facts.labels)):
        name, digest = told.get(_BASE_NAME, ""), told.get(_BASE_DIGEST, "")
        if name or digest:
            return {"name": clean(name, 500), "digest": clean(digest, 200), "told_by": where}
    for label in _BASE_LABELS:
        if facts.labels.get(label):
            return {"name": clean(facts.labels[label], 500), "digest": "", "told_by": f"label {label}"}
    return {}


def _bounded(told: Mapping[str, str]) -> dict[str, str]:
    return {clean(name, 200): clean(value, _LONGEST_VALUE) for name, value in list(told.items())[:_MOST_ENTRIES]}
