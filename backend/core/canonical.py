"""One byte form for a JSON value, so that it can be hashed and signed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

Json: TypeAlias = Mapping[str, Any] | Sequence[Any] | str | int | float | bool | None


def canonical_json(value: Json) -> bytes:
    """The value as UTF-8 JSON with sorted keys, no spaces, no escapes beyond JSON's own.

    For the values that we hash (no floats beyond what `repr` round-trips) this equals RFC 8785.

    Raises:
        ValueError: the value holds NaN or an infinity.
        TypeError: the value holds what JSON has no form for.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", errors="surrogatepass")


def sha256_hex(data: bytes) -> str:
    """SHA-256 of the bytes: 64 lower-case hexadecimal characters."""
    return hashlib.sha256(data).hexdigest()


def hash_of(value: Json) -> str:
    """`sha256:` and the SHA-256 of the value's canonical form."""
    return f"sha256:{sha256_hex(canonical_json(value))}"
