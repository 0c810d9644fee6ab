"""Keyless signatures: certificates of Sigstore's authority, checked offline against a trusted root that is given.

Sigstore's own library does it (extra `[keyless]`); nothing is fetched. A certificate lives for minutes, so what proves
that it was good is the time that a transparency log or a timestamp authority of the trusted root signed.
Formats: Sigstore bundle v0.1 to v0.3, `trusted_root.json` v0.1.
"""

from __future__ import annotations

import hashlib
import logging
import tempfile
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from backend.core.errors import ConfigurationError
from backend.evidence.decoding import clean

if TYPE_CHECKING:
    from collections.abc import Sequence

_LOG = logging.getLogger(__name__)
#: What to do where the extra is missing.
NOT_INSTALLED: Final = "install modelyard[keyless]"
#: What the fingerprint of an identity starts with, to be told from those of keys.
KEYLESS: Final = "keyless:"
_LARGEST_ROOT: Final = 4 * 1024 * 1024


class CannotCheckError(Exception):
    """A keyless signature could not be checked, which says nothing of it; the text says why."""


class DoesNotHoldError(Exception):
    """A keyless signature does not hold for any identity that was asked for; the text says why."""


@dataclass(frozen=True)
class KeylessIdentity:
    """Somebody whom policy trusts to sign without a key of their own.

    Attributes:
        identity: subject alternative name of the certificate: an e-mail address, or the address of a workflow.
        issuer: who vouched for the identity, such as `https://token.actions.githubusercontent.com`.
        trusted_root: bytes of the `trusted_root.json` that names the authorities and logs.
        fingerprint: tells it from keys and other identities.
    """

    identity: str
    issuer: str
    trusted_root: bytes = field(repr=False)
    fingerprint: str = field(init=False)

    def __post_init__(self) -> None:
        root = hashlib.sha256(self.trusted_root).hexdigest()
        told = "\0".join((self.identity, self.issuer, root)).encode("utf-8", "surrogatepass")
        object.__setattr__(self, "fingerprint", f"{KEYLESS}{hashlib.sha256(told).hexdigest()}")

    @property
    def name(self) -> str:
        """How people call it."""
        return self.identity


def load_identity(identity: str, issuer: str, trusted_root: Path, base: Path) -> KeylessIdentity:
    """An identity with the trusted root out of its file. Blocks: call it off the event loop.

    Args:
        trusted_root: `~` is the home folder; a relative path starts at `base`.

    Raises:
        ConfigurationError: the file cannot be read, or is too large to be one.
    """
    whole = base / trusted_root.expanduser()
    try:
        with whole.open("rb") as file:
            data = file.read(_LARGEST_ROOT + 1)
    except OSError as error:
        raise ConfigurationError(
            f"the trusted root {whole} cannot be read: {error.strerror}", "create it, or take it out of the policy"
        ) from error
    if len(data) > _LARGEST_ROOT:
        raise ConfigurationError(f"the trusted root {whole} is too large", "give a trusted_root.json of Sigstore")
    return KeylessIdentity(identity, issuer, data)


def verify_bundle(bundle: bytes, payload: bytes, identities: Sequence[KeylessIdentity]) -> KeylessIdentity:
    """The first identity that a bundle's DSSE envelope is signed by. Blocks for milliseconds: call it in a thread.

    Args:
        bundle: a Sigstore bundle, JSON.
        payload: that the caller read out of its envelope, and goes on with.
        identities: that policy names; at least one.

    Raises:
        CannotCheckError: the extra is not installed, or a trusted root cannot be used.
        DoesNotHoldError: none of the identities signed it, or the signature or its certificate do not hold.
    """
    try:
        from sigstore.models import Bundle
        from sigstore.verify.policy import Identity
    except ImportError as error:
        raise CannotCheckError(NOT_INSTALLED) from error
    # The library raises errors of its own, of pydantic and of the standard library on what is no bundle.
    try:
        read = Bundle.from_json(bundle)
    except Exception as error:
        raise DoesNotHoldError(f"the bundle cannot be read: {_told(error)}") from error
    reason = ""
    for each in identities:
        verifier = _verifier(each.trusted_root)
        try:
            _, signed = verifier.verify_dsse(read, Identity(identity=each.identity, issuer=each.issuer))
        except Exception as error:
            _LOG.debug("keyless signature is not of %s: %s", each.identity, error)
            reason = reason or _told(error)
            continue
        # Two readers may understand one text differently; what is believed is what was verified.
        if signed != payload:
            raise DoesNotHoldError("the bundle can be read in two ways")
        return each
    raise DoesNotHoldError(reason or "no identity was given")


@lru_cache(maxsize=8)
def _verifier(trusted_root: bytes) -> Any:
    from sigstore.models import TrustedRoot
    from sigstore.verify import Verifier

    try:
        with tempfile.NamedTemporaryFile(suffix=".json") as file:
            file.write(trusted_root)
            file.flush()
            return Verifier(trusted_root=TrustedRoot.from_file(file.name))
    except Exception as error:
        raise CannotCheckError(f"the trusted root cannot be used: {_told(error)}") from error


def _told(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return clean(text, 160)
