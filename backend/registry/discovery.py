"""Which repositories a registry has, for rules with wildcards: by its catalogue, else by an API of its own.

| kind | asked | source of the form |
|---|---|---|
| generic | `/v2/_catalog` | distribution's registry API; OCI's specification leaves it out |
| harbor | `/api/v2.0/projects`, `/api/v2.0/projects/{project}/repositories` | Harbor's `api/v2.0/swagger.yaml` |
| quay | `/api/v1/repository?namespace=&public=true` | Red Hat Quay API reference, "listRepos" |
| dockerhub | `hub.docker.com/v2/namespaces/{namespace}/repositories` | Docker Hub API reference |
| ngc | `api.ngc.nvidia.com/v2/search/catalog/resources/CONTAINER` | as opendatahub-io/odh-model-controller reads it |

The last three are asked without a credential: they tell what is public. What they do not tell is named in the rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from backend.core.errors import (
    AuthenticationError,
    ConfigurationError,
    LimitExceededError,
    MalformedDataError,
    ModelyardError,
    NotFoundError,
    UnreachableError,
)
from backend.core.references import is_repository
from backend.registry.config import DOCKER_HUB_HOSTS, RegistryConfig, RegistryKind
from backend.registry.pages import LARGEST_PAGE, MOST_NAMES, MOST_PAGES, endless, in_time, read_names
from backend.registry.session import ACCEPT_JSON, Session
from backend.registry.transport import Answer

_HUB: Final = "https://hub.docker.com"
_NGC: Final = "https://api.ngc.nvidia.com"
#: The realm's service by which a Harbor tells itself apart.
HARBOR_SERVICE: Final = "harbor-registry"
_PAGE: Final = 100
_WITHOUT: Final = 'name repositories without wildcards, as in repositories = ["team/image"]'


#: Kinds whose API is at another host than the registry.
_BESIDE: Final = {"dockerhub": _HUB, "ngc": _NGC}
_WAYS: Final[dict[RegistryKind, str]] = {
    "auto": "its catalogue",
    "generic": "its catalogue",
    "harbor": "Harbor's API",
    "quay": "Quay's public list of a namespace",
    "dockerhub": "Docker Hub's public list of a namespace",
    "ngc": "NGC's public search",
}
_Decoded = TypeVar("_Decoded")


class _Named(msgspec.Struct):
    name: str = ""
    namespace: str = ""


class _HubPage(msgspec.Struct):
    results: list[_Named] | None = None
    next: str | None = None


class _QuayPage(msgspec.Struct):
    repositories: list[_Named] | None = None
    next_page: str | None = None


class _Resource(msgspec.Struct, rename="camel"):
    resource_id: str = ""


class _Group(msgspec.Struct, rename="camel"):
    group_value: str = ""
    resources: list[_Resource] | None = None


class _NgcPage(msgspec.Struct, rename="camel"):
    results: list[_Group] | None = None
    result_page_total: int = 0


def kind_of(config: RegistryConfig) -> RegistryKind:
    """How repositories of the registry are found as far as its configuration tells; `auto`: it has to be asked."""
    if config.kind != "auto":
        return config.kind
    if config.host in DOCKER_HUB_HOSTS:
        return "dockerhub"
    known: dict[str, RegistryKind] = {"quay.io": "quay", "nvcr.io": "ngc"}
    return known.get(config.host, "auto")


def namespaces_of(globs: Iterable[str]) -> tuple[str, ...] | None:
    """The first path segments that repositories matching the globs have; None: any.

    Globs without a wildcard are passed over: what they name is asked for by its name.
    """
    found: dict[str, None] = {}
    for glob in globs:
        if "*" not in glob and "?" not in glob:
            continue
        namespace, slash, _ = glob.partition("/")
        if not slash or "*" in namespace or "?" in namespace:
            return None
        found[namespace] = None
    return tuple(found)


class Discovery:
    """Finds the repositories of one registry."""

    def __init__(self, config: RegistryConfig, session: Session) -> None:
        self._config = config
        self._session = session
        beside = _BESIDE.get(kind_of(config), "").removeprefix("https://")
        self._where = f"catalogue of {config.name}{f' at {beside}' if beside else ''}"

    @property
    def way(self) -> str:
        """How repositories are found, for people."""
        kind = kind_of(self._config)
        if kind == "auto" and self._session.service == HARBOR_SERVICE:
            return f"its catalogue, else {_WAYS['harbor']}"
        return _WAYS[kind]

    async def repositories(self, globs: Sequence[str]) -> list[str]:
        """The repositories that the registry tells, at least those of them that one of the globs matches.

        Args:
            globs: none: all.

        Raises:
            ConfigurationError: the registry tells repositories by namespace only, and a glob names none.
            AuthenticationError, NotFoundError: it tells nobody, or not us, or what tells it cannot be reached.
            ModelyardError: as the client's other methods.
        """
        kind = kind_of(self._config)
        if kind in {"auto", "generic"}:
            try:
                return await read_names(
                    self._session, "/v2/_catalog", scope="registry:catalog:*", where=self._where, field="repositories"
                )
            except LimitExceededError:
                raise
            except (AuthenticationError, NotFoundError, MalformedDataError) as error:
                if kind == "generic" or self._session.service != HARBOR_SERVICE:
                    raise self._untold(error) from error
        namespaces = namespaces_of(globs) if globs else None
        try:
            async with in_time(self._session, self._where):
                names = await self._by_api(kind, namespaces, globs)
        except AuthenticationError:
            raise
        except UnreachableError as error:
            if kind not in _BESIDE:
                raise
            # Raises where the registry cannot be reached either; else what is known of it can still be asked for.
            await self._session.send("GET", "/v2/", ACCEPT_JSON, scope="", limit=LARGEST_PAGE, where=self._where)
            raise self._untold(error) from error
        # A name that is none is nobody's repository; search results may hold what was never an image.
        return [name for name in dict.fromkeys(names) if is_repository(name)]

    async def _by_api(self, kind: RegistryKind, namespaces: Sequence[str] | None, globs: Sequence[str]) -> list[str]:
        if kind == "ngc":
            return await self._by_ngc(namespaces)
        if kind in {"dockerhub", "quay"}:
            return await self._by_namespace(kind, namespaces, globs)
        return await self._by_harbor(namespaces)

    def _untold(self, error: ModelyardError) -> ModelyardError:
        other = AuthenticationError if isinstance(error, AuthenticationError) else NotFoundError
        hint = "" if self._config.kind != "auto" else "; or give kind, if it is a Harbor or a Quay"
        return other(error.what, f"it does not tell its repositories: {error.why}", f"{_WITHOUT}{hint}")

    # ------------------------------------------------------------ Harbor

    async def _by_harbor(self, projects: Sequence[str] | None) -> list[str]:
        if projects is None:
            projects = await self._harbor_names("/api/v2.0/projects", with_detail="false")
        names: list[str] = []
        for project in projects:
            names += await self._harbor_names(f"/api/v2.0/projects/{quote(project, safe='')}/repositories")
            if len(names) > MOST_NAMES:
                raise endless(self._where, len(names), len(projects))
        return names

    async def _harbor_names(self, first: str, **query: str) -> list[str]:
        names: list[str] = []
        for page in range(1, MOST_PAGES + 1):
            path = f"{first}?{urlencode({'page': page, 'page_size': _PAGE, **query})}"
            answer = await self._session.send_basic(path, limit=LARGEST_PAGE, where=self._where)
            if answer.status == 404 and page == 1:
                return []
            entries = self._decoded(answer, list[_Named])
            names += [entry.name for entry in entries]
            # A short page is not the end where the registry says that another follows (RFC 8288).
            if not entries or (len(entries) < _PAGE and self._session.next_path(path, answer, self._where) is None):
                return names
        raise endless(self._where, len(names), MOST_PAGES)

    # ------------------------------------------------------------ by namespace, without a credential

    async def _by_namespace(
        self, kind: RegistryKind, namespaces: Sequence[str] | None, globs: Sequence[str]
    ) -> list[str]:
        if namespaces is None:
            wide = next((glob for glob in globs if namespaces_of([glob]) is None), "**")
            raise ConfigurationError(
                f"registry {self._config.name} tells the repositories of a namespace only, and {wide!r} names none",
                'begin each pattern with a namespace, as in repositories = ["vllm/*"], or name repositories',
            )
        names: list[str] = []
        for namespace in namespaces:
            names += await (self._by_hub(namespace) if kind == "dockerhub" else self._by_quay(namespace))
        return names

    async def _by_hub(self, namespace: str) -> list[str]:
        names: list[str] = []
        for page in range(1, MOST_PAGES + 1):
            query = urlencode({"page": page, "page_size": _PAGE})
            answer = await self._session.send_foreign(
                f"{_HUB}/v2/namespaces/{quote(namespace, safe='')}/repositories?{query}",
                limit=LARGEST_PAGE, where=self._where,
            )  # fmt: skip
            if answer.status == 404:
                return names
            read = self._decoded(answer, _HubPage)
            names += [f"{namespace}/{entry.name}" for entry in read.results or ()]
            if not read.next or not read.results:
                return names
        raise endless(self._where, len(names), MOST_PAGES)

    async def _by_quay(self, namespace: str) -> list[str]:
        names: list[str] = []
        query = {"namespace": namespace, "public": "true", "repo_kind": "image"}
        seen: set[str] = set()
        while True:
            answer = await self._session.send_foreign(
                f"{self._config.api}/api/v1/repository?{urlencode(query)}", limit=LARGEST_PAGE, where=self._where
            )
            if answer.status == 404:
                return names
            read = self._decoded(answer, _QuayPage)
            names += [f"{namespace}/{entry.name}" for entry in read.repositories or ()]
            if not read.next_page:
                return names
            if read.next_page in seen or len(seen) >= MOST_PAGES or len(names) > MOST_NAMES:
                raise endless(self._where, len(names), len(seen) + 1)
            seen.add(read.next_page)
            query["next_page"] = read.next_page

    async def _by_ngc(self, organisations: Sequence[str] | None) -> list[str]:
        names: list[str] = []
        for wanted in ("*:*",) if organisations is None else [f"orgName:{one}" for one in organisations]:
            for page in range(MOST_PAGES):
                query = msgspec.json.encode({"query": wanted, "page": page, "pageSize": _PAGE}).decode()
                answer = await self._session.send_foreign(
                    f"{_NGC}/v2/search/catalog/resources/CONTAINER?{urlencode({'q': query})}",
                    limit=LARGEST_PAGE, where=self._where,
                )  # fmt: skip
                read = self._decoded(answer, _NgcPage)
                groups = [group for group in read.results or () if group.group_value == "CONTAINER"]
                names += [resource.resource_id for group in groups for resource in group.resources or ()]
                if page + 1 >= read.result_page_total or not groups:
                    break
            else:
                raise endless(self._where, len(names), MOST_PAGES)
        return names

    def _decoded(self, answer: Answer, kind: type[_Decoded]) -> _Decoded:
        if answer.status != 200:
            raise self._session.failure(answer, self._where)
        return self._session.decode(answer, kind, self._where)
