"""What the API server says of us and of itself: identity, access reviews, version, and whether KServe is there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeVar

import msgspec

from backend.cluster.connection import ClusterConnection, Response
from backend.cluster.resources import KSERVE_GROUP, Resource
from backend.cluster.status import error_of
from backend.core.errors import AccessDeniedError, MalformedDataError, NotFoundError

_MAX_ANSWER: Final = 4 * 1024 * 1024

_S = TypeVar("_S", bound=msgspec.Struct)


class ClusterIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """Who the API server takes us for, and which cluster it is.

    Attributes:
        cluster_id: UID of the namespace `kube-system`; empty when we may not read it.
        authority_hash: `sha256:` of the certificate authority that vouches for the server, or empty.
        impersonated: the kubeconfig makes us act as another: no identity to decide with.
        shared_administrator: in the group `system:masters`, which names a key and not a person.
    """

    username: str
    groups: tuple[str, ...]
    cluster_id: str
    authority_hash: str
    impersonated: bool

    @property
    def shared_administrator(self) -> bool:
        """Whether the credential is an administrator's that several people may hold."""
        return "system:masters" in self.groups


class AccessRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What one would do: a verb on a resource; `namespace` empty: in all."""

    verb: str
    resource: str
    group: str = ""
    namespace: str = ""
    name: str = ""
    subresource: str = ""


class Access(msgspec.Struct, frozen=True):
    """Whether it would be allowed, and what the authoriser says about it."""

    allowed: bool
    reason: str


class KServe(msgspec.Struct, frozen=True, kw_only=True):
    """Whether InferenceServices can be served here; `message` says what is missing, empty when nothing is.

    Attributes:
        kinds: plurals that the API serves in v1beta1.
    """

    installed: bool
    kinds: tuple[str, ...]
    message: str


class _UserInfo(msgspec.Struct, frozen=True):
    username: str = ""
    groups: tuple[str, ...] = ()


class _ReviewStatus(msgspec.Struct, frozen=True, rename="camel"):
    user_info: _UserInfo = _UserInfo()
    allowed: bool = False
    reason: str = ""


class _Review(msgspec.Struct, frozen=True):
    status: _ReviewStatus


class _Kind(msgspec.Struct, frozen=True):
    name: str = ""


class _Kinds(msgspec.Struct, frozen=True):
    resources: tuple[_Kind, ...] = ()


class _Version(msgspec.Struct, frozen=True, rename="camel"):
    git_version: str = ""


class _Uid(msgspec.Struct, frozen=True):
    uid: str = ""


class _HasUid(msgspec.Struct, frozen=True):
    metadata: _Uid = _Uid()


async def identity(connection: ClusterConnection) -> ClusterIdentity:
    """Ask the API server who we are (SelfSubjectReview), and which cluster it is.

    Raises:
        AuthenticationError: it refuses our credentials.
        UnreachableError: it does not answer.
        MalformedDataError: it names nobody.
    """
    what = f"identity in context {connection.context.name}"
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    answer = await _post(connection, "/apis/authentication.k8s.io/v1/selfsubjectreviews", body, what)
    user = answer.status.user_info
    if not user.username:
        raise MalformedDataError(what, "the API server named no user", "check which server the context leads to")
    return ClusterIdentity(
        username=user.username,
        groups=user.groups,
        cluster_id=await _cluster_id(connection, what),
        authority_hash=connection.authority_hash,
        impersonated=bool(connection.impersonates),
    )


async def can_i(connection: ClusterConnection, request: AccessRequest) -> Access:
    """Ask the API server whether we may do something (SelfSubjectAccessReview)."""
    attributes = {name: value for name, value in msgspec.structs.asdict(request).items() if value}
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    what = f"access review in context {connection.context.name}"
    answer = await _post(connection, "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body, what)
    return Access(answer.status.allowed, answer.status.reason)


async def version(connection: ClusterConnection) -> str:
    """The API server's version, as it gives it."""
    what = f"version of the cluster of context {connection.context.name}"
    response = await connection.request("GET", "/version", limit=_MAX_ANSWER)
    return _decoded(response, _Version, what).git_version


async def kserve(connection: ClusterConnection) -> KServe:
    """Whether the API serves InferenceServices."""
    name = connection.context.name
    response = await connection.request("GET", f"/apis/{KSERVE_GROUP}/v1beta1", limit=_MAX_ANSWER)
    if response.status == 404:
        return KServe(
            installed=False,
            kinds=(),
            message=f"KServe is not installed in the cluster of context {name}: it serves no {KSERVE_GROUP}/v1beta1",
        )
    kinds = tuple(kind.name for kind in _decoded(response, _Kinds, f"kinds of KServe in context {name}").resources)
    if "inferenceservices" not in kinds:
        return KServe(
            installed=False,
            kinds=kinds,
            message=f"KServe in the cluster of context {name} is not complete: it serves no inferenceservices",
        )
    return KServe(installed=True, kinds=kinds, message="")


async def serves(connection: ClusterConnection, resource: Resource[Any]) -> bool:
    """Whether the API server has a kind in that version, by discovery, which needs no rights on the kind."""
    group = f"/apis/{resource.group}" if resource.group else "/api"
    response = await connection.request("GET", f"{group}/{resource.version}", limit=_MAX_ANSWER)
    if response.status == 404:
        return False
    what = f"kinds of {resource.api_version} in context {connection.context.name}"
    return any(kind.name == resource.plural for kind in _decoded(response, _Kinds, what).resources)


async def _cluster_id(connection: ClusterConnection, what: str) -> str:
    response = await connection.request("GET", "/api/v1/namespaces/kube-system", limit=_MAX_ANSWER)
    if response.status >= 400:
        error = error_of(response.status, response.body, what)
        if isinstance(error, AccessDeniedError | NotFoundError):
            return ""
        raise error
    return _decoded(response, _HasUid, what).metadata.uid


async def _post(connection: ClusterConnection, path: str, body: Mapping[str, object], what: str) -> _Review:
    response = await connection.request("POST", path, body=msgspec.json.encode(body), limit=_MAX_ANSWER)
    return _decoded(response, _Review, what)


def _decoded(response: Response, type_: type[_S], what: str) -> _S:
    if response.status >= 400:
        raise error_of(response.status, response.body, what)
    try:
        return msgspec.json.decode(response.body, type=type_)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedDataError(
            what, f"the API server's answer cannot be read: {error}", "check the server's address in the kubeconfig"
        ) from error
