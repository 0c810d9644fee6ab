"""Public keys that signatures are checked against: ECDSA, RSA and Ed25519, in PEM."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from backend.core.errors import ConfigurationError

KeyMaterial: TypeAlias = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey

_KEY_FILE_LIMIT: Final = 64 * 1024
# NIST SP 800-131A revision 2: RSA below 2048 bits is no longer allowed for signatures.
_RSA_MINIMUM_BITS: Final = 2048
_CURVE_HASHES: Final[dict[str, hashes.HashAlgorithm]] = {
    "secp256r1": hashes.SHA256(),
    "secp384r1": hashes.SHA384(),
    "secp521r1": hashes.SHA512(),
}


@dataclass(frozen=True)
class PublicKey:
    """A key that policy trusts.

    Attributes:
        name: how people call it: the file's name without its ending.
        fingerprint: `sha256:` and the SHA-256 of its SubjectPublicKeyInfo in DER.
        material: the key itself.
    """

    name: str
    fingerprint: str
    material: KeyMaterial

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Whether the signature over the message is of this key.

        Args:
            signature: ECDSA as DER, RSA as PKCS #1 v1.5, Ed25519 as its 64 bytes.
            message: what was signed, not hashed.
        """
        if isinstance(self.material, rsa.RSAPublicKey):
            return self._verifies_rsa(self.material, signature, message)
        if isinstance(self.material, ed25519.Ed25519PublicKey):
            try:
                self.material.verify(signature, message)
            except InvalidSignature:
                return False
            return True
        # Newer cosign hashes by curve, older cosign always with SHA-256.
        own = _CURVE_HASHES[self.material.curve.name]
        return any(
            _verifies_ecdsa(self.material, signature, message, algorithm)
            for algorithm in ([own] if isinstance(own, hashes.SHA256) else [own, hashes.SHA256()])
        )

    @staticmethod
    def _verifies_rsa(material: rsa.RSAPublicKey, signature: bytes, message: bytes) -> bool:
        try:
            material.verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            return False
        return True


def _verifies_ecdsa(
    material: ec.EllipticCurvePublicKey, signature: bytes, message: bytes, algorithm: hashes.HashAlgorithm
) -> bool:
    try:
        material.verify(signature, message, ec.ECDSA(algorithm))
    except InvalidSignature:
        return False
    return True


def parse_public_key(pem: bytes, name: str) -> PublicKey:
    """Read a key.

    Args:
        pem: `BEGIN PUBLIC KEY` (RFC 7468), as `cosign generate-key-pair` and `openssl pkey -pubout` write it.
        name: how people will call it.

    Raises:
        ConfigurationError: it is no public key, of a kind that is not used for signatures here, or too weak.
    """
    if b"PRIVATE KEY" in pem:
        raise _unusable(name, "it is a private key", "give the public half, and move the private one away from here")
    try:
        material = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _unusable(name, "it is no public key in PEM", 'give a file that starts "BEGIN PUBLIC KEY"') from error
    if not isinstance(material, ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey):
        raise _unusable(name, "it is neither ECDSA, RSA nor Ed25519", "sign with one of these")
    if isinstance(material, ec.EllipticCurvePublicKey) and material.curve.name not in _CURVE_HASHES:
        raise _unusable(name, f"its curve is {material.curve.name}", "use P-256, P-384 or P-521")
    if isinstance(material, rsa.RSAPublicKey) and material.key_size < _RSA_MINIMUM_BITS:
        raise _unusable(name, f"it is RSA of {material.key_size} bits", f"use {_RSA_MINIMUM_BITS} or more")
    encoded = material.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return PublicKey(name=name, fingerprint=f"sha256:{hashlib.sha256(encoded).hexdigest()}", material=material)


def load_public_key(path: Path, base: Path) -> PublicKey:
    """Read a key from a file. Blocks: call it off the event loop.

    Args:
        path: where the key is; `~` is the home folder.
        base: folder that a relative path starts at.

    Raises:
        ConfigurationError: the file cannot be read, or is no key that can be used.
    """
    whole = base / path.expanduser()
    try:
        with whole.open("rb") as file:
            pem = file.read(_KEY_FILE_LIMIT)
    except OSError as error:
        raise ConfigurationError(
            f"the key {whole} cannot be read: {error.strerror}", "create it, or take it out of the policy"
        ) from error
    return parse_public_key(pem, path.stem)


def _unusable(name: str, why: str, action: str) -> ConfigurationError:
    return ConfigurationError(f"the key {name!r} cannot be used: {why}", action)
