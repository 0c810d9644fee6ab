"""Authorization for a registry: Basic, and Bearer by distribution's token authentication specification."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Final, NamedTuple
from urllib.parse import urlencode

import msgspec

from backend.core.errors import AuthenticationError, MalformedDataError, NotFoundError, UnreachableError
from backend.core.ports import Clock
from backend.registry.config import RegistryConfig
from backend.registry.credentials import Credential, Credentials
from backend.registry.headers import Challenge
from backend.registry.transport import Answer, Transport, origin_of

_LARGEST_TOKEN_ANSWER: Final = 1 << 18
_TOKEN: Final = re.compile(r"[!-~]{1,65536}\Z")
_CLIENT_ID: Final = "modelyard"
#: Seconds that a token holds when the server does not tell (token specification, "expires_in").
_DEFAULT_EXPIRY: Final = 60.0
_LONGEST_EXPIRY: Final = 86_400.0
#: A token is let go this part of its life early, so that it does not run out on the way.
_EARLY: Final = 0.1
#: Seconds that a credential is kept before its source is asked again: a helper costs a process.
_CREDENTIAL_KEPT: Final = 600.0
#: Answers of a token server that does not take what it was sent.
_REFUSED: Final = frozenset({400, 401, 403})
_READING: Final = frozenset({"pull", "metadata_read"})
_FORGOTTEN_ABOVE: Final = 10_000


class _TokenAnswer(msgspec.Struct):
    token: str | None = None
    access_token: str | None = None
    expires_in: float | None = None
    refresh_token: str | None = None


class _Held(NamedTuple):
    authorization: str
    until: float


class Authenticator:
    """Keeps what authorises requests, a value for each scope, and gets new ones by a server's challenge."""

    def __init__(self, config: RegistryConfig, *, credentials: Credentials, transport: Transport, clock: Clock) -> None:
        self._config = config
        self._credentials = credentials
        self._transport = transport
        self._clock = clock
        self._origin = origin_of(config.api)
        self._basic: str | None = None
        self._held: dict[str, _Held] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._credential: Credential | None = None
        self._credential_until = float("-inf")
        self._asking_credential = asyncio.Lock()
        #: Refresh tokens by realm and service, so that a password travels once.
        self._refresh: dict[tuple[str, str], str] = {}
        #: The last challenge by which a token was got, without its scope, and the scopes that were asked for so far.
        self._known: dict[str, str] | None = None
        self._asked: set[str] = set()
        #: The last refusal of a token that was asked for before the registry wanted one: by scope, with the realm.
        self._refusals: dict[str, tuple[str, AuthenticationError]] = {}
        #: What the registry calls itself towards its token server; empty: it has not asked for a token.
        self.service = ""
        #: How the registry asked to be authenticated to, in a few words; empty: it has not asked.
        self.method = ""

    @property
    def has_credential(self) -> bool:
        """Whether a credential was found when one was asked for; requests are anonymous without."""
        return self._credential is not None

    def held(self, scope: str) -> str | None:
        """The value of `Authorization` for the scope; None: there is none, or it has run out."""
        if self._basic is not None:
            return self._basic
        held = self._held.get(scope)
        return held.authorization if held is not None and held.until > self._clock.monotonic() else None

    async def anticipated(self, scope: str, where: str) -> str | None:
        """An authorization for a scope that was never asked for, by what the registry said of others; else None.

        It spares each repository a request that would only be told the same again. Where it does not work out, and
        once a token ran out, the registry is asked as if nothing were known of it.

        Raises:
            ConfigurationError: the source of the credential cannot be used.
        """
        if self._known is None or not scope or scope in self._asked:
            return None
        async with self._lock(scope):
            if scope in self._asked:
                return self.held(scope)
            self._note_asked(scope)
            try:
                return await self._bearer(dict(self._known), scope, where)
            except AuthenticationError as error:
                self._refusals = {scope: (self._known["realm"], error)}
            except (MalformedDataError, NotFoundError, UnreachableError):
                pass
            return None

    def forget(self, scope: str, authorization: str) -> None:
        """Let go of an authorization that the registry refused, and of the credential that it came from."""
        if self._basic == authorization:
            self._basic = None
        held = self._held.get(scope)
        if held is not None and held.authorization == authorization:
            del self._held[scope]
        self._refresh.clear()
        self._credential_until = float("-inf")

    async def answer(self, challenges: Sequence[Challenge], scope: str, refused: str | None, where: str) -> str:
        """A new authorization for the scope.

        Args:
            challenges: of the registry's answer to a request without authorization.
            scope: in the token specification's words, such as `repository:NAME:pull`.
            refused: what was sent last; another value that was got meanwhile is taken instead of asking again.
            where: what is asked for, for errors.

        Raises:
            AuthenticationError: there is no credential and one is needed, it was refused, or it may not be sent to
                the server that the registry names.
            MalformedDataError: the registry's challenge or the token server's answer cannot be used.
            UnreachableError: the token server does not answer.
        """
        async with self._lock(scope):
            self._note_asked(scope)
            held = self.held(scope)
            if held is not None and held != refused:
                return held
            offered = {challenge.scheme: challenge for challenge in reversed(challenges)}
            if "bearer" in offered:
                realm, refusal = self._refusals.pop(scope, ("", None))
                if refusal is not None and realm == offered["bearer"].parameters.get("realm"):
                    # A password that is refused is not sent again at once: servers lock accounts for that.
                    raise refusal
                return await self._bearer(offered["bearer"].parameters, scope, where)
            if "basic" in offered:
                return await self._answer_basic(where)
        schemes = ", ".join(sorted(offered)) or "none"
        raise MalformedDataError(
            where,
            f"the registry wants to be authenticated to by {schemes}; Basic and Bearer are known",
            "ask the registry's operator for one of these",
        )

    def _lock(self, scope: str) -> asyncio.Lock:
        """What lets one of many requests for a scope ask for it."""
        if len(self._locks) > _FORGOTTEN_ABOVE:
            self._locks = {key: lock for key, lock in self._locks.items() if lock.locked()}
        return self._locks.setdefault(scope, asyncio.Lock())

    def _note_asked(self, scope: str) -> None:
        if len(self._asked) > _FORGOTTEN_ABOVE:
            self._asked.clear()
        self._asked.add(scope)

    def redact(self, text: str) -> str:
        """The text without the secrets in use: a server may repeat what was sent to it."""
        secrets = [held.authorization.partition(" ")[2] for held in self._held.values()]
        if self._credential is not None:
            secrets.extend(self._credential.secrets)
        for secret in (*secrets, *self._refresh.values()):
            text = text.replace(secret, "[secret]")
        return text

    async def basic(self) -> str | None:
        """The value of `Authorization` by user name and password; None: there is none.

        Raises:
            ConfigurationError, AuthenticationError: the source of the credential cannot be used.
        """
        credential = await self._get_credential()
        return credential.basic if credential is not None and credential.username else None

    async def _get_credential(self, *, again: bool = False) -> Credential | None:
        async with self._asking_credential:
            if again or self._clock.monotonic() >= self._credential_until:
                self._credential = await self._credentials.of(self._config)
                self._credential_until = self._clock.monotonic() + _CREDENTIAL_KEPT
            return self._credential

    async def _answer_basic(self, where: str) -> str:
        credential = await self._get_credential()
        self.method = "Basic"
        if credential is None or not credential.username:
            raise AuthenticationError(
                where,
                "the registry wants a user name and a password, and none are known",
                f"give username and password of registry {self._config.name}, or log in to it with docker",
            )
        self._basic = credential.basic
        return self._basic

    async def _bearer(self, parameters: dict[str, str], scope: str, where: str) -> str:
        realm = parameters.get("realm", "")
        host = self._check_realm(realm, where)
        self.method = f"Bearer by {host}"
        self.service = parameters.get("service", "")
        credential = await self._get_credential()
        if credential is not None and not self._may_send_to(realm):
            raise AuthenticationError(
                where,
                f"the registry sends us to {host} for a token, which may not be sent the credential",
                f'if it should, add "{host}" to credential_realms of registry {self._config.name}',
            )
        scopes = _reading_scopes(parameters.get("scope", "")) or ([scope] if scope else [])
        query = [("scope", each) for each in scopes]
        if self.service:
            query.insert(0, ("service", self.service))
        answer = await self._fetch_token(realm, query, credential, where)
        if answer.status in _REFUSED and credential is not None:
            # A password of twelve hours, or one that was changed: its source may have another by now.
            renewed = await self._get_credential(again=True)
            if renewed is not None and renewed.secrets != credential.secrets:
                credential = renewed
                answer = await self._fetch_token(realm, query, credential, where)
        now = self._clock.monotonic()
        token, seconds, refresh = self._read_token(answer, credential, host, where)
        self._keep_refresh(refresh, realm, credential)
        if len(self._held) > _FORGOTTEN_ABOVE:
            self._held = {key: held for key, held in self._held.items() if held.until > now}
        held = _Held(f"Bearer {token}", now + seconds * (1 - _EARLY))
        self._held[scope] = held
        self._known = {name: value for name, value in parameters.items() if name in {"realm", "service"}}
        return held.authorization

    def _check_realm(self, realm: str, where: str) -> str:
        try:
            scheme, host = origin_of(realm)
        except ValueError:
            scheme, host = "", ""
        if not host or scheme not in {"http", "https"}:
            raise MalformedDataError(
                where, "the registry names no address to get a token from", "tell the registry's operator"
            )
        if scheme == "http" and self._origin[0] == "https":
            raise AuthenticationError(
                where, f"the registry sends us to {host} for a token without TLS", "tell the registry's operator"
            )
        return host

    def _may_send_to(self, realm: str) -> bool:
        scheme, host = origin_of(realm)
        return (scheme, host) == self._origin or host == self._origin[1] or host in self._config.realms

    async def _fetch_token(
        self, realm: str, query: list[tuple[str, str]], credential: Credential | None, where: str
    ) -> Answer:
        given = credential.identity_token if credential is not None else ""
        refresh = given or self._refresh.get((realm, self.service), "")
        if refresh and credential is not None:
            form = [("grant_type", "refresh_token"), ("client_id", _CLIENT_ID), *_joined_scope(query)]
            form.append(("refresh_token", refresh))
            answer = await self._transport.post_form(
                realm, urlencode(form).encode(), limit=_LARGEST_TOKEN_ANSWER, where=where
            )
            # A server without the OAuth2 end point knows the credential only by GET; one that let go of the refresh
            # token wants the password again.
            unknown = answer.status in {404, 405}
            if not unknown and (given or answer.status not in _REFUSED):
                return answer
            self._refresh.pop((realm, self.service), None)
        basic = credential.basic if credential is not None and credential.username else None
        if basic is not None:
            query = [*query, ("offline_token", "true"), ("client_id", _CLIENT_ID)]
        separator = "&" if "?" in realm else "?"
        url = f"{realm}{separator}{urlencode(query)}" if query else realm
        return await self._transport.get("GET", url, {}, authorization=basic, limit=_LARGEST_TOKEN_ANSWER, where=where)

    def _keep_refresh(self, refresh: str, realm: str, credential: Credential | None) -> None:
        if not refresh or credential is None:
            return
        if credential.identity_token:
            credential.identity_token = refresh
        else:
            if len(self._refresh) > _FORGOTTEN_ABOVE:
                self._refresh.clear()
            self._refresh[realm, self.service] = refresh

    def _read_token(
        self, answer: Answer, credential: Credential | None, host: str, where: str
    ) -> tuple[str, float, str]:
        """Token, the seconds that it holds, and the refresh token, empty where there is none."""
        if answer.status in _REFUSED:
            refused = "gives no token without a credential" if credential is None else "refuses the credential"
            raise AuthenticationError(
                where,
                f"the token server {host} {refused} (HTTP {answer.status})",
                f"check username and password of registry {self._config.name}",
            )
        if answer.status == 404:
            raise NotFoundError(where, f"the token server {host} has no such page", "tell the registry's operator")
        if answer.status >= 500:
            raise UnreachableError(where, f"the token server {host} answered HTTP {answer.status}", "try again later")
        try:
            read = msgspec.json.decode(answer.body, type=_TokenAnswer, strict=False)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            # The answer may hold the token, and so might a message about it: neither is repeated.
            raise MalformedDataError(
                where, f"the token server {host} answered with something else", "check the registry's address"
            ) from error
        token = read.token or read.access_token or ""
        if answer.status != 200 or not _TOKEN.match(token):
            raise MalformedDataError(
                where, f"the token server {host} answered HTTP {answer.status} without a token", "try again later"
            )
        seconds = read.expires_in if read.expires_in is not None and read.expires_in > 0 else _DEFAULT_EXPIRY
        return token, min(seconds, _LONGEST_EXPIRY), read.refresh_token or ""


def _joined_scope(query: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """For the form, where all scopes stand in one field (RFC 6749, 3.3)."""
    others = [pair for pair in query if pair[0] != "scope"]
    scopes = " ".join(value for name, value in query if name == "scope")
    return [*others, ("scope", scopes)] if scopes else others


def _reading_scopes(text: str) -> list[str]:
    """The scopes that a registry names, without what goes beyond reading.

    A token that could write would be a gift to whoever runs, or stands in for, the registry. Actions are split off
    from the right: a name can hold a port.
    """
    kept: list[str] = []
    for part in text.split()[:16]:
        resource, _, actions = part.rpartition(":")
        catalogue = resource == "registry:catalog"
        reading = [a for a in actions.split(",") if a in _READING or (catalogue and a == "*")]
        if resource and reading:
            kept.append(f"{resource}:{','.join(reading)}")
    return kept
