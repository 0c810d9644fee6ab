"""Policy as it is applied: the configuration with the keys that it names read in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backend.core.canonical import hash_of
from backend.curation.config import PolicyConfig, RoleConfig
from backend.curation.gate_config import GateConfig, GateScope, SignatureGate
from backend.curation.people import People
from backend.curation.quorum import Requirement
from backend.evidence.facts import ImageFacts

if TYPE_CHECKING:
    from backend.evidence.keyless import KeylessIdentity
    from backend.evidence.keys import PublicKey


@dataclass(frozen=True)
class Gate:
    """A gate with the keys and keyless identities that it names."""

    config: GateConfig
    keys: tuple[PublicKey, ...] = ()
    identities: tuple[KeylessIdentity, ...] = ()

    @cached_property
    def key_names(self) -> dict[str, str]:
        """The names of keys and identities, by fingerprint."""
        signers: tuple[PublicKey | KeylessIdentity, ...] = (*self.keys, *self.identities)
        return {each.fingerprint: each.name for each in signers}


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
    def people(self) -> People:
        """Whom it takes for one person."""
        return People({each.name: each.also for each in self.config.person})

    def requirements(self, facts: ImageFacts, environment: str = "") -> tuple[Requirement, ...]:
        """Of which groups and roles some of those who approve an image have to be.

        Args:
            environment: that it is approved for; empty: any, so that requirements of single environments count too.
        """
        return tuple(
            Requirement(
                kind="role" if each.role is not None else "group",
                name=each.role.value if each.role is not None else each.group,
                count=each.count,
            )
            for each in self.config.require
            if each.applies is None or applies(each.applies, facts, environment)
        )

    def environment_of(self, context: str, namespace: str) -> str:
        """The environment that a namespace of a cluster belongs to; empty: to none."""
        for each in self.config.environment:
            if _matches(each.contexts, context) and _matches(each.namespaces, namespace):
                return each.name
        return ""

    @cached_property
    def fingerprints(self) -> frozenset[str]:
        """The fingerprints of the keys and keyless identities of all gates."""
        return frozenset(fingerprint for gate in self.gates for fingerprint in gate.key_names)

    @property
    def keys(self) -> tuple[PublicKey, ...]:
        """The keys of all gates, each once."""
        return tuple({key.fingerprint: key for gate in self.gates for key in gate.keys}.values())

    @property
    def identities(self) -> tuple[KeylessIdentity, ...]:
        """The keyless identities of all gates, each once."""
        return tuple({each.fingerprint: each for gate in self.gates for each in gate.identities}.values())


def applies(scope: GateScope, facts: ImageFacts, environment: str = "") -> bool:
    """Whether a table of this scope is about the image; what is not known of it matches.

    Args:
        environment: that the image is judged for; empty: any.
    """
    return (
        _any_matches(scope.registries, [facts.registry, facts.host])
        and _any_matches(scope.types, [facts.type])
        and _any_matches(scope.rules, facts.rules)
        and _any_matches(scope.environments, [environment])
    )


def _any_matches(patterns: Sequence[str], names: Iterable[str]) -> bool:
    known = [name for name in names if name]
    return not patterns or not known or any(fnmatchcase(name, pattern) for name in known for pattern in patterns)


def _matches(patterns: Sequence[str], name: str) -> bool:
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)


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
            identities=_identities(gate, base) if isinstance(gate, SignatureGate) else (),
        )
        for gate in config.gate
    )
    return Policy(config=config, gates=gates, hash=_hash(config, gates, roles))


def _keys(gate: SignatureGate, base: Path) -> tuple[PublicKey, ...]:
    # Cryptography is imported only where policy names keys.
    from backend.evidence.keys import load_public_key

    return tuple(load_public_key(path, base) for path in gate.keys)


def _identities(gate: SignatureGate, base: Path) -> tuple[KeylessIdentity, ...]:
    if gate.trusted_root is None:
        return ()
    from backend.evidence.keyless import load_identity

    return (load_identity(gate.identity, gate.issuer, gate.trusted_root, base),)


def _hash(config: PolicyConfig, gates: Sequence[Gate], roles: Sequence[RoleConfig]) -> str:
    def gate_facts(gate: Gate) -> dict[str, Any]:
        facts: dict[str, Any] = gate.config.model_dump(mode="json", exclude={"keys", "trusted_root"})
        return {**facts, "keys": sorted(gate.key_names)}

    return hash_of(
        {
            **config.model_dump(mode="json", exclude={"gate"}),
            "gate": [gate_facts(gate) for gate in gates],
            "role": sorted([role.name.value, sorted(role.users), sorted(role.groups)] for role in roles),
        }
    )
