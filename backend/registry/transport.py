"""One HTTP exchange with a registry: paced, bounded in size and time, retried where it is safe, redirected by hand."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urljoin, urlsplit

import httpx
import stamina
from aiolimiter import AsyncLimiter
from stamina.instrumentation import LoggingOnRetryHook, set_on_retry_hooks

from backend.core.errors import (
    LimitExceededError,
    MalformedDataError,
    ModelyardError,
    UnreachableError,
)
from backend.core.ports import Clock
from backend.registry.config import RegistryConfig
from backend.registry.connections import Connections
from backend.registry.headers import retry_after
from backend.registry.throttle import Throttle
from backend.registry.usage import count

#: Answers that mean "not now" and say nothing of the request.
_PASSING_STATUSES: Final = frozenset({502, 503, 504})
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS: Final = 5
_MOST_PAUSES: Final = 5
_LARGEST_ERROR: Final = 1 << 20
#: Redirects may lead to as many servers as there are names.
_MOST_THROTTLES: Final = 64
#: Bytes a second below which an answer that may be large takes too long.
_SLOWEST: Final = 128 << 10
#: What OpenSSL calls the alerts by which a server refuses who connects (RFC 8446, 6.2).
_OUR_CERTIFICATE: Final = re.compile(r"ALERT_(?:\w*CERTIFICATE\w*|UNKNOWN_CA)\Z")
_ATTEMPTS_AFTER_FAILURE: Final = 2
_USER_AGENT: Final = "modelyard"
_LOOK_AT_REGISTRY: Final = "see whether the registry is up, and whether its address and the proxy settings are right"

Sleep = Callable[[float], Awaitable[None]]
Waiting = Callable[[float], None]

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


class _Call(NamedTuple):
    """A request, and how much of an answer is taken."""

    method: str
    url: str
    headers: Mapping[str, str]
    limit: int
    where: str
    content: bytes | None = None


class _PassingError(Exception):
    """An exchange failed in a way that the next one may not."""

    def __init__(self, error: UnreachableError) -> None:
        super().__init__(str(error))
        self.error = error


class Transport:
    """Sends requests for one registry. Belongs to one event loop.

    Args:
        base: folder that paths of certificates start at.
        sleep: waits the seconds that a registry asks for.
        waiting: told the seconds when requests begin to wait because a registry asks for it.
        transport: instead of the network; proxies are not used then.

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
        waiting: Waiting | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._waiting = waiting
        self._waits_until = float("-inf")
        self._connections = Connections(config, base, transport)
        self._own = (origin_of(config.api), f"{config.api}/")
        self._throttles: dict[tuple[str, tuple[str, str]], Throttle] = {}
        self._slots = asyncio.Semaphore(config.max_concurrency)
        rate = config.requests_per_second
        # A bucket of one: the rate holds from the first second on, without a burst.
        self._limiter = None if rate is None else AsyncLimiter(1, 1 / rate)
        self._timeout = config.timeout.total_seconds()
        self._extensions = {"timeout": httpx.Timeout(self._timeout, pool=None).as_dict()}
        self.requests = 0
        self.bytes_received = 0

    async def close(self) -> None:
        """Close every connection. Nothing may be under way."""
        await self._connections.close()

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
        origin = first = self._origin(url)
        for _ in range(_MOST_REDIRECTS + 1):
            foreign = origin != first
            own = headers if authorization is None or foreign else {**headers, "Authorization": authorization}
            answer = await self._repeat(_Call(method, url, own, limit, where), self._throttle(method, origin))
            if answer.status not in _REDIRECTS:
                return answer._replace(foreign=True) if foreign else answer
            url = _target(url, answer.headers.get("location"), where)
            origin = self._origin(url)
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
        throttle = self._throttle("POST", self._origin(url))
        try:
            return await self._once(_Call("POST", url, headers, limit, where, form), throttle)
        except _PassingError as passing:
            raise passing.error from passing.__cause__

    async def wait(self, seconds: float) -> None:
        """Wait because the registry asks for it, and tell so: once for all requests that wait for the same."""
        until = self._clock.monotonic() + seconds
        if self._waiting is not None and until > self._waits_until + 1:
            self._waits_until = until
            self._waiting(seconds)
        await self._sleep(seconds)

    def _origin(self, url: str) -> tuple[str, str]:
        origin, prefix = self._own
        return origin if url.startswith(prefix) else origin_of(url)

    def _throttle(self, method: str, origin: tuple[str, str]) -> Throttle:
        """A server may refuse GETs that count as pulls and take HEADs; another server's refusal says nothing of it."""
        key = (method, origin)
        if key not in self._throttles:
            if len(self._throttles) >= _MOST_THROTTLES:
                self._throttles.clear()
            self._throttles[key] = Throttle(self._clock)
        return self._throttles[key]

    async def _repeat(self, call: _Call, throttle: Throttle) -> Answer:
        try:
            return await self._once(call, throttle)
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
                    return await self._once(call, throttle)
        except _PassingError as passing:
            raise passing.error from passing.__cause__
        raise AssertionError("stamina ends with a result or an error")

    async def _once(self, call: _Call, throttle: Throttle) -> Answer:
        for pauses in range(_MOST_PAUSES):
            answer = await self._exchange(call, throttle)
            if answer.status == 429 or (answer.status == 503 and "retry-after" in answer.headers):
                seconds = retry_after(answer.headers.get("retry-after"), self._clock.now())
                throttle.refused(answer.status, 2.0**pauses if seconds is None else seconds)
                continue
            if answer.status in _PASSING_STATUSES:
                raise _PassingError(
                    UnreachableError(call.where, f"the registry answered HTTP {answer.status}", _LOOK_AT_REGISTRY)
                )
            throttle.accepted()
            return answer
        throttle.delay(call.where)
        raise UnreachableError(
            call.where,
            f"the registry answered {_MOST_PAUSES} times in a row that there are too many requests",
            "try again later; if it happens often, lower max_concurrency or set requests_per_second of the registry",
        )

    async def _exchange(self, call: _Call, throttle: Throttle) -> Answer:
        async with self._slots:
            if delay := throttle.delay(call.where):
                await self.wait(delay)
            if self._limiter is not None:
                await self._limiter.acquire()
            connection = self._connections.take()
            self.requests += 1
            count(requests=1)
            seconds = self._longest(call.limit)
            try:
                request = httpx.Request(
                    call.method,
                    call.url,
                    headers={**call.headers, "User-Agent": _USER_AGENT, "Accept-Encoding": "identity"},
                    content=call.content,
                    extensions=self._extensions,
                )
                async with asyncio.timeout(seconds):
                    response = await connection.send(request)
                    async with aclosing(response):
                        body = await self._read(response, call.limit, call.where)
            except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
                raise _failure(error, call.where, self._timeout, seconds) from error
            finally:
                self._connections.give_back(connection)
        return Answer(response.status_code, response.headers, body, False)

    def _longest(self, limit: int) -> float:
        """Seconds that a whole exchange may take: a server that sends a byte now and then meets no limit on a wait."""
        return min(10 * self._timeout, 2 * self._timeout + limit / _SLOWEST)

    def _received(self, size: int) -> None:
        self.bytes_received += size
        count(received=size)

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
            self._received(len(response.content))
            if len(response.content) > limit:
                raise _too_large(where, limit)
            return response.content
        chunks: list[bytes] = []
        received = 0
        # A HEAD is read too: only a connection whose answer was read to its end is used again.
        async for chunk in response.aiter_raw():
            received += len(chunk)
            self._received(len(chunk))
            if received > limit:
                raise _too_large(where, limit)
            chunks.append(chunk)
        return b"".join(chunks)


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


def _failure(error: Exception, where: str, wait: float, whole: float) -> ModelyardError | _PassingError:
    """What a failed exchange means; `_PassingError` where it may go better the next time.

    Args:
        wait: seconds that one wait for bytes may take; `whole`: that the exchange may.
    """
    if isinstance(error, httpx.TimeoutException | TimeoutError):
        slow = f"did not answer within {wait:g} s"
        if not isinstance(error, httpx.TimeoutException):
            slow = f"was not done with its answer within {whole:g} s"
        return UnreachableError(where, f"the registry {slow}", "try again, or raise the registry's timeout")
    if isinstance(error, httpx.ProxyError):
        return UnreachableError(where, f"the proxy refuses: {error}", "check the proxy settings")
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
    if tls is not None and _OUR_CERTIFICATE.search(tls.reason or ""):
        return UnreachableError(
            where,
            f"it wants a certificate that it trusts from us ({tls.reason})",
            "give client_certificate and client_key of the registry",
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
