"""The client of one registry, by OCI distribution-spec 1.1."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote, urlencode

import httpx
import msgspec

from backend.core.errors import DigestMismatchError, LimitExceededError, MalformedDataError, NotFoundError
from backend.core.ports import Clock
from backend.core.references import is_digest, is_repository, is_tag
from backend.registry.authentication import Authenticator
from backend.registry.config import RegistryConfig
from backend.registry.credentials import Credentials
from backend.registry.headers import media_type
from backend.registry.manifests import (
    INDEX_TYPES,
    MANIFEST_TYPES,
    OCI_INDEX,
    Descriptor,
    Manifest,
    parse_manifest,
    require_digest,
)
from backend.registry.session import Session
from backend.registry.transport import Sleep, Transport

#: Distribution-spec 1.1 wants at least 4 MiB to be taken.
LARGEST_MANIFEST: Final = 8 << 20
_LARGEST_PAGE: Final = 16 << 20
_LARGEST_PING: Final = 1 << 20
_PAGE: Final = 1000
_MOST_PAGES: Final = 2000
_MOST_NAMES: Final = 500_000
_MOST_REFERRERS: Final = 10_000
#: Bytes above which hashing would hold up the event loop for more than a few milliseconds.
_HASHED_ASIDE: Final = 4 << 20
_ACCEPT_MANIFESTS: Final = {"Accept": ", ".join(MANIFEST_TYPES)}
_ACCEPT_INDEX: Final = {"Accept": OCI_INDEX}
_ACCEPT_JSON: Final = {"Accept": "application/json"}
_ACCEPT_ANY: Final = {"Accept": "*/*"}
#: Answers of registries from before OCI 1.1 to a request for referrers.
_NO_REFERRERS_API: Final = frozenset({400, 404, 405, 406, 501})


class Advertised(NamedTuple):
    """What a registry tells of itself at `/v2/`; empty where it tells nothing."""

    api_version: str
    server: str
    authentication: str
    anonymous: bool


class _Page(msgspec.Struct):
    tags: list[str] | None = None
    repositories: list[str] | None = None


class RegistryClient:
    """Reads from one registry; never writes. Belongs to one event loop; close it when done.

    Every method raises, beside what it names: UnreachableError (no answer, too many requests, a failing server),
    AuthenticationError (the registry refuses), ConfigurationError (credential or certificate authority),
    MalformedDataError and LimitExceededError (an answer that cannot be so, or is too large). Each names the registry
    and the repository, and none holds a secret.

    Args:
        base: folder that relative paths of the configuration start at; None: that of `credentials`.
        transport: instead of the network, for tests.
        sleep: waits the seconds that a registry asks for.
    """

    def __init__(
        self,
        config: RegistryConfig,
        *,
        credentials: Credentials,
        clock: Clock,
        base: Path | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.config = config
        self._transport = Transport(
            config, clock=clock, base=base or credentials.base, sleep=sleep, transport=transport
        )
        self._authenticator = Authenticator(config, credentials=credentials, transport=self._transport, clock=clock)
        self._session = Session(config, self._transport, self._authenticator)
        self._referrers_api = True

    @property
    def requests(self) -> int:
        """HTTP requests sent so far."""
        return self._transport.requests

    @property
    def bytes_received(self) -> int:
        """Bytes of bodies received so far."""
        return self._transport.bytes_received

    @property
    def has_credential(self) -> bool:
        """Whether a credential was found when the registry asked for one."""
        return self._authenticator.has_credential

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the registry wants shown to users (distribution-spec 1.1, "Warnings"), each once."""
        return tuple(self._session.warnings)

    async def close(self) -> None:
        """Close all connections."""
        await self._transport.close()

    async def ping(self) -> Advertised:
        """Find out that the registry speaks the protocol and takes our credential; returns what it tells of itself.

        Raises:
            MalformedDataError: something else answers at that address.
        """
        where = f"registry {self.config.name}"
        answer = await self._session.send("GET", "/v2/", _ACCEPT_ANY, scope="", limit=_LARGEST_PING, where=where)
        if answer.status != 200:
            if answer.status in {404, 405}:
                raise MalformedDataError(
                    where, f"nothing at {self.config.host} speaks the registry protocol", "check its url"
                )
            raise self._session.failure(answer, where)
        self._session.refuse_web_page(answer, where)
        headers = answer.headers
        return Advertised(
            api_version=headers.get("docker-distribution-api-version", ""),
            server=headers.get("server", ""),
            authentication=self._authenticator.method,
            anonymous=not self._authenticator.has_credential,
        )

    async def tags(self, repository: str) -> list[str]:
        """All tags of the repository as the registry names them, in its order, each once.

        Names are not checked: what is no tag by the distribution-spec is refused where it is resolved, so that the
        refusal can be shown. Tags that hold signatures and referrers (`sha256-...`) are among them.

        Raises:
            NotFoundError: no such repository.
        """
        where = f"tags of {self.config.name}/{repository}"
        path = f"/v2/{self._checked(repository)}/tags/list"
        return await self._names(path, _pull(repository), where, "tags")

    async def catalog(self, globs: Sequence[str] = ()) -> list[str]:
        """All repositories that the registry tells. Many registries do not, or not to everyone."""
        return await self._names(
            "/v2/_catalog", "registry:catalog:*", f"catalogue of {self.config.name}", "repositories"
        )

    async def resolve(self, repository: str, reference: str) -> Descriptor:
        """What a tag or digest names, by HEAD; by GET where the registry's answer to HEAD does not tell it.

        Raises:
            NotFoundError: no such repository or reference.
            DigestMismatchError: asked by digest, the registry names another.
        """
        path, where = self._manifest_path(repository, reference)
        answer = await self._session.send(
            "HEAD", path, _ACCEPT_MANIFESTS, scope=_pull(repository), limit=LARGEST_MANIFEST, where=where
        )
        headers = answer.headers
        digest = headers.get("docker-content-digest", "")
        kind = media_type(headers.get("content-type"))
        if answer.status == 200 and is_digest(digest) and kind in MANIFEST_TYPES:
            if digest != reference and is_digest(reference):
                raise DigestMismatchError(
                    where, f"the registry says that it has the digest {digest}", "tell the registry's operator"
                )
            length = headers.get("content-length", "")
            return Descriptor(media_type=kind, digest=digest, size=int(length) if length.isdecimal() else -1)
        if answer.status not in {200, 405}:
            raise self._session.failure(answer, where)
        return (await self.manifest(repository, reference)).descriptor

    async def manifest(self, repository: str, reference: str) -> Manifest:
        """The manifest or index that a tag or digest names; its bytes have the digest that it carries.

        Raises:
            NotFoundError: no such repository or reference.
            DigestMismatchError: the bytes do not have the digest that was asked for or that the registry gives.
        """
        path, where = self._manifest_path(repository, reference)
        answer = await self._session.send(
            "GET", path, _ACCEPT_MANIFESTS, scope=_pull(repository), limit=LARGEST_MANIFEST, where=where
        )
        if answer.status != 200:
            raise self._session.failure(answer, where)
        self._session.refuse_web_page(answer, where)
        told = answer.headers.get("docker-content-digest")
        digest = reference if is_digest(reference) else told
        if digest is not None and not is_digest(digest):
            raise MalformedDataError(
                where, f"the registry gives the digest {digest[:80]!r}, which is none", "tell the registry's operator"
            )
        return parse_manifest(answer.body, media_type(answer.headers.get("content-type")), where, digest)

    async def blob(self, repository: str, digest: str, size: int, limit: int) -> bytes:
        """The content of a blob; it has that digest and size.

        Args:
            size: bytes, as its descriptor tells; below 0: not told.
            limit: bytes that are taken at most.

        Raises:
            NotFoundError: no such blob.
            LimitExceededError: it is larger than `limit`.
            DigestMismatchError: its bytes do not have the digest.
        """
        where = f"blob {self.config.name}/{repository}@{digest[:80]}"
        if not is_digest(digest):
            raise MalformedDataError(where, "that is not a digest", "give sha256: and 64 hexadecimal characters")
        if size > limit:
            raise LimitExceededError(
                where, f"it has {size} bytes, more than the {limit} that are taken", "leave it out"
            )
        path = f"/v2/{self._checked(repository)}/blobs/{digest}"
        most = limit if size < 0 else size
        answer = await self._session.send("GET", path, _ACCEPT_ANY, scope=_pull(repository), limit=most, where=where)
        if answer.status != 200:
            raise self._session.failure(answer, where)
        if 0 <= size != len(answer.body):
            raise MalformedDataError(
                where, f"it has {len(answer.body)} bytes, not {size} as its descriptor says", "nothing was taken in"
            )
        if len(answer.body) > _HASHED_ASIDE:
            await asyncio.to_thread(require_digest, answer.body, digest, where)
        else:
            require_digest(answer.body, digest, where)
        return answer.body

    async def referrers(self, repository: str, digest: str, artifact_type: str | None = None) -> list[Descriptor]:
        """What refers to a manifest (signatures, SBOMs): by the API, else by the tag that stands in for it.

        Args:
            artifact_type: only these; None: all.
        """
        where = f"referrers of {self.config.name}/{repository}@{digest[:80]}"
        if not is_digest(digest):
            raise MalformedDataError(where, "that is not a digest", "give sha256: and 64 hexadecimal characters")
        found = await self._referrers_by_api(repository, digest, artifact_type, where) if self._referrers_api else None
        if found is None:
            found = await self._referrers_by_tag(repository, digest)
        unique = {descriptor.digest: descriptor for descriptor in found}
        return [d for d in unique.values() if artifact_type is None or d.artifact_type == artifact_type]

    async def _referrers_by_api(
        self, repository: str, digest: str, artifact_type: str | None, where: str
    ) -> list[Descriptor] | None:
        path = f"/v2/{self._checked(repository)}/referrers/{digest}"
        if artifact_type is not None:
            path = f"{path}?{urlencode({'artifactType': artifact_type})}"
        found: list[Descriptor] = []
        seen: set[str] = set()
        while True:
            answer = await self._session.send(
                "GET", path, _ACCEPT_INDEX, scope=_pull(repository), limit=LARGEST_MANIFEST, where=where
            )
            if answer.status in _NO_REFERRERS_API and not seen:
                # An unknown repository says nothing of the registry; anything else is the same for all of them.
                self._referrers_api = self._session.problem(answer).startswith("NAME_UNKNOWN")
                return None
            if answer.status != 200:
                raise self._session.failure(answer, where)
            self._session.refuse_web_page(answer, where)
            page = parse_manifest(answer.body, media_type(answer.headers.get("content-type")), where)
            found.extend(page.manifests)
            seen.add(path)
            following = self._session.next_path(path, answer, where)
            if following is None:
                return found
            if following in seen or len(found) > _MOST_REFERRERS:
                raise _endless(where, len(found), len(seen))
            path = following

    async def _referrers_by_tag(self, repository: str, digest: str) -> list[Descriptor]:
        try:
            manifest = await self.manifest(repository, referrers_tag(digest))
        except NotFoundError:
            return []
        # Distribution-spec 1.1, "Unavailable Referrers API": the tag names an index; anything else is not ours.
        return list(manifest.manifests) if manifest.media_type in INDEX_TYPES else []

    async def _names(self, path: str, scope: str, where: str, field: str) -> list[str]:
        names: dict[str, None] = {}
        first = path
        path = f"{first}?n={_PAGE}"
        seen: set[str] = set()
        while True:
            answer = await self._session.send("GET", path, _ACCEPT_JSON, scope=scope, limit=_LARGEST_PAGE, where=where)
            if answer.status != 200:
                raise self._session.failure(answer, where)
            read = self._session.decode(answer, _Page, where)
            page = (read.tags if field == "tags" else read.repositories) or []
            known = len(names)
            names.update(dict.fromkeys(page))
            seen.add(path)
            following = self._session.next_path(path, answer, where)
            if following is None and len(page) >= _PAGE and len(names) > known:
                # A full page and no link: there may be more. A registry that ignores `last` gives nothing new then.
                following = f"{first}?n={_PAGE}&last={quote(page[-1], safe='')}"
            if following is None:
                return list(names)
            if following in seen or len(seen) >= _MOST_PAGES or len(names) > _MOST_NAMES:
                raise _endless(where, len(names), len(seen))
            path = following

    def _checked(self, repository: str) -> str:
        if not is_repository(repository):
            raise MalformedDataError(
                f"repository {repository[:120]!r} of registry {self.config.name}",
                "that is not a repository name",
                "use lower-case letters, digits, separators and slashes",
            )
        return repository

    def _manifest_path(self, repository: str, reference: str) -> tuple[str, str]:
        separator = "@" if ":" in reference else ":"
        where = f"manifest {self.config.name}/{repository}{separator}{reference[:160]}"
        if not is_tag(reference) and not is_digest(reference):
            raise MalformedDataError(where, "that is neither a tag nor a digest", "leave it out")
        return f"/v2/{self._checked(repository)}/manifests/{reference}", where


def referrers_tag(digest: str) -> str:
    """The tag under which referrers stand without the API (distribution-spec 1.1, "Referrers Tag Schema")."""
    algorithm, _, encoded = digest.partition(":")
    return f"{algorithm[:32]}-{encoded[:64]}"


def _pull(repository: str) -> str:
    return f"repository:{repository}:pull"


def _endless(where: str, names: int, pages: int) -> LimitExceededError:
    return LimitExceededError(
        where,
        f"the registry's pages do not end: {names} entries on {pages} pages so far",
        "tell the registry's operator; nothing of it was taken in",
    )
