"""Building blocks of the rooms' configuration models."""

from __future__ import annotations

import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from backend.core.errors import ConfigurationError

_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)\Z")
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(B|kB|MB|GB|TB|KiB|MiB|GiB|TiB)\Z")
_UNIT_BYTES: Final = {
    "B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
}  # fmt: skip
_UNIT_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


class Settings(BaseModel):
    """A table of the configuration: unknown keys are errors, values do not change."""

    # Nested tables are built as part of the whole configuration alone: that halves what the models cost a start. So a
    # table's default is an empty table that is validated with the rest (default_factory=dict), never a model made here.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, defer_build=True)


def parse_duration(text: object) -> timedelta:
    """Read a number and a unit, `ms`, `s`, `m`, `h`, `d` or `w`: `800ms`, `15m`, `7d`.

    Raises:
        ValueError: the text is none of these.
    """
    if isinstance(text, timedelta):
        return text
    match = _DURATION.match(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError('write a duration as a number and ms, s, m, h, d or w, such as "15m"')
    try:
        return timedelta(seconds=float(match.group(1)) * _UNIT_SECONDS[match.group(2)])
    except OverflowError as error:
        raise ValueError("that is longer than any duration can be") from error


def duration_text(duration: timedelta) -> str:
    """The shortest form that `parse_duration` reads back."""
    seconds = duration.total_seconds()
    for unit in ("w", "d", "h", "m", "s"):
        count = seconds / _UNIT_SECONDS[unit]
        if count >= 1 and count == int(count):
            return f"{int(count)}{unit}"
    return f"{seconds * 1000:g}ms"


Duration = Annotated[timedelta, BeforeValidator(parse_duration)]


def _bytes(value: object) -> object:
    if not isinstance(value, str):
        return value
    match = _SIZE.match(value)
    if match is None:
        raise ValueError('write a size as a number and B, kB, MB, GB, TB, KiB, MiB, GiB or TiB, such as "20GB"')
    return round(float(match.group(1)) * _UNIT_BYTES[match.group(2)])


#: Bytes, written as a number and a unit: `20GB`.
Size = Annotated[int, BeforeValidator(_bytes), Field(ge=1)]


class SecretReference(Settings):
    """Where a secret is: an environment variable or a file. The secret itself is never in the configuration."""

    env: str | None = None
    file: Path | None = None

    @model_validator(mode="before")
    @classmethod
    def _refuse_plain_text(cls, value: object) -> object:
        if isinstance(value, str):
            raise ValueError('a secret is never written here: use { env = "NAME" } or { file = "PATH" }')
        return value

    @model_validator(mode="after")
    def _exactly_one(self) -> SecretReference:
        if (self.env is None) == (self.file is None):
            raise ValueError('give either { env = "NAME" } or { file = "PATH" }')
        return self

    def read(self, base: Path, purpose: str) -> str:
        """The secret, with surrounding white space removed. Reads a file: call it off the event loop.

        Args:
            base: folder that a relative path starts at.
            purpose: what needs it ("password of registry ngc"), for the error.

        Raises:
            ConfigurationError: the variable is not set, or the file cannot be read, or it is empty.
        """
        if self.env is not None:
            value = os.environ.get(self.env, "").strip()
            if not value:
                raise ConfigurationError(f"the environment variable {self.env} for the {purpose} is not set", "set it")
            return value
        path = base / (self.file or Path())
        try:
            value = path.expanduser().read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise ConfigurationError(
                f"the file {path} for the {purpose} cannot be read: {reason}", "create it, readable by you alone"
            ) from error
        if not value:
            raise ConfigurationError(f"the file {path} for the {purpose} is empty", "write the secret into it")
        return value
