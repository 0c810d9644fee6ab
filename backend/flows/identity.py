"""Who acts: the operating system's user, or the name that the cluster gives, with the roles of the configuration."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from backend.core.actors import Actor, ActorSource, Role
from backend.core.errors import IdentityError
from backend.curation.config import RoleConfig, roles_of

_LOGIN_UID: Final = Path("/proc/self/loginuid")
_UNSET_LOGIN_UID: Final = 2**32 - 1
_SHARED_ADMINISTRATORS: Final = "system:masters"
_DECIDING: Final = frozenset({Role.APPROVER, Role.ADMIN, Role.CURATOR})


def operating_system_actor(roles: Sequence[RoleConfig]) -> Actor:
    """The user of the audit session (`/proc/self/loginuid`, which `su` and `sudo` do not change), else of the process.

    `$USER` is never asked: the user can set it. Reads the user database; call it off the event loop.

    Raises:
        IdentityError: the user has no name on this machine.
    """
    uid = _login_uid()
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        raise IdentityError(
            "identity", f"user id {uid} has no name on this machine", "log in as a named user"
        ) from None
    groups = tuple(sorted(_group_names(entry.pw_name, entry.pw_gid)))
    return with_roles(entry.pw_name, groups, ActorSource.OPERATING_SYSTEM, roles)


def with_roles(name: str, groups: Sequence[str], source: ActorSource, roles: Sequence[RoleConfig]) -> Actor:
    """The actor of that name, with every role that names them or one of their groups.

    With no roles configured the actor is unrestricted. An actor in `system:masters` shares their credential with
    others, so the roles that decide are withheld.
    """
    held, unrestricted = roles_of(name, groups, roles)
    shared = source is ActorSource.CLUSTER and _SHARED_ADMINISTRATORS in groups
    if shared:
        held -= _DECIDING
    return Actor(
        name=name,
        source=source,
        groups=tuple(groups),
        roles=held,
        unrestricted=unrestricted and not shared,
        claimed_origin=claimed_origin(),
    )


def claimed_origin() -> str:
    """Where the session says it comes from (the first word of `SSH_CONNECTION`); the user can forge it."""
    words = os.environ.get("SSH_CONNECTION", "").split()
    return words[0] if words else ""


def _login_uid() -> int:
    try:
        login = int(_LOGIN_UID.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return os.getuid()
    return os.getuid() if login == _UNSET_LOGIN_UID else login


def _group_names(user: str, primary: int) -> set[str]:
    names = set()
    for gid in os.getgrouplist(user, primary):
        try:
            names.add(grp.getgrgid(gid).gr_name)
        except KeyError:
            names.add(str(gid))
    return names
