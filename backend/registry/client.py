"""The client of one registry, by OCI distribution-spec 1.1."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import httpx

from backend.core.errors import DigestMismatchError, LimitExceededError, MalformedDataError, NotFoundError
from backend.core.ports import Clock
from backend.core.references import is_digest, is_repository, is_tag
from backend.registry.authentication import Authenticator
from backend.registry.config import DOCKER_HUB_HOSTS, RegistryConfig
from backend.registry.credentials import Credentials
from backend.registry.discovery import Discovery
from backend.registry.headers import media_type
from backend.registry.manifests import (
    INDEX_TYPES,
    LARGEST_MANIFEST,
    MANIFEST_TYPES,
    Descriptor,
    Manifest,
    parse_manifest,
    require_digest,
)
from backend.registry.pages import of_type, read_names, read_referrers
from backend.registry.scans import scan_report
from backend.registry.session import Session, in_proportion
from backend.registry.transport import Sleep, Transport, Waiting

_LARGEST_PING: Final = 1 << 20
_ACCEPT_MANIFESTS: Final = {"Accept": ", ".join(MANIFEST_TYPES)}
_ACCEPT_ANY: Final = {"Accept": "*/*"}


class Advertised(NamedTuple):
    """What a registry tells of itself at `/v2/`; empty where it tells nothing."""

    api_version: str
    server: str
    authentication: str
    anonymous: bool


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
        waiting: told the seconds when requests begin to wait because a registry asks for it.
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
        waiting: Waiting | None = None,
    ) -> None:
        self.config = config
        self._transport = Transport(
            config, clock=clock, base=base or credentials.base, sleep=sleep, waiting=waiting, transport=transport
        )
        self._authenticator = Authenticator(config, credentials=credentials, transport=self._transport, clock=clock)
        self._session = Session(config, self._transport, self._authenticator, clock)
        self._discovery = Discovery(config, self._session)
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
    def quota(self) -> str:
        """What the registry says that we may still pull, for people; empty: it does not limit it, or did not tell."""
        return self._session.quota.text

    @property
    def discovered_by(self) -> str:
        """How repositories are found for rules with wildcards, for people."""
        return self._discovery.way

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
        return await read_names(self._session, path, scope=_pull(repository), where=where, field="tags")

    async def catalog(self, globs: Sequence[str] = ()) -> list[str]:
        """The repositories that the registry tells, at least those of them that one of the globs matches (none: all).

        By `/v2/_catalog`, else by an API of the registry's own (`backend.registry.discovery`). Many registries do not
        tell them, or not to everyone.

        Raises:
            ConfigurationError: the registry tells repositories by namespace only, and a glob names none.
        """
        return await self._discovery.repositories(globs)

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
        answer = await self._session.send_pull(
            path, _ACCEPT_MANIFESTS, scope=_pull(repository), limit=LARGEST_MANIFEST, where=where
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
        read = partial(parse_manifest, answer.body, media_type(answer.headers.get("content-type")), where, digest)
        return await in_proportion(len(answer.body), read)

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
        await in_proportion(len(answer.body), partial(require_digest, answer.body, digest, where))
        return answer.body

    async def referrers(self, repository: str, digest: str, artifact_type: str | None = None) -> list[Descriptor]:
        """What refers to a manifest (signatures, SBOMs): by the API, else by the tag that stands in for it.

        Args:
            artifact_type: only these; None: all.
        """
        where = f"referrers of {self.config.name}/{repository}@{digest[:80]}"
        if not is_digest(digest):
            raise MalformedDataError(where, "that is not a digest", "give sha256: and 64 hexadecimal characters")
        found: list[Descriptor] | None = None
        if self._referrers_api:
            found, self._referrers_api = await read_referrers(
                self._session,
                f"/v2/{self._checked(repository)}/referrers/{digest}",
                artifact_type=artifact_type,
                scope=_pull(repository),
                where=where,
            )
        if found is None:
            found = await self._referrers_by_tag(repository, digest)
            found = found if artifact_type is None else of_type(found, artifact_type)
        return list({descriptor.digest: descriptor for descriptor in found}.values())

    async def scan_report(self, repository: str, digest: str, limit: int) -> bytes | None:
        """What the registry's own scanner found in a manifest, as JSON; None: it has no report, or no scanner.

        Args:
            limit: bytes that are taken at most.
        """
        return await scan_report(self._session, self.config, self._checked(repository), digest, limit)

    async def _referrers_by_tag(self, repository: str, digest: str) -> list[Descriptor]:
        try:
            manifest = await self.manifest(repository, referrers_tag(digest))
        except NotFoundError:
            return []
        # Distribution-spec 1.1, "Unavailable Referrers API": the tag names an index; anything else is not ours.
        return list(manifest.manifests) if manifest.media_type in INDEX_TYPES else []

    def _checked(self, repository: str) -> str:
        if not is_repository(repository):
            raise MalformedDataError(
                f"repository {repository[:120]!r} of registry {self.config.name}",
                "that is not a repository name",
                "use lower-case letters, digits, separators and slashes",
            )
        if "/" not in repository and self.config.host in DOCKER_HUB_HOSTS:
            raise MalformedDataError(
                f"repository {repository} of registry {self.config.name}",
                "Docker's official images are in the namespace library",
                f"write library/{repository}",
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
