"""A conversation with one registry: authorised requests, and what its answers mean when they are not what was asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar
from urllib.parse import urljoin

import msgspec

from backend.core.errors import (
    AuthenticationError,
    MalformedDataError,
    ModelyardError,
    NotFoundError,
    UnreachableError,
)
from backend.core.ports import Clock
from backend.registry.authentication import Authenticator
from backend.registry.config import RegistryConfig
from backend.registry.headers import media_type, next_link, parse_challenges
from backend.registry.throttle import Quota
from backend.registry.transport import Answer, Transport, origin_of

ACCEPT_JSON: Final = {"Accept": "application/json"}
_MOST_WARNINGS: Final = 20
_WEB_PAGES: Final = frozenset({"text/html", "application/xhtml+xml"})


#: Bytes above which reading an answer would hold up the event loop for more than a few milliseconds.
_READ_ASIDE: Final = 256 << 10


class _Problem(msgspec.Struct):
    code: str = ""
    message: str = ""


class _Problems(msgspec.Struct):
    errors: list[_Problem] = []


_Decoded = TypeVar("_Decoded")
_Result = TypeVar("_Result")


async def in_proportion(size: int, work: Callable[[], _Result]) -> _Result:
    """Do work on so many bytes: off the event loop where they are many."""
    return await asyncio.to_thread(work) if size > _READ_ASIDE else work()


class Session:
    """Sends requests with the authorization that their scope needs, and reads answers with suspicion.

    Attributes:
        warnings: what the registry wants shown to users (distribution-spec 1.1, "Warnings"), each once.
        quota: what the registry says that we may still pull.
        timeout: seconds that one wait for bytes may take.
    """

    def __init__(
        self, config: RegistryConfig, transport: Transport, authenticator: Authenticator, clock: Clock
    ) -> None:
        self._config = config
        self._transport = transport
        self._authenticator = authenticator
        self._refused_basic: str | None = None
        self._own_host = origin_of(config.api)[1]
        self.warnings: list[str] = []
        self.quota = Quota(clock)
        self.timeout = config.timeout.total_seconds()

    @property
    def service(self) -> str:
        """What the registry called itself when it asked for a token; empty: it did not ask."""
        return self._authenticator.service

    async def send(
        self, method: str, path: str, headers: Mapping[str, str], *, scope: str, limit: int, where: str
    ) -> Answer:
        """The registry's answer, whatever its status; authenticated to once when it asks for that.

        Args:
            path: with query, as it stands after the host.
            scope: in the token specification's words, such as `repository:NAME:pull`; empty: none.
            limit: bytes of body that are taken.
            where: what is asked for, for errors; names registry and repository.
        """
        url = self._config.api + path
        held = self._authenticator.held(scope) or await self._authenticator.anticipated(scope, where)
        answer = await self._transport.get(method, url, headers, authorization=held, limit=limit, where=where)
        if answer.status == 401 and held is not None and not answer.foreign:
            # The challenge to a token that has run out can name another realm than the one to no token at all.
            self._authenticator.forget(scope, held)
            answer = await self._transport.get(method, url, headers, authorization=None, limit=limit, where=where)
        if answer.status == 401 and not answer.foreign:
            challenges = parse_challenges(answer.headers.get_list("www-authenticate"))
            fresh = await self._authenticator.answer(challenges, scope, held, where)
            answer = await self._transport.get(method, url, headers, authorization=fresh, limit=limit, where=where)
        if "warning" in answer.headers and not answer.foreign:
            self._keep_warnings(answer.headers.get_list("warning"))
        if "ratelimit-remaining" in answer.headers and not answer.foreign:
            self.quota.note(answer.headers)
        return answer

    async def send_pull(self, path: str, headers: Mapping[str, str], *, scope: str, limit: int, where: str) -> Answer:
        """GET what counts as a pull, as far as the registry's quota allows it; else as `send`.

        Raises:
            UnreachableError: what is left of the quota is kept for others.
        """
        if seconds := self.quota.take(where):
            await self._transport.wait(seconds)
        return await self.send("GET", path, headers, scope=scope, limit=limit, where=where)

    async def send_basic(self, path: str, *, limit: int, where: str) -> Answer:
        """GET JSON from the registry's own host by user name and password, for an API that asks for nothing and shows
        anonymous visitors less; anonymous where there is no password, or it is refused."""
        url = self._config.api + path
        basic = await self._authenticator.basic()
        if basic == self._refused_basic:
            # It is not sent again for every page: servers lock accounts for that.
            basic = None
        answer = await self._transport.get("GET", url, ACCEPT_JSON, authorization=basic, limit=limit, where=where)
        if answer.status == 401 and basic is not None and not answer.foreign:
            self._refused_basic = basic
            answer = await self._transport.get("GET", url, ACCEPT_JSON, authorization=None, limit=limit, where=where)
        return answer

    async def send_foreign(self, url: str, *, limit: int, where: str) -> Answer:
        """GET JSON from a public API beside the registry, without a credential."""
        return await self._transport.get("GET", url, ACCEPT_JSON, authorization=None, limit=limit, where=where)

    def next_path(self, path: str, answer: Answer, where: str) -> str | None:
        """Path and query of the next page by the answer's `Link`, as written; None: this is the last page.

        Raises:
            MalformedDataError: the link leads to another host.
        """
        link = next_link(answer.headers.get_list("link"))
        if link is None:
            return None
        try:
            target = urljoin(self._config.api + path, link)
            scheme, host = origin_of(target)
        except ValueError:
            scheme, host, target = "", "", ""
        # Behind a proxy that ends TLS a registry may write http: its path goes on by our own scheme.
        if scheme not in {"http", "https"} or host != self._own_host:
            raise MalformedDataError(
                where, "the registry's link to the next page leads to another host", "tell the registry's operator"
            )
        return "/" + target.partition("://")[2].partition("/")[2]

    def decode(self, answer: Answer, kind: type[_Decoded], where: str) -> _Decoded:
        """The answer's JSON as `kind`.

        Raises:
            MalformedDataError: it is something else.
        """
        self.refuse_web_page(answer, where)
        try:
            return msgspec.json.decode(answer.body, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise MalformedDataError(
                where, f"the registry's answer cannot be read: {error}", "tell the registry's operator"
            ) from error

    def refuse_web_page(self, answer: Answer, where: str) -> None:
        """Make sure that the answer is no page for people.

        Raises:
            MalformedDataError: it is one.
        """
        if media_type(answer.headers.get("content-type")) in _WEB_PAGES:
            raise MalformedDataError(
                where,
                "the registry answered with a web page",
                "check its url, and whether a proxy or a login page stands in between",
            )

    def problem(self, answer: Answer) -> str:
        """The first error of the answer (distribution-spec 1.1, "Error Codes"): code and message; empty: none."""
        try:
            problems = msgspec.json.decode(answer.body, type=_Problems).errors
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            # Errors come from whatever stands before the registry too; the status tells enough.
            return ""
        if not problems:
            return ""
        text = f"{problems[0].code} {problems[0].message}".strip()
        return self._authenticator.redact(text[:2000])[:300]

    def failure(self, answer: Answer, where: str) -> ModelyardError:
        """What an answer means whose status is not the one that was hoped for."""
        problem = self.problem(answer)
        why = f"HTTP {answer.status}{f' {problem}' if problem else ''}"
        status = answer.status
        if status in {401, 403}:
            who = "the storage that the registry redirects to" if answer.foreign else "the registry"
            refused = ""
            if status == 401 and not answer.foreign:
                refused = " our credentials" if self._authenticator.has_credential else " us without credentials"
                challenges = parse_challenges(answer.headers.get_list("www-authenticate"))
                if any(one.parameters.get("error") == "insufficient_scope" for one in challenges):
                    # Token servers grant less than was asked for without a word (token specification, "scope").
                    refused = " the token that we were given, which does not reach this"
            return AuthenticationError(
                where,
                f"{who} refuses{refused}: {why}",
                f"check the name, and what the user of registry {self._config.name} may read",
            )
        if status == 404:
            return NotFoundError(where, f"the registry does not have it: {why}", "check the name")
        if status >= 500:
            return UnreachableError(where, f"the registry failed: {why}", "try again later")
        return MalformedDataError(where, f"the registry answered {why}", "tell the registry's operator")

    def _keep_warnings(self, values: Sequence[str]) -> None:
        for value in values:
            # RFC 7234, 5.5: 299 is the one code that distribution-spec 1.1 uses.
            if value.startswith("299 ") and value not in self.warnings and len(self.warnings) < _MOST_WARNINGS:
                self.warnings.append(value[:1000])
