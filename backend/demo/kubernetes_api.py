"""The Kubernetes API server of the demo's cluster: authentication, access control, and who answers what."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime

from aiohttp import web

from backend.demo.kubernetes.answers import (
    StatusError,
    failure,
    forbidden,
    forbidden_path,
    json_response,
    method_not_allowed,
    not_served,
    unauthorized,
)
from backend.demo.kubernetes.calls import BODY_LIMIT, Call, body_of, parse_address, verb_of
from backend.demo.kubernetes.discovery import discover
from backend.demo.kubernetes.pods import FollowingBackend, PodBackend, Pods
from backend.demo.kubernetes.reads import get, list_objects
from backend.demo.kubernetes.reviews import is_open_path, review_for
from backend.demo.kubernetes.users import ANONYMOUS, DemoUser, Rule, default_users, tokens_by_name
from backend.demo.kubernetes.watching import Watches
from backend.demo.kubernetes.writes import Admit, Writer
from backend.demo.objects import ObjectStore
from backend.demo.resources import TRAITS

__all__ = [
    "ANONYMOUS",
    "DemoUser",
    "FollowingBackend",
    "PodBackend",
    "Rule",
    "cluster_app",
    "default_users",
    "tokens_by_name",
]

_LOG = logging.getLogger(__name__)
_ANYBODYS = ("/version", "/healthz", "/livez", "/readyz")


def cluster_app(
    store: ObjectStore,
    *,
    users: Mapping[str, DemoUser] | None = None,
    pods: PodBackend | None = None,
    anonymous: DemoUser = ANONYMOUS,
    admit: Admit | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> web.Application:
    """The API server as an application to run.

    It follows a kube-apiserver 1.36 in statuses, reasons, messages and the shape of bodies, for the kinds of
    `backend.demo.resources`: discovery, RBAC, reviews, gets, lists in pages, watches, server-side apply and the other
    writes, logs and pod proxy.

    Args:
        store: the cluster's objects; what others write to it, watches see.
        users: the accounts by bearer token; those of `default_users` when left out.
        pods: answers for logs and pod proxy; without it, as if no kubelet could be reached.
        anonymous: who a request without a token comes from. `kubectl` sends no token over plain HTTP, so that whoever
            wants to use it here names a user, as the insecure port of old API servers did.
        admit: an admission policy: looks at each object that is about to be stored.
        now: the time, in UTC, that ages are counted to.

    Returns:
        An application that is to run on the store's event loop. Stopping it ends its open watches.
    """
    server = _Server(store, default_users() if users is None else users, pods, anonymous, admit, now)
    app = web.Application(client_max_size=BODY_LIMIT)
    app.router.add_route("*", "/{path:.*}", server.handle)

    async def end_watches(_: web.Application) -> None:
        server.watches.end()

    app.on_shutdown.append(end_watches)
    return app


class _Server:
    def __init__(
        self,
        store: ObjectStore,
        users: Mapping[str, DemoUser],
        pods: PodBackend | None,
        anonymous: DemoUser,
        admit: Admit | None,
        now: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._users = users
        self._anonymous = anonymous
        self._now = now
        self._pods = Pods(store, pods)
        self._writer = Writer(store, admit)
        self.watches = Watches(store, now)

    async def handle(self, http: web.Request) -> web.StreamResponse:
        """Answer any request."""
        try:
            return await self._answer(http, self._user(http))
        except StatusError as error:
            return error.response()
        except Exception as error:
            # The one place where a fault of this server becomes an answer; a real one says 500 as well.
            _LOG.exception("%s %s failed", http.method, http.path)
            return failure(500, "InternalError", f"Internal error occurred: {error}", {}).response()

    def _user(self, http: web.Request) -> DemoUser:
        header = http.headers.get("Authorization")
        if header is None:
            return self._anonymous
        scheme, _, token = header.partition(" ")
        user = self._users.get(token.strip()) if scheme.lower() == "bearer" else None
        if user is None or user.expired:
            raise unauthorized()
        return self._impersonated(user, http.headers.get("Impersonate-User", ""))

    def _impersonated(self, user: DemoUser, name: str) -> DemoUser:
        """Whom an account acts as, when it asks to and may."""
        if not name:
            return user
        if not user.may("impersonate", "", "users"):
            raise forbidden(user.name, "impersonate", "", "users", "", name)
        return next((known for known in self._users.values() if known.name == name), DemoUser(name=name))

    async def _answer(self, http: web.Request, user: DemoUser) -> web.StreamResponse:
        path = http.path
        address = parse_address(path) if path.startswith(("/api/", "/apis/")) else None
        if address is None:
            if user is ANONYMOUS and path not in _ANYBODYS:
                raise forbidden_path(user.name, http.method.lower(), path)
            if http.method not in ("GET", "HEAD") or not (is_open_path(path) or user.may("get", "*", path)):
                raise forbidden_path(user.name, http.method.lower(), path)
            return discover(path)
        call = Call(
            http=http,
            user=user,
            verb=verb_of(http.method, address, watch=http.query.get("watch", "") in ("1", "true")),
            address=address,
            now=self._store.now(),
        )
        if user is ANONYMOUS or not user.may(call.verb, address.group, address.what, address.namespace):
            raise forbidden(
                user.name,
                call.verb,
                address.group,
                address.plural,
                address.namespace,
                address.name,
                address.subresource,
            )
        return await self._serve(call)

    async def _serve(self, call: Call) -> web.StreamResponse:
        """Answer a request on objects that is allowed."""
        review = review_for(call)
        if review is not None:
            return json_response(review(await body_of(call)), 201)
        self._check_address(call)
        if call.verb == "watch":
            return await self.watches.serve(call)
        if call.address.subresource == "log":
            return await self._pods.log(call)
        if call.address.subresource == "proxy":
            return await self._pods.proxy(call)
        if call.verb == "get":
            return get(self._store, call, self._now)
        if call.verb == "list":
            return list_objects(self._store, call, self._now)
        writes: dict[str, Callable[[Call], Awaitable[web.Response]]] = {
            "create": self._writer.create,
            "update": self._writer.update,
            "patch": self._writer.patch,
            "delete": self._writer.delete,
            "deletecollection": self._writer.delete_collection,
        }
        return await writes[call.verb](call)

    def _check_address(self, call: Call) -> None:
        """The address must name a kind that is served, and a subresource that it has.

        Raises:
            StatusError: 404 in plain text, or 405.
        """
        resource, address = call.resource, call.address
        known = (*TRAITS[resource].subresources, *(("status",) if TRAITS[resource].has_status else ()))
        if address.subresource and address.subresource not in known:
            raise not_served()
        if address.subresource == "status" and call.verb == "delete":
            raise method_not_allowed()
        everywhere = resource.namespaced and not address.namespace
        if everywhere and (address.name or call.verb not in ("list", "watch")):
            raise method_not_allowed()
