"""The `[policy]` and `[[role]]` tables of the configuration."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from backend.core.actors import Role
from backend.core.settings import Duration, Settings
from backend.curation.gate_config import GateConfig, GateScope


class RequireConfig(Settings):
    """Of whom some of those who approve have to be: a group as the identity source gives it, or a role.

    A person counts for one requirement. `approvals` counts everybody, so two requirements of one person each ask for
    two people, whether `approvals` is 1 or 2.

    Attributes:
        applies: to which images and environments it applies; None: to all.
    """

    group: str = ""
    role: Role | None = None
    count: int = Field(default=1, ge=1, le=20)
    applies: GateScope | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> RequireConfig:
        if bool(self.group) == (self.role is not None):
            raise ValueError("name either a group or a role")
        return self


class PersonConfig(Settings):
    """A person and their other names: their login on other machines, their name in a cluster."""

    name: str = Field(min_length=1)
    also: tuple[str, ...] = Field(min_length=1)


class EnvironmentConfig(Settings):
    """Where images may run, by a name: the namespaces of some contexts. An absent key means all.

    Attributes:
        contexts, namespaces: as the kubeconfig and the cluster name them; names may hold `*` and `?`.
    """

    name: str = Field(min_length=1, max_length=60)
    contexts: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()


class AutomaticConfig(Settings):
    """What policy decides by itself, done by the worker and marked so. It overrides nobody's decision.

    Attributes:
        decide: approve or reject.
        name: told as the reason.
        applies: which images; None: all.
        in_place_of: of an approval, for how many people it stands; where policy asks for more than one person or for
            somebody of a group, it has to be said: a number, or "all".
        warnings: of an approval, whether gates that only warn may stand open.
        max_risk: of an approval, the highest risk (0 to 100) that is approved so; None: any.
        above_critical, above_high: of a rejection, it is given for more findings than this that are not waived.
        failing: of a rejection, it is given when a gate of one of these kinds fails.
    """

    decide: Literal["approve", "reject"]
    name: str = Field(default="", max_length=200)
    applies: GateScope | None = None
    in_place_of: Annotated[int, Field(ge=1, le=20)] | Literal["all"] | None = None
    warnings: bool = False
    max_risk: int | None = Field(default=None, ge=0, le=100)
    above_critical: int | None = Field(default=None, ge=0)
    above_high: int | None = Field(default=None, ge=0)
    failing: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _belongs_together(self) -> AutomaticConfig:
        of_rejection = self.above_critical is not None or self.above_high is not None or bool(self.failing)
        if self.decide == "reject":
            if not of_rejection:
                raise ValueError("an automatic rejection needs above_critical, above_high or failing")
            if self.in_place_of is not None or self.max_risk is not None or self.warnings:
                raise ValueError("in_place_of, warnings and max_risk belong to an automatic approval")
        elif of_rejection:
            raise ValueError("above_critical, above_high and failing belong to an automatic rejection")
        return self


class PolicyConfig(Settings):
    """What an image needs to be approved.

    Attributes:
        approvals: how many people have to approve.
        require: of which groups and roles some of them have to be.
        expires: how long an approval holds; None: until it is revoked.
        max_waiver: how far ahead a waiver may end.
        waiver_control: whether a waiver needs a compensating control.
        break_glass: how long one person may let an image run by themselves; None: nobody may.
        validation: whether rollouts are proved by a request to a pod through the API server, around the gateway.
        person: people who go by several names.
        environment: the first that matches is where a service runs.
        automatic: what policy decides by itself; the first that applies.
        gate: judged in this order.
    """

    approvals: int = Field(default=1, ge=1, le=20)
    require: tuple[RequireConfig, ...] = ()
    expires: Duration | None = None
    max_waiver: Duration = timedelta(days=365)
    waiver_control: bool = False
    break_glass: Duration | None = None
    validation: bool = True
    person: tuple[PersonConfig, ...] = ()
    environment: tuple[EnvironmentConfig, ...] = ()
    automatic: tuple[AutomaticConfig, ...] = ()
    gate: tuple[GateConfig, ...] = ()

    @field_validator("expires", "max_waiver", "break_glass")
    @classmethod
    def _duration_is_positive(cls, duration: timedelta | None) -> timedelta | None:
        if duration is not None and duration <= timedelta(0):
            raise ValueError("it is above zero")
        return duration

    @model_validator(mode="after")
    def _tables_agree(self) -> PolicyConfig:
        for kind, names in (("person", [each.name for each in self.person]),
                            ("environment", [each.name for each in self.environment])):  # fmt: skip
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"two policy.{kind} tables are named {twice[0]!r}")
        if self.approvals > 1 or self.require:
            unsaid = [each for each in self.automatic if each.decide == "approve" and each.in_place_of is None]
            if unsaid:
                raise ValueError(
                    "policy asks for several people: say with in_place_of for how many of them an automatic approval"
                    ' stands, or "all"'
                )
        known = {each.name for each in self.environment}
        scopes = [each.applies for each in (*self.gate, *self.require, *self.automatic) if each.applies is not None]
        unknown = sorted({name for scope in scopes for name in scope.environments} - known)
        if unknown:
            raise ValueError(f"there is no policy.environment named {unknown[0]!r}")
        return self


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
