"""One HTTP exchange with a registry: paced, bounded in size and time, retried where it is safe, redirected by hand."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from datetime import timedelta
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urljoin, urlsplit

import httpx
import stamina
from aiolimiter import AsyncLimiter
from stamina.instrumentation import LoggingOnRetryHook, set_on_retry_hooks

from backend.core.errors import (
    ConfigurationError,
    LimitExceededError,
    MalformedDataError,
    ModelyardError,
    UnreachableError,
)
from backend.core.ports import Clock
from backend.registry.config import RegistryConfig
from backend.registry.headers import retry_after

#: Answers that mean "not now" and say nothing of the request.
_PASSING_STATUSES: Final = frozenset({502, 503, 504})
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS: Final = 5
_MOST_PAUSES: Final = 5
_LARGEST_ERROR: Final = 1 << 20
#: Seconds that a run waits because a registry asks it to; who is told to wait longer is told so instead.
_LONGEST_PAUSE: Final = 90.0
_ATTEMPTS_AFTER_FAILURE: Final = 2
_USER_AGENT: Final = "modelyard"
_LOOK_AT_REGISTRY: Final = "see whether the registry is up, and whether its address and the proxy settings are right"

Sleep = Callable[[float], Awaitable[None]]

# What stamina would look for at the first retry, an import of prometheus_client among it, has no place on the loop.
set_on_retry_hooks([LoggingOnRetryHook])


class Answer(NamedTuple):
    """What a server answered.

    Attributes:
        body: at most as many bytes as were allowed.
        foreign: a redirect led to another origin, and this is that one's answer.
    """

    status: int
    headers: httpx.Headers
    body: bytes
    foreign: bool


class _PassingError(Exception):
    """An exchange failed in a way that the next one may not."""

    def __init__(self, error: UnreachableError) -> None:
        super().__init__(str(error))
        self.error = error


class Transport:
    """Sends requests for one registry. Belongs to one event loop.

    Args:
        base: folder that the path of a certificate authority starts at.
        sleep: waits the seconds that a registry asks for.
        transport: instead of the network; proxies of the environment are not used then.

    Attributes:
        requests: sent so far, each redirect and repetition counted.
        bytes_received: of bodies, as they came over the wire.
    """

    def __init__(
        self,
        config: RegistryConfig,
        *,
        clock: Clock,
        base: Path,
        sleep: Sleep = asyncio.sleep,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._config = config
        self._clock = clock
        self._base = base
        self._sleep = sleep
        self._transport = transport
        # A client of one connection for each slot: httpcore's pool hands a connection that falls idle to every request
        # that waits, and all but one of them start over; without that a synchronisation costs half as much.
        self._clients: list[httpx.AsyncClient] = []
        self._idle: list[httpx.AsyncClient] = []
        self._trusted: ssl.SSLContext | None = None
        self._opening = asyncio.Lock()
        self._slots = asyncio.Semaphore(config.max_concurrency)
        rate = config.requests_per_second
        # A bucket of one: the rate holds from the first second on, without a burst.
        self._limiter = None if rate is None else AsyncLimiter(1, 1 / rate)
        seconds = config.timeout.total_seconds()
        self._extensions = {"timeout": httpx.Timeout(seconds, pool=None).as_dict()}
        # A server that sends a byte now and then never meets the limit on one wait.
        self._whole_exchange = 10 * seconds
        self._resume_at = float("-inf")
        self.requests = 0
        self.bytes_received = 0

    async def close(self) -> None:
        """Close every connection. Nothing may be under way."""
        clients, self._clients, self._idle = self._clients, [], []
        for client in clients:
            await client.aclose()

    async def get(
        self, method: str, url: str, headers: Mapping[str, str], *, authorization: str | None, limit: int, where: str
    ) -> Answer:
        """Send a GET or HEAD and follow its redirects; the authorization stays with the origin of `url`.

        Args:
            limit: bytes of body that are taken.
            where: what is asked for, for errors; names registry and repository.

        Raises:
            UnreachableError: no answer, or one that asks to come back too late.
            LimitExceededError: a larger body, or too many redirects.
            MalformedDataError: a redirect to nowhere.
        """
        origin = origin_of(url)
        for _ in range(_MOST_REDIRECTS + 1):
            foreign = origin_of(url) != origin
            own = headers if authorization is None or foreign else {**headers, "Authorization": authorization}
            answer = await self._repeat(method, url, own, limit=limit, where=where)
            if answer.status not in _REDIRECTS:
                return answer._replace(foreign=foreign)
            url = _target(url, answer.headers.get("location"), where)
        raise LimitExceededError(
            where, f"it was redirected more than {_MOST_REDIRECTS} times", "tell the registry's operator"
        )

    async def post_form(self, url: str, form: bytes, *, limit: int, where: str) -> Answer:
        """POST a form once: no redirect is followed and nothing repeated, since the form holds a secret.

        Raises:
            UnreachableError: no answer.
            LimitExceededError: a larger body.
        """
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        try:
            return await self._once("POST", url, headers, limit=limit, where=where, content=form)
        except _PassingError as passing:
            raise passing.error from passing.__cause__

    async def _repeat(self, method: str, url: str, headers: Mapping[str, str], *, limit: int, where: str) -> Answer:
        try:
            return await self._once(method, url, headers, limit=limit, where=where)
        except _PassingError:
            # The first repetition goes out at once: most often the server had closed a connection that was kept.
            pass
        try:
            async for attempt in stamina.retry_context(
                on=_PassingError,
                attempts=_ATTEMPTS_AFTER_FAILURE,
                timeout=None,
                wait_initial=0.2,
                wait_max=1.0,
                wait_jitter=0.2,
            ):
                with attempt:
                    return await self._once(method, url, headers, limit=limit, where=where)
        except _PassingError as passing:
            raise passing.error from passing.__cause__
        raise AssertionError("stamina ends with a result or an error")

    async def _once(
        self, method: str, url: str, headers: Mapping[str, str], *, limit: int, where: str, content: bytes | None = None
    ) -> Answer:
        for pauses in range(_MOST_PAUSES):
            answer = await self._exchange(method, url, headers, limit=limit, where=where, content=content)
            seconds = retry_after(answer.headers.get("retry-after"), self._clock.now())
            if answer.status == 429 or (answer.status == 503 and seconds is not None):
                self._pause(2.0**pauses if seconds is None else seconds, answer.status, where)
                continue
            if answer.status in _PASSING_STATUSES:
                raise _PassingError(
                    UnreachableError(where, f"the registry answered HTTP {answer.status}", _LOOK_AT_REGISTRY)
                )
            return answer
        raise UnreachableError(
            where,
            f"the registry answered {_MOST_PAUSES} times in a row that there are too many requests",
            "lower max_concurrency or set requests_per_second of the registry",
        )

    def _pause(self, seconds: float, status: int, where: str) -> None:
        if seconds > _LONGEST_PAUSE:
            # A hostile number of seconds must not overflow the date.
            until = self._clock.now() + timedelta(seconds=min(seconds, 31_536_000.0))
            raise UnreachableError(
                where,
                f"the registry answered HTTP {status} and asks to wait until {until:%Y-%m-%d %H:%M:%S} UTC",
                "try again then; if it happens often, lower max_concurrency or set requests_per_second",
            )
        self._resume_at = max(self._resume_at, self._clock.monotonic() + seconds)

    async def _exchange(
        self, method: str, url: str, headers: Mapping[str, str], *, limit: int, where: str, content: bytes | None
    ) -> Answer:
        async with self._slots:
            if (delay := self._resume_at - self._clock.monotonic()) > 0:
                await self._sleep(delay)
            if self._limiter is not None:
                await self._limiter.acquire()
            client = self._idle.pop() if self._idle else await self._open()
            self.requests += 1
            try:
                request = httpx.Request(
                    method,
                    url,
                    headers={**headers, "User-Agent": _USER_AGENT, "Accept-Encoding": "identity"},
                    content=content,
                    extensions=self._extensions,
                )
                async with asyncio.timeout(self._whole_exchange):
                    response = await client.send(request, stream=True, auth=None, follow_redirects=False)
                    async with aclosing(response):
                        body = await self._read(response, limit, where)
            except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
                raise _failure(error, where, self._config.timeout.total_seconds()) from error
            finally:
                self._idle.append(client)
        return Answer(response.status_code, response.headers, body, False)

    async def _read(self, response: httpx.Response, limit: int, where: str) -> bytes:
        if response.headers.get("content-encoding", "identity") != "identity":
            raise MalformedDataError(
                where, "the registry compressed its answer unasked", "tell the registry's operator"
            )
        if not response.is_success:
            # What goes wrong is told in a body that has nothing to do with the size of what was asked for.
            limit = max(limit, _LARGEST_ERROR)
        if response.is_stream_consumed:
            # Not from the network: the answer was made whole.
            self.bytes_received += len(response.content)
            if len(response.content) > limit:
                raise _too_large(where, limit)
            return response.content
        chunks: list[bytes] = []
        received = 0
        # A HEAD is read too: only a connection whose answer was read to its end is used again.
        async for chunk in response.aiter_raw():
            received += len(chunk)
            self.bytes_received += len(chunk)
            if received > limit:
                raise _too_large(where, limit)
            chunks.append(chunk)
        return b"".join(chunks)

    async def _open(self) -> httpx.AsyncClient:
        async with self._opening:
            if self._trusted is None:
                # At INFO these log whole addresses; that of a redirect to storage is a signed capability.
                for name in ("httpx", "httpcore"):
                    logging.getLogger(name).setLevel(logging.WARNING)
                self._trusted = await asyncio.to_thread(self._trust)
        try:
            client = httpx.AsyncClient(
                verify=self._trusted,
                transport=self._transport,
                trust_env=self._transport is None,
                # A registry's API has no sessions: no cookie is kept or sent.
                cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            )
        except (ValueError, httpx.InvalidURL):
            # The message would repeat the address, and that may hold the proxy's password.
            raise ConfigurationError(
                "the proxy in the environment is not an address that can be used",
                "correct HTTP_PROXY, HTTPS_PROXY or ALL_PROXY",
            ) from None
        self._clients.append(client)
        return client

    def _trust(self) -> ssl.SSLContext:
        if self._config.ca is None:
            return ssl.create_default_context()
        path = self._base / self._config.ca.expanduser()
        try:
            return ssl.create_default_context(cafile=str(path))
        except OSError as error:
            reason = "it holds no PEM certificate" if isinstance(error, ssl.SSLError) else error.strerror
            raise ConfigurationError(
                f"the certificate authority {path} of registry {self._config.name} cannot be used: {reason}",
                "give a PEM file",
            ) from error


def origin_of(url: str) -> tuple[str, str]:
    """Scheme and host with port, by which it is decided who gets a credential; a port of the scheme's own is left out.

    Raises:
        ValueError: the address cannot be read.
    """
    parts = urlsplit(url)
    default = 443 if parts.scheme == "https" else 80
    port = parts.port
    host = (parts.hostname or "").lower()
    return parts.scheme, host if port is None or port == default else f"{host}:{port}"


def _target(url: str, location: str | None, where: str) -> str:
    try:
        target = urljoin(url, location or "")
        scheme, host = origin_of(target)
    except ValueError:
        scheme, host, target = "", "", ""
    if not location or not host or scheme not in {"http", "https"}:
        raise MalformedDataError(where, "the registry redirects to no address", "tell the registry's operator")
    if scheme == "http" and url.startswith("https:"):
        raise MalformedDataError(
            where, f"the registry redirects from https to plain http at {host}", "tell the registry's operator"
        )
    return target


def _too_large(where: str, limit: int) -> LimitExceededError:
    return LimitExceededError(
        where, f"the registry sends more than the {limit} bytes that are taken", "nothing of it was taken in"
    )


def _failure(error: Exception, where: str, seconds: float) -> ModelyardError | _PassingError:
    """What a failed exchange means; `_PassingError` where it may go better the next time."""
    if isinstance(error, httpx.TimeoutException | TimeoutError):
        return UnreachableError(
            where, f"the registry did not answer within {seconds:g} s", "try again, or raise the registry's timeout"
        )
    if isinstance(error, httpx.ProxyError):
        return UnreachableError(where, f"the proxy of the environment refuses: {error}", "check the proxy settings")
    if isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol | httpx.LocalProtocolError | UnicodeError):
        return MalformedDataError(
            where, "the registry names an address that cannot be used", "tell the registry's operator"
        )
    chain = _causes(error)
    tls = next((cause for cause in chain if isinstance(cause, ssl.SSLError)), None)
    if isinstance(tls, ssl.SSLCertVerificationError):
        return UnreachableError(
            where,
            f"its certificate is not trusted: {tls.verify_message}",
            "if it has a certificate authority of its own, give that as `ca` of the registry",
        )
    if tls is not None:
        return UnreachableError(
            where, f"it does not speak TLS: {tls.reason or tls}", "check scheme and port of the registry's url"
        )
    told = (cause.strerror for cause in chain if isinstance(cause, OSError) and cause.strerror)
    reason = next(told, str(error) or type(error).__name__)
    return _PassingError(UnreachableError(where, f"the connection failed: {reason}", _LOOK_AT_REGISTRY))


def _causes(error: BaseException) -> list[BaseException]:
    """The error and what led to it; of several attempts to connect, the first."""
    chain: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and len(chain) < 16:
        chain.append(current)
        following = current.__cause__ or current.__context__
        current = following.exceptions[0] if isinstance(following, BaseExceptionGroup) else following
    return chain
