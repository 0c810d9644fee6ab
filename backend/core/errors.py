"""The error tree. Every failure that a user can meet is one of these, and says what failed, why, and what to do.

- ModelyardError                exit 1, the root; never raised itself
  - UsageError                  exit 2, the command or its arguments are wrong
    - ConfigurationError        exit 2, a configuration file is malformed; carries file and line
    - TooManyNewError           exit 2, a rule takes in more than it may without being asked
  - RefusedError                exit 3, something that could be done may not be done
    - ReadOnlyError             the yard was opened read-only
    - IdentityError             it cannot be told who acts
    - RoleError                 the actor lacks the role, or may not decide on this object
    - AccessDeniedError         the cluster's RBAC refuses
    - AdmissionError            the cluster's admission refuses, or its schema does
    - PolicyError               a gate of our own policy refuses
  - ConflictError               exit 4, something changed since it was seen; carries the conflicts
  - NotFoundError               exit 5, nothing of that name
    - NotInstalledError         a server does not have that kind of thing at all
  - UnreachableError            exit 6, a server could not be reached
    - AuthenticationError       exit 6, a server refused our credentials
  - MalformedDataError          exit 1, a server or a file says what cannot be so
    - DigestMismatchError       bytes do not have the digest they were asked by
    - LimitExceededError        more, larger or deeper than is taken
  - ToolError                   exit 1, a program that was started failed, or took too long
  - StoreError                  exit 1, the database cannot be used
    - StoreLockedError          another process holds it for too long
    - StoreDamagedError         it is not a database, or is corrupt
      - StoreForeignError       it is a sound database of another program
    - StoreTooNewError          a newer program made it
    - StoreUnwritableError      disk full, read-only, or a file system that cannot hold it
    - StoreConstraintError      a rule of the database refuses the change (unique, foreign key, append-only)
  - LedgerError                 exit 1, the ledger does not verify; carries the first bad entry
  - PartialFailureError         exit 1, some parts were done and some failed
  - InterruptedByUserError      exit 130
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar


class ModelyardError(Exception):
    """A failure told in three parts.

    Args:
        what: what failed, as a noun or a short clause ("sync of registry ngc").
        why: the cause as far as it is known, sanitised by whoever shows it.
        action: what the user can do about it.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, why: str, action: str) -> None:
        super().__init__(what, why, action)
        self.what = what
        self.why = why
        self.action = action

    def __str__(self) -> str:
        return f"{self.what}: {self.why}; {self.action}"


class UsageError(ModelyardError):
    """The command, its arguments or a typed value are wrong."""

    exit_code = 2


class ConfigurationError(UsageError):
    """A configuration file cannot be read or holds something that is not so.

    Args:
        path: the file, or None when the error is not of one file.
        line: 1-based line in it, or None when no line is to blame.
    """

    def __init__(self, why: str, action: str, *, path: Path | None = None, line: int | None = None) -> None:
        where = "configuration" if path is None else str(path) if line is None else f"{path}:{line}"
        super().__init__(where, why, action)
        self.path = path
        self.line = line


class TooManyNewError(UsageError):
    """A rule would take in more new tags than it may without somebody's leave."""


class RefusedError(ModelyardError):
    """Something that could be done may not be done."""

    exit_code = 3


class ReadOnlyError(RefusedError):
    """The yard was opened read-only."""


class IdentityError(RefusedError):
    """It cannot be told who acts, and what was asked needs to know."""


class RoleError(RefusedError):
    """The actor lacks the role, or may not decide on this object (four eyes)."""


class AccessDeniedError(RefusedError):
    """The cluster's RBAC refuses; `why` names verb, resource and namespace."""


class AdmissionError(RefusedError):
    """The cluster's admission or its schema refuses an object."""


class PolicyError(RefusedError):
    """A gate of our own policy refuses."""


class ConflictError(ModelyardError):
    """Something changed since it was seen, or somebody else owns it.

    Args:
        conflicts: one line a conflict (a field and its manager, or what changed).
    """

    exit_code = 4

    def __init__(self, what: str, why: str, action: str, *, conflicts: Sequence[str] = ()) -> None:
        super().__init__(what, why, action)
        self.conflicts = tuple(conflicts)


class NotFoundError(ModelyardError):
    """Nothing of that name."""

    exit_code = 5


class NotInstalledError(NotFoundError):
    """A server does not have that kind of thing at all, in contrast to one that is missing or may not be read."""


class UnreachableError(ModelyardError):
    """A server could not be reached, or did not answer in time."""

    exit_code = 6


class AuthenticationError(UnreachableError):
    """A server was reached and refused our credentials."""


class MalformedDataError(ModelyardError):
    """A server or a file says what cannot be so."""


class DigestMismatchError(MalformedDataError):
    """Bytes do not have the digest they were asked by."""


class LimitExceededError(MalformedDataError):
    """More, larger or deeper than is taken."""


class ToolError(ModelyardError):
    """A program of somebody else's that was started failed, or took too long."""


class StoreError(ModelyardError):
    """The database cannot be used."""


class StoreLockedError(StoreError):
    """Another process holds the database for too long."""


class StoreDamagedError(StoreError):
    """The file is no database, or is corrupt."""


class StoreForeignError(StoreDamagedError):
    """The file is a sound database of another program."""


class StoreTooNewError(StoreError):
    """The database was made by a newer program."""


class StoreUnwritableError(StoreError):
    """The disk is full or read-only, or the file system cannot hold the database."""


class StoreConstraintError(StoreError):
    """A rule of the database refuses the change: a unique key, a foreign key, a check, an append-only table."""


class LedgerError(ModelyardError):
    """The ledger does not verify.

    Args:
        first_bad: sequence number of the first entry that does not hold.
    """

    def __init__(self, what: str, why: str, action: str, *, first_bad: int) -> None:
        super().__init__(what, why, action)
        self.first_bad = first_bad


class PartialFailureError(ModelyardError):
    """Some parts were done and some failed; what was done is recorded."""


class InterruptedByUserError(ModelyardError):
    """The user interrupted the work; what was recorded stays recorded."""

    exit_code = 130

    def __init__(self, what: str = "interrupted", why: str = "the work was interrupted") -> None:
        super().__init__(what, why, "run it again to complete it")
