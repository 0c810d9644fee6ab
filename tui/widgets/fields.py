"""What dialogs ask for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

Values = Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Field:
    """A field of a dialog.

    Attributes:
        check: says why its text will not do, empty when it will.
        offers: texts that the up and down keys put into it, to be sent as they are or changed.
    """

    id: str
    label: str
    value: str = ""
    placeholder: str = ""
    check: Callable[[str], str] = lambda _value: ""
    offers: tuple[str, ...] = ()


def typed_name(name: str, label: str = "") -> Field:
    """A field that is right only when it holds this name."""

    def check(value: str) -> str:
        return "" if value.strip() == name else f"type {name} to confirm"

    return Field(id="name", label=label or f"Type {name} to confirm", check=check)


def required(
    id: str, label: str, why: str, *, value: str = "", placeholder: str = "", offers: tuple[str, ...] = ()
) -> Field:
    """A field that may not be empty."""
    return Field(
        id=id,
        label=label,
        value=value,
        placeholder=placeholder,
        check=lambda value: "" if value.strip() else why,
        offers=offers,
    )
