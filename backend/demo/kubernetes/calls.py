"""A request to the API server, taken apart: what it asks, of which objects, as whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import yaml
from aiohttp import web

from backend.demo.kubernetes.answers import (
    Cause,
    bad_request,
    failure,
    invalid_options,
    method_not_allowed,
    not_served,
    unsupported_media_type,
)
from backend.demo.kubernetes.protobuf import PROTOBUF, REVIEWS, review_from_protobuf
from backend.demo.kubernetes.users import DemoUser
from backend.demo.objects import Object
from backend.demo.resources import NAMESPACES, Resource, find

#: The limit of a real API server on a request's body.
BODY_LIMIT = 3 * 1024 * 1024
_NAMED = {"GET": "get", "HEAD": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_COLLECTIVE = {"GET": "list", "HEAD": "list", "POST": "create", "DELETE": "deletecollection"}
_TRUE = ("1", "t", "true", "TRUE", "True", "T")
_YAML_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, kw_only=True)
class Address:
    """What a path below `/api/v1` or `/apis/GROUP/VERSION` names.

    Attributes:
        group, version, plural: the kind's names.
        namespace: empty at the cluster's scope.
        name: empty for the collection.
        subresource: such as `status`; empty for the object itself.
        rest: what follows the subresource in the path.
    """

    group: str
    version: str
    plural: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    rest: str = ""

    @property
    def what(self) -> str:
        """`plural` or `plural/subresource`, as RBAC names it."""
        return f"{self.plural}/{self.subresource}" if self.subresource else self.plural


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request on objects, after authentication.

    Attributes:
        http: the request.
        user: who asks.
        verb: as RBAC names it.
        address: what it names.
        now: the time, RFC 3339.
    """

    http: web.Request
    user: DemoUser
    verb: str
    address: Address
    now: str

    @property
    def resource(self) -> Resource:
        """The kind.

        Raises:
            StatusError: 404 in plain text, when it is not served.
        """
        found = find(self.address.group, self.address.version, self.address.plural)
        if found is None or (self.address.namespace and not found.namespaced and found != NAMESPACES):
            raise not_served()
        return found

    @property
    def namespace(self) -> str | None:
        """The namespace that the request is limited to."""
        return self.address.namespace or None

    def option(self, name: str) -> str:
        """A query parameter, empty when it is absent."""
        return self.http.query.get(name, "")

    def flag(self, name: str) -> bool:
        """A query parameter as a truth value."""
        return self.option(name) in _TRUE

    def number(self, name: str) -> int | None:
        """A query parameter as a number of at least 0; None when it is absent or empty.

        Raises:
            StatusError: 400, when it is none.
        """
        text = self.option(name)
        if not text:
            return None
        if not (text.isascii() and text.isdigit() and len(text) < 19):
            raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax')
        return int(text)

    @property
    def dry_run(self) -> bool:
        """Whether nothing shall be stored.

        Raises:
            StatusError: 422, for another value than `All`.
        """
        value = self.option("dryRun")
        if value not in ("", "All"):
            message = f'Unsupported value: "{value}": supported values: "All"'
            raise invalid_options(self._options, [Cause("FieldValueNotSupported", message, "dryRun")])
        return value == "All"

    @property
    def field_manager(self) -> str:
        """Who comes to own what is written: as asked for, else the client's name."""
        return self.option("fieldManager") or self.http.headers.get("User-Agent", "unknown").partition("/")[0]

    @property
    def field_validation(self) -> str:
        """What happens to unknown fields: `Ignore`, `Warn` or `Strict`."""
        value = self.option("fieldValidation") or "Warn"
        if value not in ("Ignore", "Warn", "Strict"):
            message = f'Unsupported value: "{value}": supported values: "", "Ignore", "Strict", "Warn"'
            raise invalid_options(self._options, [Cause("FieldValueNotSupported", message, "fieldValidation")])
        return value

    @property
    def _options(self) -> str:
        return {"PATCH": "PatchOptions", "PUT": "UpdateOptions"}.get(self.http.method, "CreateOptions")

    @property
    def media_type(self) -> str:
        """The body's type without parameters, in lower case."""
        return self.http.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def parse_address(path: str) -> Address | None:
    """The address of objects in a path that starts with `/api/` or `/apis/`; None when it names none."""
    steps = path.strip("/").split("/")
    depth = 2 if steps[0] == "api" else 3
    if len(steps) <= depth:
        return None
    group, version = ("", steps[1]) if depth == 2 else (steps[1], steps[2])
    steps = steps[depth:]
    namespace = ""
    if steps[:1] == ["namespaces"] and len(steps) > 2 and steps[2] not in ("status", "finalize"):
        namespace, steps = steps[1], steps[2:]
    if not all(steps[:2]):
        return None
    name, subresource = [*steps[1:3], "", ""][:2]
    rest = "/".join(steps[3:])
    return Address(
        group=group,
        version=version,
        plural=steps[0],
        namespace=namespace,
        name=name,
        subresource=subresource,
        rest=rest,
    )


def verb_of(method: str, address: Address, *, watch: bool) -> str:
    """The request's verb as RBAC names it.

    Raises:
        StatusError: 405, when the method means nothing here.
    """
    if address.name and address.subresource in ("proxy", "log"):
        return {"POST": "create"}.get(method, _NAMED.get(method, "get"))
    verb = (_NAMED if address.name else _COLLECTIVE).get(method)
    if verb is None:
        raise method_not_allowed()
    return "watch" if verb == "list" and watch else verb


async def body_of(call: Call, *, accepted: tuple[str, ...] = ()) -> Any:
    """The request's body, decoded from JSON or YAML.

    Args:
        call: the request.
        accepted: the media types taken; empty takes JSON and YAML under any name.

    Raises:
        StatusError: 413, 415, or 400 when it cannot be decoded.
    """
    if accepted and call.media_type not in accepted:
        raise unsupported_media_type([name for name in accepted if "json" in name or "yaml" in name])
    data = await raw_body(call.http)
    if call.media_type == PROTOBUF and call.address.plural in REVIEWS:
        return review_from_protobuf(data, call.address.plural)
    if "protobuf" in call.media_type or "cbor" in call.media_type:
        raise unsupported_media_type(("application/json", "application/yaml"))
    is_yaml = "yaml" in call.media_type
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        if not is_yaml:
            raise bad_request(f"couldn't get version/kind; json parse error: {error}") from error
    try:
        return yaml.load(data, Loader=_YAML_LOADER)  # noqa: S506 - either loader is a safe one
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        problem = str(error).partition("\n")[0]
        raise bad_request(f"error decoding YAML: error converting YAML to JSON: yaml: {problem}") from error


async def raw_body(http: web.Request) -> bytes:
    """The body's bytes.

    Raises:
        StatusError: 413, when there are too many.
    """
    try:
        return await http.read()
    except web.HTTPRequestEntityTooLarge as error:
        message = f"Request entity too large: limit is {BODY_LIMIT}"
        raise failure(413, "RequestEntityTooLarge", message, {}) from error


def object_of(body: Any) -> Object:
    """The body as an object.

    Raises:
        StatusError: 400, when it is none, or its metadata is none.
    """
    if not isinstance(body, dict):
        names = {str: "string", list: "array", bool: "bool"}
        raise bad_request(
            "error decoding YAML: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal "
            f"{names.get(type(body), 'number')} into Go value of type map[string]interface {{}}"
        )
    metadata = body.get("metadata", {})
    if not isinstance(metadata, dict):
        raise bad_request("json: cannot unmarshal metadata into Go struct field of type v1.ObjectMeta")
    for name in ("labels", "annotations"):
        values = metadata.get(name) or {}
        if not isinstance(values, dict) or not all(isinstance(value, str | None) for value in values.values()):
            raise bad_request(f"json: cannot unmarshal into Go struct field ObjectMeta.metadata.{name} of type string")
    return body
