"""Who acts, and in which roles."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Role(StrEnum):
    """What a person may do. Roles do not nest: each is given by itself."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    APPROVER = "approver"
    CURATOR = "curator"
    ADMIN = "admin"


class ActorSource(StrEnum):
    """Who says that the actor is who they are."""

    OPERATING_SYSTEM = "os"
    CLUSTER = "cluster"
    WORKER = "worker"


class Actor(msgspec.Struct, frozen=True, kw_only=True):
    """A person or the worker.

    Attributes:
        name: as the identity source gives it.
        source: who vouches for the name.
        groups: as the identity source gives them.
        roles: from the configuration; with no roles configured a person has all of them.
        unrestricted: no roles are configured, so one person may do everything.
        claimed_origin: what `SSH_CONNECTION` says; the user can forge it, so it is recorded as claimed.
    """

    name: str
    source: ActorSource
    groups: tuple[str, ...] = ()
    roles: frozenset[Role] = frozenset()
    unrestricted: bool = False
    claimed_origin: str = ""

    def may(self, role: Role) -> bool:
        """Whether the actor holds the role."""
        return self.unrestricted or role in self.roles


#: Submits what `sync` brings in, evaluates gates, and acts where policy decides by itself.
WORKER = Actor(name="modelyard-worker", source=ActorSource.WORKER)
