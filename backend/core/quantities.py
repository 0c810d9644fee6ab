"""Quantities of Kubernetes (`resource.Quantity`): `500m` CPU, `48Gi` memory, `1` GPU."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

_FORM: Final = re.compile(
    r"(?P<number>[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+))(?P<suffix>[eE][+-]?[0-9]{1,3}|[numkMGTPE]|[KMGTPE]i)?\Z"
)
_BINARY: Final = {name: Decimal(1024) ** power for power, name in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), 1)}
_DECIMAL: Final = {
    "n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "": Decimal(1), "k": Decimal("1e3"),
    "M": Decimal("1e6"), "G": Decimal("1e9"), "T": Decimal("1e12"), "P": Decimal("1e15"), "E": Decimal("1e18"),
}  # fmt: skip
_LONGEST: Final = 64


def parse_quantity(value: object) -> Decimal:
    """A quantity in its base unit: cores, bytes, pieces.

    Args:
        value: as the API or a manifest gives it, text or a number.

    Raises:
        ValueError: it is no quantity.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"{value!r} is no quantity")
    text = str(value).strip()
    match = _FORM.match(text) if len(text) <= _LONGEST else None
    if match is None:
        raise ValueError(f"{text[:_LONGEST]!r} is no quantity")
    number, suffix = Decimal(match["number"]), match["suffix"] or ""
    if suffix in _BINARY:
        return number * _BINARY[suffix]
    if suffix in _DECIMAL:
        return number * _DECIMAL[suffix]
    return number.scaleb(int(suffix[1:]))


def quantity_text(amount: Decimal, like: str = "") -> str:
    """A quantity as people read it.

    Args:
        amount: in its base unit.
        like: name of the resource; memory and storage are told in the binary unit that fits.
    """
    if "memory" in like or "storage" in like:
        for name in reversed(_BINARY):
            if abs(amount) >= _BINARY[name]:
                return f"{_plain((amount / _BINARY[name]).quantize(Decimal('0.1')))}{name}"
    return _plain(amount.quantize(Decimal("0.001")))


def _plain(amount: Decimal) -> str:
    text = format(amount, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
