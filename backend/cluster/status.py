"""What an API server's refusals mean: `v1` Status objects, and answers that are none, as errors of the core.

The shapes are those of a recorded kube-apiserver 1.36: a field that the schema does not have is a 500 with "failed to
create typed patch object", a kind that is not installed a plain-text 404 without a Status.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from backend.core.errors import (
    AccessDeniedError,
    AdmissionError,
    AuthenticationError,
    ConflictError,
    LimitExceededError,
    MalformedDataError,
    ModelyardError,
    NotFoundError,
    NotInstalledError,
    RefusedError,
    UnreachableError,
)
from backend.core.text import sanitise

_RBAC: Final = re.compile(
    r'User "(?P<user>[^"]*)" cannot (?P<verb>\S+) (?:resource "(?P<resource>[^"]*)" in API group "(?P<group>[^"]*)"'
    r'(?: in the namespace "(?P<namespace>[^"]*)")?|path "(?P<path>[^"]*)")'
)
_TYPED_PATCH: Final = re.compile(
    r"failed to create typed patch object \([^)]*\): (?P<field>\.\S+?): (?P<problem>.+)", re.S
)
_MANAGER: Final = re.compile(r'conflict with "(?P<manager>[^"]*)"(?: with subresource "(?P<subresource>[^"]*)")?')
_WEBHOOK: Final = re.compile(r'admission webhook "(?P<hook>[^"]*)" denied the request: (?P<problem>.+)', re.S)
_MESSAGE_LIMIT: Final = 2000


class StatusCause(msgspec.Struct, frozen=True, kw_only=True):
    """One cause in a Status."""

    reason: str = ""
    message: str = ""
    field: str = ""


class StatusDetails(msgspec.Struct, frozen=True, kw_only=True):
    """What a Status is about."""

    name: str = ""
    kind: str = ""
    group: str = ""
    uid: str = ""
    causes: tuple[StatusCause, ...] | None = None


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """`v1` Status."""

    kind: str = ""
    status: str = ""
    message: str = ""
    reason: str = ""
    code: int = 0
    details: StatusDetails | None = None

    @property
    def causes(self) -> tuple[StatusCause, ...]:
        """The causes, or none."""
        return (self.details.causes or ()) if self.details else ()


_STATUS: Final = msgspec.json.Decoder(Status)


class FieldConflict(msgspec.Struct, frozen=True):
    """A field that somebody else manages."""

    field: str
    manager: str

    def __str__(self) -> str:
        return f"{self.field} is managed by {self.manager}"


def read_status(body: bytes) -> Status | None:
    """The Status in an answer's body, or None when it holds none."""
    try:
        status = _STATUS.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return status if status.kind == "Status" else None


def field_conflicts(status: Status) -> tuple[FieldConflict, ...]:
    """The fields of a 409 that other managers own."""
    conflicts = []
    for cause in status.causes:
        if cause.reason == "FieldManagerConflict":
            match = _MANAGER.search(cause.message)
            manager = match.group("manager") if match else cause.message
            conflicts.append(FieldConflict(sanitise(cause.field, 300), sanitise(manager, 200)))
    return tuple(conflicts)


def error_of(code: int, body: bytes, what: str) -> ModelyardError:
    """The error that an answer stands for.

    Args:
        code: HTTP status, 400 or above; or the code of a watch's ERROR event.
        body: of the answer.
        what: what was attempted, as the error shall name it.
    """
    status = read_status(body)
    if status is None:
        return _without_status(code, body, what)
    return error_of_status(status, what, code)


def error_of_status(status: Status, what: str, code: int | None = None) -> ModelyardError:
    """The error that a Status stands for; `code` is the HTTP status, None: the Status' own."""
    number = status.code if code is None else code
    message = sanitise(status.message, _MESSAGE_LIMIT) or f"the API server answered {number} without a message"
    if number == 401:
        return AuthenticationError(what, "the cluster refused our credentials", "renew the token or sign in again")
    if number == 403:
        return _forbidden(what, status, message)
    if number == 404:
        return NotFoundError(what, message, "check the name, the namespace and the context")
    if number == 409:
        return _conflict(what, status, message)
    if number == 410:
        return ConflictError(what, message, "read the list again")
    if number in {400, 422}:
        return _invalid(what, status, message)
    if number == 413:
        return LimitExceededError(what, message, "make the object smaller")
    if match := _TYPED_PATCH.search(message):
        field, problem = match.group("field"), match.group("problem")
        return AdmissionError(what, f"{field}: {problem}", f"correct {field} in the manifest")
    if number == 429 or number >= 500:
        return UnreachableError(what, f"the API server answered {number}: {message}", "try again in a moment")
    return RefusedError(what, f"the API server answered {number}: {message}", "report this with the message")


def _without_status(code: int, body: bytes, what: str) -> ModelyardError:
    text = sanitise(body[:200].decode("utf-8", "replace").strip(), 200)
    if code == 401:
        return AuthenticationError(what, "the cluster refused our credentials", "renew the token or sign in again")
    if code == 404:
        return NotInstalledError(
            what,
            "the cluster does not have this kind of object (404 without a Status)",
            "install what provides it, or choose another cluster",
        )
    if code in {403, 407}:
        return AccessDeniedError(what, f"refused with {code}: {text}", "ask who runs the proxy or the cluster")
    if code == 429 or code >= 500:
        return UnreachableError(what, f"answered {code}: {text or 'no reason given'}", "try again in a moment")
    return MalformedDataError(
        what, f"answered {code} with what is no Kubernetes Status: {text}", "check the server's address in kubeconfig"
    )


def _forbidden(what: str, status: Status, message: str) -> ModelyardError:
    if match := _RBAC.search(message):
        if match.group("path"):
            asked, place = match.group("path"), ""
        else:
            group = match.group("group")
            asked = f"{match.group('resource')}.{group}" if group else match.group("resource")
            place = f" in namespace {match.group('namespace')}" if match.group("namespace") else " in the whole cluster"
        return AccessDeniedError(
            what,
            f"the cluster's RBAC does not let {match.group('user')} {match.group('verb')} {asked}{place}",
            "ask the cluster's administrator for a role binding",
        )
    if match := _WEBHOOK.search(message):
        return _denied(what, match)
    return AdmissionError(what, _policy_message(status, message), "change what the policy names, or ask its owner")


def _denied(what: str, match: re.Match[str]) -> AdmissionError:
    return AdmissionError(
        what, f"{match.group('problem')} (webhook {match.group('hook')})", "change what the webhook names"
    )


def _policy_message(status: Status, message: str) -> str:
    """The policy's own words, without the object's name before them."""
    for cause in status.causes:
        if cause.message:
            return sanitise(cause.message, _MESSAGE_LIMIT)
    return message.partition(" is forbidden: ")[2] or message


def _invalid(what: str, status: Status, message: str) -> ModelyardError:
    if match := _WEBHOOK.search(message):
        return _denied(what, match)
    causes = list(dict.fromkeys(f"{cause.field}: {cause.message}" for cause in status.causes if cause.field))
    why = sanitise("; ".join(causes), _MESSAGE_LIMIT) if causes else message
    if any(cause.field == "metadata.uid" for cause in status.causes):
        return ConflictError(what, "the object was deleted and made again since it was read", "make a new plan")
    return AdmissionError(what, why, "correct the manifest")


def _conflict(what: str, status: Status, message: str) -> ModelyardError:
    fields = field_conflicts(status)
    if fields:
        managers = ", ".join(sorted({conflict.manager for conflict in fields}))
        return ConflictError(
            what,
            "; ".join(str(conflict) for conflict in fields),
            f"leave these fields out, or take them from {managers} by naming each (--take {fields[0].field})",
            conflicts=[str(conflict) for conflict in fields],
        )
    if status.reason == "AlreadyExists":
        return ConflictError(what, message, "make a new plan", conflicts=[message])
    return ConflictError(
        what, "the object changed since it was read", "read it again and make a new plan", conflicts=[message]
    )
