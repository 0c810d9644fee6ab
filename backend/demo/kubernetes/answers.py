"""Status answers, with the wording of a kube-apiserver: clients take them apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from aiohttp import web

from backend.demo.objects import Object
from backend.demo.resources import Resource

_ENCODER = msgspec.json.Encoder()


class Cause(NamedTuple):
    """One entry of `details.causes`.

    Attributes:
        reason: such as `FieldValueInvalid`.
        message: what is wrong, without the field.
        field: where, such as `metadata.name`.
    """

    reason: str
    message: str
    field: str


class StatusError(Exception):
    """An answer other than success. `body` is the Status object, or text where a real server sends text."""

    def __init__(self, body: Object | str, code: int) -> None:
        super().__init__(body if isinstance(body, str) else body["message"])
        self.body = body
        self.code = code

    def response(self) -> web.Response:
        """The HTTP answer."""
        if isinstance(self.body, str):
            return web.Response(text=self.body, status=self.code)
        return json_response(self.body, self.code)


def json_response(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """An answer of JSON."""
    return web.Response(body=_ENCODER.encode(body), status=status, headers=headers, content_type="application/json")


def failure(code: int, reason: str, message: str, details: Object | None = None) -> StatusError:
    """A failed Status; `reason` may be empty, as it is for internal errors."""
    body: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message}
    if reason:
        body["reason"] = reason
    if details is not None:
        body["details"] = details
    return StatusError({**body, "code": code}, code)


def details_of(resource: Resource, name: str = "", *, by_kind: bool = False) -> Object:
    """`details` naming an object; some answers name its kind where others name the plural."""
    return _details(resource.group, resource.kind if by_kind else resource.plural, name)


def _details(group: str, kind: str, name: str) -> Object:
    details = {"name": name, "group": group, "kind": kind}
    return {key: value for key, value in details.items() if value}


def bad_request(message: str) -> StatusError:
    """400: the request cannot be understood."""
    return failure(400, "BadRequest", message)


def unauthorized() -> StatusError:
    """401: the credentials are unknown or expired."""
    return failure(401, "Unauthorized", "Unauthorized")


def not_found(resource: Resource, name: str) -> StatusError:
    """404: no such object."""
    return failure(404, "NotFound", f'{resource.qualified} "{name}" not found', details_of(resource, name))


def not_served() -> StatusError:
    """404 in plain text: no such kind or address."""
    return StatusError("404 page not found\n", 404)


def already_exists(resource: Resource, name: str) -> StatusError:
    """409: an object of that name exists."""
    message = f'{resource.qualified} "{name}" already exists'
    return failure(409, "AlreadyExists", message, details_of(resource, name))


def conflict(resource: Resource, name: str, why: str, *, by_kind: bool = False) -> StatusError:
    """409: the object is not as the request presumes."""
    qualified = _qualified_kind(resource) if by_kind else resource.qualified
    message = f'Operation cannot be fulfilled on {qualified} "{name}": {why}'
    return failure(409, "Conflict", message, details_of(resource, name, by_kind=by_kind))


def modified(resource: Resource, name: str) -> StatusError:
    """409: a resource version in the request is not the current one."""
    why = "the object has been modified; please apply your changes to the latest version and try again"
    return conflict(resource, name, why)


def apply_conflict(causes: Sequence[Cause], message: str) -> StatusError:
    """409: other managers own fields that an apply would change."""
    return failure(409, "Conflict", message, {"causes": [cause._asdict() for cause in causes]})


def invalid(resource: Resource, name: str, causes: Sequence[Cause]) -> StatusError:
    """422: fields with values that are not allowed."""
    return _invalid(_qualified_kind(resource), details_of(resource, name, by_kind=True), name, causes)


def invalid_options(kind: str, causes: Sequence[Cause]) -> StatusError:
    """422: the query's options are not allowed; `kind` such as `PatchOptions`."""
    return _invalid(f"{kind}.meta.k8s.io", {"group": "meta.k8s.io", "kind": kind}, "", causes)


def _invalid(qualified: str, details: Object, name: str, causes: Sequence[Cause]) -> StatusError:
    problems = list(dict.fromkeys(f"{cause.field}: {cause.message}" for cause in causes))
    text = problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]"
    details = {**details, "causes": [cause._asdict() for cause in causes]}
    return failure(422, "Invalid", f'{qualified} "{name}" is invalid: {text}', details)


def forbidden(
    user: str, verb: str, group: str, plural: str, namespace: str, name: str, subresource: str = ""
) -> StatusError:
    """403: RBAC does not allow it. Empty `namespace` is the cluster's scope, empty `name` the collection."""
    target = f"{plural}.{group}" if group else plural
    what = f"{plural}/{subresource}" if subresource else plural
    subject = f'{target} "{name}" is forbidden' if name else f"{target} is forbidden"
    where = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
    message = f'{subject}: User "{user}" cannot {verb} resource "{what}" in API group "{group}" {where}'
    return failure(403, "Forbidden", message, _details(group, plural, name))


def denied(resource: Resource, name: str, policy: str, why: str) -> StatusError:
    """403: an admission policy refuses the object."""
    told = f"ValidatingAdmissionPolicy '{policy}' with binding '{policy}' denied request: {why}"
    details = {**_details(resource.group, resource.plural, name), "causes": [{"message": told}]}
    return failure(403, "Forbidden", f'{resource.qualified} "{name}" is forbidden: {told}', details)


def forbidden_path(user: str, verb: str, path: str) -> StatusError:
    """403: RBAC does not allow an address that is no resource."""
    return failure(403, "Forbidden", f'forbidden: User "{user}" cannot {verb} path "{path}"', {})


def expired(message: str) -> StatusError:
    """410: a resource version or continue token is older than the history."""
    return failure(410, "Expired", message)


def unsupported_media_type(accepted: Sequence[str]) -> StatusError:
    """415: the body's type is not taken here."""
    message = "the body of the request was in an unknown format - accepted media types include: "
    return failure(415, "UnsupportedMediaType", message + ", ".join(accepted))


def method_not_allowed() -> StatusError:
    """405: the address exists, the method does not."""
    return failure(405, "MethodNotAllowed", "the server does not allow this method on the requested resource", {})


def not_typed(resource: Resource, namespace: str, name: str, problem: str) -> StatusError:
    """500: an applied object does not fit the schema. A real server says 500 here, not 422."""
    api_version = resource.api_version
    identity = f"{namespace}/{name}; {api_version}, Kind={resource.kind}"
    return failure(500, "", f"failed to create typed patch object ({identity}): {problem}")


def success(resource: Resource, content: Object) -> Object:
    """The Status that answers a deletion."""
    metadata = content["metadata"]
    details = {**details_of(resource, metadata["name"]), "uid": metadata["uid"]}
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}


def _qualified_kind(resource: Resource) -> str:
    return f"{resource.kind}.{resource.group}" if resource.group else resource.kind
