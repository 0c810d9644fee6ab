"""Create, update, patch, apply and delete: validation, ownership, preconditions, dry runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from aiohttp import web

from backend.demo.kubernetes.answers import (
    Cause,
    StatusError,
    already_exists,
    bad_request,
    conflict,
    denied,
    forbidden,
    invalid,
    invalid_options,
    json_response,
    modified,
    not_found,
    not_typed,
    success,
)
from backend.demo.kubernetes.builtin import ALWAYS_THERE, builtin_schema, declare_defaults, fill_in
from backend.demo.kubernetes.calls import Call, body_of, object_of, raw_body
from backend.demo.kubernetes.ownership import Manager, Owners, applied, updated
from backend.demo.kubernetes.patches import PatchError, json_patch, merge_patch, strategic_merge_patch
from backend.demo.kubernetes.reads import selection
from backend.demo.kubernetes.schemas import Node, custom_schema
from backend.demo.kubernetes.validation import name_causes, pruned, schema_causes, typed_problems, with_defaults
from backend.demo.objects import Object, ObjectStore, Stored, copied
from backend.demo.resources import NODES, PODS, TRAITS, Resource

_APPLY = "application/apply-patch+yaml"
_MERGE = "application/merge-patch+json"
_JSON = "application/json-patch+json"
_STRATEGIC = "application/strategic-merge-patch+json"
_CUSTOM_PATCHES = (_JSON, _MERGE, _APPLY)
_BUILT_IN_PATCHES = (_JSON, _MERGE, _STRATEGIC, _APPLY)
_CLIENTS_METADATA = ("name", "generateName", "namespace", "labels", "annotations", "finalizers", "ownerReferences")
_SERVERS_METADATA = ("deletionTimestamp", "deletionGracePeriodSeconds")
_NAME_SUFFIX = "bcdfghjklmnpqrstvwxz2456789"


#: A policy's name and why it refuses an object; empty when none does.
Admit = Callable[[Resource, Object], tuple[str, str]]


def schema_of(resource: Resource) -> Node:
    """The schema of a served kind."""
    return custom_schema(resource) if TRAITS[resource].custom else builtin_schema(resource)


class Writer:
    """Every write to the cluster's objects that a client makes."""

    def __init__(self, store: ObjectStore, admit: Admit | None = None) -> None:
        """
        Args:
            admit: looks at each object that is about to be stored, a dry run's too.
        """
        self._store = store
        self._admit = admit

    async def create(self, call: Call) -> web.Response:
        """POST: a new object.

        Raises:
            StatusError: 400, 404 without its namespace, 409 when it exists, 422.
        """
        content = object_of(await body_of(call))
        metadata = content.setdefault("metadata", {})
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = f"{metadata['generateName']}{self._suffix()}"
        self._check_identity(call, content, str(metadata.get("name") or ""))
        if self._live(call, metadata["name"]) is not None:
            raise already_exists(call.resource, metadata["name"])
        return self._store_update(call, None, content)

    async def update(self, call: Call) -> web.Response:
        """PUT: the whole object.

        Raises:
            StatusError: 400, 404, 409 for a stale resource version, 422.
        """
        content = object_of(await body_of(call))
        live = self._existing(call)
        self._check_identity(call, content, call.address.name)
        if TRAITS[call.resource].custom and not content["metadata"].get("resourceVersion"):
            message = "Invalid value: 0: must be specified for an update"
            cause = Cause("FieldValueInvalid", message, "metadata.resourceVersion")
            raise invalid(call.resource, call.address.name, [cause])
        return self._store_update(call, live, content)

    async def patch(self, call: Call) -> web.Response:
        """PATCH: a server-side apply, or a merge, JSON or strategic merge patch.

        Raises:
            StatusError: 400, 404, 409, 415, 422, or 500 for an applied object that does not fit the schema.
        """
        accepted = _CUSTOM_PATCHES if TRAITS[call.resource].custom else _BUILT_IN_PATCHES
        body = await body_of(call, accepted=accepted)
        if call.media_type == _APPLY:
            return self._apply(call, body)
        live = self._existing(call)
        schema = schema_of(call.resource)
        try:
            if call.media_type == _JSON:
                content = json_patch(live.content, body)
            elif call.media_type == _STRATEGIC:
                content = strategic_merge_patch(schema, live.content, body)
            else:
                content = merge_patch(live.content, body)
        except PatchError as error:
            cause = Cause("FieldValueInvalid", str(error), "patch")
            raise invalid(call.resource, call.address.name, [cause]) from error
        content = copied(object_of(content))
        self._check_identity(call, content, call.address.name)
        return self._store_update(call, live, content)

    async def delete(self, call: Call) -> web.Response:
        """DELETE of one object.

        Raises:
            StatusError: 400, 404, 409 when a precondition fails, 422.
        """
        options = await self._delete_options(call)
        live = self._existing(call)
        self._check_preconditions(call, live, options.get("preconditions") or {})
        if call.dry_run or options.get("dryRun"):
            return json_response(success(call.resource, live.content))
        if live.content["metadata"].get("finalizers"):
            return json_response(self._mark_for_deletion(call, live).content)
        last = self._store.remove(call.resource, live)
        return json_response(last.content if call.resource == PODS else success(call.resource, live.content))

    async def delete_collection(self, call: Call) -> web.Response:
        """DELETE of all objects that the selectors select.

        Raises:
            StatusError: 400 for a malformed selector.
        """
        await self._delete_options(call)
        selected = selection(call)
        found = list(self._store.scan(call.resource, call.namespace))
        gone = [stored for stored in found if selected is None or selected(stored)]
        if not call.dry_run:
            for stored in gone:
                if stored.content["metadata"].get("finalizers"):
                    self._mark_for_deletion(call, stored)
                else:
                    self._store.remove(call.resource, stored)
        head = {"kind": f"{call.resource.kind}List", "apiVersion": call.resource.api_version}
        metadata = {"resourceVersion": str(self._store.version)}
        return json_response({**head, "metadata": metadata, "items": [stored.content for stored in gone]})

    def _apply(self, call: Call, body: Any) -> web.Response:
        if not call.option("fieldManager"):
            cause = Cause("FieldValueRequired", "Required value: is required for apply patch", "fieldManager")
            raise invalid_options("PatchOptions", [cause])
        config = _without_nulls(object_of(body))
        given = config.setdefault("metadata", {})
        if "managedFields" in given:
            raise bad_request("metadata.managedFields must be nil")
        self._check_identity(call, config, call.address.name)
        live = self._live(call, call.address.name)
        self._check_versions(call, live, given)
        schema, where = schema_of(call.resource), (call.address.namespace, call.address.name)
        problems = list(typed_problems(schema, config))
        if problems:
            listed = problems[0] if len(problems) == 1 else "errors:\n" + "\n".join(f"  {each}" for each in problems)
            raise not_typed(call.resource, *where, listed)
        config = _written_part(call, config)
        if live is None:
            declare_defaults(call.resource, config)
        manager = Manager(call.field_manager, "Apply", call.resource.api_version, call.address.subresource)
        merged, owners = applied(
            schema, live.content if live else None, config, manager, force=call.flag("force"), now=call.now
        )
        return self._commit(call, live, merged, owners)

    def _store_update(self, call: Call, live: Stored | None, content: Object) -> web.Response:
        """Store what a write that is no apply leads to."""
        schema = schema_of(call.resource)
        metadata = content["metadata"]
        self._check_versions(call, live, metadata)
        content = self._with_live_parts(call, live, content)
        warnings: list[str] = []
        if TRAITS[call.resource].custom:
            content, unknown = pruned(schema, content)
            warnings = self._unknown_fields(call, unknown)
            content = with_defaults(schema, content)
        else:
            causes = list(schema_causes(schema, content))
            if causes:
                raise invalid(call.resource, metadata["name"], causes)
            declare_defaults(call.resource, content)
        manager = Manager(call.field_manager, "Update", call.resource.api_version, call.address.subresource)
        before = live.content if live else _blank(call.resource)
        owners = updated(schema, before, content, manager, now=call.now)
        return self._commit(call, live, content, owners, warnings)

    def _commit(
        self, call: Call, live: Stored | None, content: Object, owners: Owners, warnings: list[str] | None = None
    ) -> web.Response:
        """Validate the outcome of a write, and store it unless it is a dry run."""
        resource, name = call.resource, content["metadata"]["name"]
        content = {**content, "metadata": self._settled_metadata(live, content["metadata"])}
        if live is None:
            self._check_creation(call, name)
        causes = name_causes(name)
        if TRAITS[resource].custom:
            content = with_defaults(schema_of(resource), content)
            causes += list(schema_causes(schema_of(resource), content))
        if causes:
            raise invalid(resource, name, causes)
        if live is None and not TRAITS[resource].custom:
            content = copied(content)
            fill_in(resource, content, self._node_labels)
        policy, why = self._admit(resource, content) if self._admit is not None else ("", "")
        if why:
            raise denied(resource, name, policy, why)
        content["metadata"]["managedFields"] = owners.entries()
        headers = {"Warning": ", ".join(f"299 - {json.dumps(text)}" for text in warnings)} if warnings else None
        code = 201 if live is None else 200
        if call.dry_run:
            return json_response(self._store.prepare(resource, content, live), code, headers)
        stored = self._store.write(resource, content)
        return web.Response(body=stored.encoded, status=code, headers=headers, content_type="application/json")

    def _live(self, call: Call, name: str) -> Stored | None:
        return self._store.stored(call.resource, call.namespace, name)

    def _existing(self, call: Call) -> Stored:
        live = self._live(call, call.address.name)
        if live is None:
            raise not_found(call.resource, call.address.name)
        return live

    def _check_identity(self, call: Call, content: Object, name: str) -> None:
        """What the object says of itself must agree with the address; what it leaves out is set."""
        resource, metadata = call.resource, content.setdefault("metadata", {})
        for field, wanted in (("apiVersion", resource.api_version), ("kind", resource.kind)):
            if content.setdefault(field, wanted) != wanted:
                text = f"the {field} in the data ({content[field]}) does not match the expected one ({wanted})"
                raise bad_request(text)
        if metadata.setdefault("name", name) != name or not isinstance(name, str):
            text = f"the name of the object ({metadata['name']}) does not match the name on the URL ({name})"
            raise bad_request(text)
        if not name:
            cause = Cause("FieldValueRequired", "Required value: name or generateName is required", "metadata.name")
            raise invalid(resource, "", [cause])
        if resource.namespaced and metadata.setdefault("namespace", call.address.namespace) != call.address.namespace:
            raise bad_request("the namespace of the provided object does not match the namespace sent on the request")

    def _check_versions(self, call: Call, live: Stored | None, metadata: Object) -> None:
        """UID and resource version in a body are preconditions."""
        resource, name = call.resource, str(metadata["name"])
        uid, version = metadata.get("uid"), metadata.get("resourceVersion")
        if live is None:
            if uid and call.http.method == "PATCH":
                why = f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
                raise conflict(resource, name, why)
            if version and call.http.method == "PATCH":
                raise modified(resource, name)
            if version:
                raise bad_request("resourceVersion should not be set on objects to be created")
            return
        if version and version != live.content["metadata"]["resourceVersion"]:
            raise modified(resource, name)
        if uid and uid != live.content["metadata"]["uid"]:
            cause = Cause("FieldValueInvalid", f'Invalid value: "{uid}": field is immutable', "metadata.uid")
            raise invalid(resource, name, [cause, cause])

    def _check_creation(self, call: Call, name: str) -> None:
        """An apply that makes an object needs the right to create, and every new object its namespace."""
        address = call.address
        if call.verb != "create" and not call.user.may("create", address.group, address.what, address.namespace):
            raise forbidden(call.user.name, "create", address.group, address.plural, address.namespace, name)
        if address.subresource:
            raise not_found(call.resource, name)
        if call.namespace and not self._store.has_namespace(call.namespace):
            from_core = {"name": call.namespace, "kind": "namespaces"}
            message = f'namespaces "{call.namespace}" not found'
            body = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message}
            raise StatusError({**body, "reason": "NotFound", "details": from_core, "code": 404}, 404)

    def _unknown_fields(self, call: Call, unknown: list[str]) -> list[str]:
        """The warnings that unknown fields get.

        Raises:
            StatusError: 400, when validation is strict.
        """
        texts = [f'unknown field "{path}"' for path in unknown]
        if texts and call.field_validation == "Strict":
            raise bad_request(f"strict decoding error: {', '.join(texts)}")
        return texts if call.field_validation == "Warn" else []

    def _with_live_parts(self, call: Call, live: Stored | None, content: Object) -> Object:
        """The object with the parts that this address does not write taken from the stored one."""
        resource = call.resource
        if call.address.subresource == "status" and live is not None:
            return (
                {**live.content, "status": content.get("status")} if "status" in content else _no_status(live.content)
            )
        if not TRAITS[resource].has_status:
            return content
        kept = _no_status(content)
        if live is not None and "status" in live.content:
            kept["status"] = live.content["status"]
        return kept

    def _settled_metadata(self, live: Stored | None, metadata: Object) -> Object:
        """The metadata without what only the server sets."""
        settled = {name: metadata[name] for name in _CLIENTS_METADATA if name in metadata}
        if live is not None:
            before = live.content["metadata"]
            settled.update({name: before[name] for name in _SERVERS_METADATA if name in before})
        return settled

    async def _delete_options(self, call: Call) -> Object:
        if not await raw_body(call.http):
            options: Object = {}
        else:
            options = object_of(await body_of(call))
        policy = options.get("propagationPolicy") or call.option("propagationPolicy")
        if policy and policy not in ("Orphan", "Background", "Foreground"):
            message = f'Unsupported value: "{policy}": supported values: "Background", "Foreground", "Orphan"'
            raise invalid_options("DeleteOptions", [Cause("FieldValueNotSupported", message, "propagationPolicy")])
        return options

    def _check_preconditions(self, call: Call, live: Stored, wanted: Object) -> None:
        metadata, by_kind = live.content["metadata"], TRAITS[call.resource].custom
        checks = (
            ("uid", "UID", "The object might have been deleted and then recreated"),
            ("resourceVersion", "ResourceVersion", "The object might have been modified"),
        )
        for field, label, hint in checks:
            if wanted.get(field) and wanted[field] != metadata[field]:
                why = (
                    f"the {label} in the precondition ({wanted[field]}) does not match the {label} in record "
                    f"({metadata[field]}). {hint}"
                )
                raise conflict(call.resource, call.address.name, why, by_kind=by_kind)

    def _mark_for_deletion(self, call: Call, live: Stored) -> Stored:
        """Begin the deletion of an object that has finalizers: whoever set them must take them away first."""
        before = live.content["metadata"]
        metadata = {"deletionTimestamp": call.now, "deletionGracePeriodSeconds": 0, **before}
        return self._store.write(call.resource, {**live.content, "metadata": metadata})

    def _node_labels(self, name: str) -> dict[str, str]:
        node = self._store.stored(NODES, None, name)
        return node.labels if node else {}

    def _suffix(self) -> str:
        """Five characters for a generated name, another for each change of the cluster."""
        number, text = self._store.version * 7919, ""
        for _ in range(5):
            number, digit = divmod(number, len(_NAME_SUFFIX))
            text += _NAME_SUFFIX[digit]
        return text


def _blank(resource: Resource) -> Object:
    """What an object of the kind has before anyone writes: built-in kinds have their parts, empty."""
    if TRAITS[resource].custom:
        return {"metadata": {}}
    always = ALWAYS_THERE.get(resource.kind, ("spec", "status"))
    return {"metadata": {}, **{name: {} for name in always}}


def _no_status(content: Object) -> Object:
    return {name: value for name, value in content.items() if name != "status"}


def _written_part(call: Call, config: Object) -> Object:
    """The part of an applied object that this address writes."""
    head = {name: config[name] for name in ("apiVersion", "kind")}
    metadata = {name: value for name, value in config["metadata"].items() if name in _CLIENTS_METADATA}
    if call.address.subresource == "status":
        identity = {name: value for name, value in metadata.items() if name in ("name", "namespace")}
        return {**head, "metadata": identity, **({"status": config["status"]} if "status" in config else {})}
    if TRAITS[call.resource].has_status:
        config = _no_status(config)
    return {**config, "metadata": metadata}


def _without_nulls(value: Any) -> Any:
    """The value without fields that are null: applied, they are as if absent."""
    if isinstance(value, dict):
        return {name: _without_nulls(item) for name, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value
