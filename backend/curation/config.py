"""The `[policy]`, `[[policy.gate]]` and `[[role]]` tables of the configuration."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, field_validator, model_validator

from backend.core.actors import Role
from backend.core.settings import Duration, Settings


class GateScope(Settings):
    """Which images a gate judges: those that match every list that is given. Names may hold `*` and `?`.

    What is not known of an image (its type before it was classified) matches: a gate is not escaped by being unknown.
    """

    registries: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()


class _Gate(Settings):
    """What all gates have.

    Attributes:
        effect: `block` stands in the way of an approval, `warn` is shown.
        max_age: how old what the gate looks at may be; older is stale. None: any age.
        applies: which images it judges; None: all.
    """

    effect: Literal["block", "warn"] = "block"
    max_age: Duration | None = None
    applies: GateScope | None = None

    @field_validator("max_age")
    @classmethod
    def _age_is_positive(cls, age: timedelta | None) -> timedelta | None:
        if age is not None and age <= timedelta(0):
            raise ValueError("max_age is above zero")
        return age


class SignatureGate(_Gate):
    """Asks for a signature by one of some keys.

    Attributes:
        keys: public keys in PEM, relative to the configuration file; one of them has to have signed.
        max_age: how long ago the registry was last asked; a signature itself tells no time.
    """

    kind: Literal["signature"]
    keys: tuple[Path, ...] = Field(min_length=1)


class VulnerabilityGate(_Gate):
    """Asks for a vulnerability report with few enough findings.

    Attributes:
        max_critical, max_high: findings allowed that are not waived; None: any number.
        max_age: of the report.
        accept_unsigned: a report will do that somebody handed in, or that is attached without a signature that one of
            policy's keys verifies. Otherwise such a report can fail the gate and never pass it.
    """

    kind: Literal["vulnerabilities"]
    max_critical: int | None = Field(default=None, ge=0)
    max_high: int | None = Field(default=None, ge=0)
    accept_unsigned: bool = False


class LicenceGate(_Gate):
    """Asks for licences that are allowed.

    Attributes:
        allow: SPDX identifiers that the image's own declared licence must be of; empty: any that is not denied.
        deny: identifiers that neither the image nor a package of its SBOM may be under.
        packages: `allow` is asked of every package of the SBOM too.
        max_age: of the SBOM.
        accept_unsigned: an SBOM will do that no key of policy verifies.
    """

    kind: Literal["licence"]
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    packages: bool = False
    accept_unsigned: bool = False

    @model_validator(mode="after")
    def _asks_for_something(self) -> LicenceGate:
        if not self.allow and not self.deny:
            raise ValueError("a licence gate needs allow or deny")
        return self


GateConfig: TypeAlias = Annotated[SignatureGate | VulnerabilityGate | LicenceGate, Field(discriminator="kind")]


class PolicyConfig(Settings):
    """What an image needs to be approved.

    Attributes:
        approvals: how many people have to approve.
        expires: how long an approval holds; None: until it is revoked.
        max_waiver: how far ahead a waiver may end.
        gate: judged in this order.
    """

    approvals: int = Field(default=1, ge=1, le=20)
    expires: Duration | None = None
    max_waiver: Duration = timedelta(days=365)
    gate: tuple[GateConfig, ...] = ()

    @field_validator("expires", "max_waiver")
    @classmethod
    def _duration_is_positive(cls, duration: timedelta | None) -> timedelta | None:
        if duration is not None and duration <= timedelta(0):
            raise ValueError("it is above zero")
        return duration


class RoleConfig(Settings):
    """Who holds a role. Roles do not nest: each is given by itself.

    Attributes:
        users, groups: names as the identity source gives them, compared letter by letter.
    """

    name: Role
    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


def roles_of(name: str, groups: Sequence[str], roles: Iterable[RoleConfig]) -> tuple[frozenset[Role], bool]:
    """The roles of a person.

    Args:
        name, groups: as the identity source gives them.
        roles: as configured.

    Returns:
        the roles held, and whether none are configured at all, in which case one person may do everything.
    """
    configured = list(roles)
    held = frozenset(role.name for role in configured if name in role.users or not set(groups).isdisjoint(role.groups))
    return held, not configured
