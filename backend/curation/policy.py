"""Policy as it is applied: the configuration with the keys that it names read in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backend.core.canonical import hash_of
from backend.curation.config import GateConfig, PolicyConfig, RoleConfig, SignatureGate

if TYPE_CHECKING:
    from backend.evidence.keys import PublicKey


@dataclass(frozen=True)
class Gate:
    """A gate and the keys that it names."""

    config: GateConfig
    keys: tuple[PublicKey, ...] = ()

    @cached_property
    def key_names(self) -> dict[str, str]:
        """The names of the keys, by fingerprint."""
        return {key.fingerprint: key.name for key in self.keys}


@dataclass(frozen=True)
class Policy:
    """What has to hold for an approval.

    Attributes:
        gates: in the order of the configuration.
        hash: over everything that decides, the keys' contents included and their paths left out; it is in every
            decision.
    """

    config: PolicyConfig
    gates: tuple[Gate, ...]
    hash: str

    @property
    def approvals(self) -> int:
        """How many people have to approve."""
        return self.config.approvals

    @cached_property
    def fingerprints(self) -> frozenset[str]:
        """The fingerprints of the keys of all gates."""
        return frozenset(key.fingerprint for gate in self.gates for key in gate.keys)

    @property
    def keys(self) -> tuple[PublicKey, ...]:
        """The keys of all gates, each once."""
        return tuple({key.fingerprint: key for gate in self.gates for key in gate.keys}.values())


def load_policy(config: PolicyConfig, roles: Sequence[RoleConfig], base: Path) -> Policy:
    """Read the keys that policy names. Blocks: call it off the event loop.

    Args:
        base: folder that relative paths of keys start at: that of the configuration file.

    Raises:
        ConfigurationError: a key cannot be read, or is none that can be used.
    """
    gates = tuple(
        Gate(
            config=gate,
            keys=_keys(gate, base) if isinstance(gate, SignatureGate) else (),
        )
        for gate in config.gate
    )
    return Policy(config=config, gates=gates, hash=_hash(config, gates, roles))


def _keys(gate: SignatureGate, base: Path) -> tuple[PublicKey, ...]:
    # Cryptography is imported only where policy names keys.
    from backend.evidence.keys import load_public_key

    return tuple(load_public_key(path, base) for path in gate.keys)


def _hash(config: PolicyConfig, gates: Sequence[Gate], roles: Sequence[RoleConfig]) -> str:
    def gate_facts(gate: Gate) -> dict[str, Any]:
        facts: dict[str, Any] = gate.config.model_dump(mode="json", exclude={"keys"})
        return {**facts, "keys": sorted(key.fingerprint for key in gate.keys)}

    return hash_of(
        {
            **config.model_dump(mode="json", exclude={"gate"}),
            "gate": [gate_facts(gate) for gate in gates],
            "role": sorted([role.name.value, sorted(role.users), sorted(role.groups)] for role in roles),
        }
    )
