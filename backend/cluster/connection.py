"""A connection to one API server: kubeconfig and credentials in, raw bytes out. Nothing here blocks the event loop.

Requests go through one aiohttp session of our own: kubernetes' generated clients decode every field into models, which
stalls the loop for half a second per thousand pods.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode, urlsplit

import msgspec

from backend.cluster.credentials import Credential, is_loopback, load_credential
from backend.cluster.kubeconfig import KubeContext, kubeconfig_paths, read_context
from backend.cluster.sign_in import Reread, SignIn
from backend.core.errors import LimitExceededError, ModelyardError, UnreachableError
from backend.core.ports import Clock
from backend.core.text import sanitise

if TYPE_CHECKING:
    import aiohttp

_CONNECT_TIMEOUT: Final = 10.0
_TOTAL_TIMEOUT: Final = 60.0
#: Largest answer that is taken whole; a page of 500 objects of KServe is below 2 MB.
_MAX_BODY: Final = 256 * 1024 * 1024
#: How often a request that the server is too busy for is sent again, and how long its Retry-After may let us wait.
_BUSY_RETRIES: Final = 3
_MAX_RETRY_AFTER: Final = 10.0
#: Seconds until the answer to a streaming request must have begun.
_HEADERS_TIMEOUT: Final = 30.0

Sleep = Callable[[float], Awaitable[None]]


class Response(msgspec.Struct, frozen=True):
    """An answer read whole: status, headers with lower-case names, body."""

    status: int
    headers: dict[str, str]
    body: bytes


class Streaming(msgspec.Struct, frozen=True):
    """An answer that goes on: status, headers with lower-case names, and its bytes as they come."""

    status: int
    headers: dict[str, str]
    chunks: AsyncIterator[bytes]

    @property
    def retry_after(self) -> float:
        """Seconds that the server asks to be left alone for, at most 10; 0 when it does not ask."""
        return _retry_after(self.headers) if "retry-after" in self.headers else 0.0


class ClusterConnection:
    """Sends requests to the API server of one context of a kubeconfig.

    Attributes:
        clock_skew: how far the server's clock is ahead of ours by the last answer's `Date`, which is exact to a second
            and the time that the answer took; None before the first.
        requests, bytes_received: counted since it was opened; a watch is one request.
    """

    def __init__(
        self,
        context: KubeContext,
        credential: Credential,
        session: aiohttp.ClientSession,
        *,
        clock: Clock,
        sleep: Sleep = asyncio.sleep,
        reread: Reread | None = None,
    ) -> None:
        """
        Args:
            reread: reads the context from its kubeconfig again, for when somebody signs in anew there.
        """
        self.clock_skew: timedelta | None = None
        self.requests = 0
        self.bytes_received = 0
        self._sign_in = SignIn(context, credential, clock=clock, reread=reread)
        self._session = session
        self._clock = clock
        self._sleep = sleep
        # A cluster on this machine gains nothing from compression, and pays for it in both processes.
        near = is_loopback(urlsplit(context.server).hostname or "")
        self._encoding = "identity" if near else "gzip"

    @classmethod
    async def open(
        cls, context: str | None = None, kubeconfig: Path | None = None, *, clock: Clock, sleep: Sleep = asyncio.sleep
    ) -> ClusterConnection:
        """Read the kubeconfig and its credentials. The server is not asked anything yet.

        Args:
            context: a name, or None: the current one.
            kubeconfig: a file, or None: `$KUBECONFIG`, or `~/.kube/config`.

        Raises:
            ConfigurationError: the kubeconfig is missing, unreadable or malformed, or has no such context.
            AuthenticationError: its exec plugin failed.
        """
        paths = kubeconfig_paths(kubeconfig, os.environ)
        chosen = await asyncio.to_thread(read_context, paths, context)
        credential = await load_credential(chosen)
        session = await _new_session()
        # By its name, since the current one may be another by then.
        return cls(
            chosen, credential, session, clock=clock, sleep=sleep, reread=lambda: read_context(paths, chosen.name)
        )

    @property
    def context(self) -> KubeContext:
        """The context that it serves."""
        return self._sign_in.context

    @property
    def authority_hash(self) -> str:
        """`sha256:` of the certificate authority that the server must be signed by, or empty."""
        return self._sign_in.credential.authority_hash

    @property
    def impersonates(self) -> str:
        """Whom the kubeconfig makes us act as, or empty."""
        return self.context.impersonates

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        limit: int = _MAX_BODY,
        patience: float = _TOTAL_TIMEOUT,
    ) -> Response:
        """Send a request and read its answer, whatever its status.

        A request that the server is too busy for (429), and a GET that it cannot serve just now (503 with Retry-After),
        is sent again after its Retry-After: neither was looked at. One that is refused with 401 is sent once more when
        the credential could be renewed, or somebody has signed in anew.

        Args:
            path: below the server, percent-encoded.
            limit: bytes of the answer that are taken.
            patience: seconds for everything.

        Raises:
            UnreachableError: no answer came.
            LimitExceededError: the answer is larger than `limit`.
            AuthenticationError, ConfigurationError: the credential could not be renewed.
        """
        headers = {"Accept": accept, "Accept-Encoding": self._encoding}
        if body is not None:
            headers["Content-Type"] = content_type
        renewed = False
        busy = 0
        while True:
            credential = await self._sign_in.current()
            response = await self._exchange(method, path, params, body, headers, credential, limit, patience)
            if response.status == 401 and not renewed and await self._sign_in.renew(credential):
                renewed = True
                continue
            if _is_busy(method, response) and busy < _BUSY_RETRIES:
                busy += 1
                await self._sleep(_retry_after(response.headers))
                continue
            return response

    @asynccontextmanager
    async def stream(
        self, path: str, *, params: Mapping[str, str], silence: float | None, accept: str = "application/json"
    ) -> AsyncIterator[Streaming]:
        """GET an answer that goes on, with a credential that is renewed as by `request`.

        Args:
            silence: seconds without a byte after which it counts as lost. None: it may be silent for ever, and a server
                that vanished is found by TCP's own probes.

        Raises:
            UnreachableError: no answer came, it broke off, or it fell silent.
        """
        import aiohttp

        limits = aiohttp.ClientTimeout(total=None, connect=_CONNECT_TIMEOUT, sock_read=silence)
        headers = {"Accept": accept, "Accept-Encoding": "identity"}
        try:
            credential = await self._sign_in.current()
            answer = await self._begin(path, params, limits, headers, credential)
            if answer.status == 401 and await self._sign_in.renew(credential):
                answer.release()
                answer = await self._begin(path, params, limits, headers, self._sign_in.credential)
            async with answer:
                if silence is None:
                    _probe_peer(answer)
                yield Streaming(answer.status, _named(answer), self._chunks(answer))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._unreachable(error, silence) from error

    async def _begin(
        self,
        path: str,
        params: Mapping[str, str],
        limits: aiohttp.ClientTimeout,
        headers: Mapping[str, str],
        credential: Credential,
    ) -> aiohttp.ClientResponse:
        """Send a GET, and wait for the head of its answer."""
        self.requests += 1
        async with asyncio.timeout(_HEADERS_TIMEOUT):
            answer = await self._session.get(
                self._address(path, params), timeout=limits, **self._options(headers, credential)
            )
        self._note_date(answer)
        return answer

    async def close(self) -> None:
        """Close every connection; what is in flight ends with an error."""
        await self._session.close()

    async def _chunks(self, answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
        async for chunk in answer.content.iter_any():
            self.bytes_received += len(chunk)
            yield chunk

    async def _exchange(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None,
        body: bytes | None,
        headers: Mapping[str, str],
        credential: Credential,
        limit: int,
        patience: float,
    ) -> Response:
        import aiohttp

        limits = aiohttp.ClientTimeout(total=patience, connect=min(_CONNECT_TIMEOUT, patience))
        self.requests += 1
        try:
            async with self._session.request(
                method, self._address(path, params), data=body, timeout=limits, **self._options(headers, credential)
            ) as answer:
                self._note_date(answer)
                content = await self._read(answer, limit, path)
                return Response(answer.status, _named(answer), content)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._unreachable(error, patience) from error

    async def _read(self, answer: aiohttp.ClientResponse, limit: int, path: str) -> bytes:
        parts: list[bytes] = []
        size = 0
        async for chunk in answer.content.iter_any():
            size += len(chunk)
            self.bytes_received += len(chunk)
            if size > limit:
                raise LimitExceededError(
                    f"answer of {self.context.server}{path}",
                    f"it is larger than {limit} bytes",
                    "ask for less, or look at it with kubectl",
                )
            parts.append(chunk)
        return b"".join(parts)

    def _address(self, path: str, params: Mapping[str, str] | None) -> Any:
        from yarl import URL

        query = f"?{urlencode(params)}" if params else ""
        return URL(f"{self.context.server}{path}{query}", encoded=True)

    def _options(self, headers: Mapping[str, str], credential: Credential) -> dict[str, Any]:
        options: dict[str, Any] = {"headers": {**headers, **credential.headers}, "allow_redirects": False}
        if credential.tls is not None:
            options["ssl"] = credential.tls
            options["server_hostname"] = credential.server_name
        if credential.proxy is not None:
            options["proxy"] = credential.proxy
        return options

    def _note_date(self, answer: aiohttp.ClientResponse) -> None:
        try:
            told = parsedate_to_datetime(answer.headers["Date"])
        except (KeyError, ValueError):
            return
        if told.tzinfo is not None:
            self.clock_skew = told - self._clock.now()

    def _unreachable(self, error: Exception, seconds: float | None) -> ModelyardError:
        import aiohttp

        what = f"cluster of context {self.context.name}"
        server = self.context.server
        if isinstance(error, TimeoutError):
            return UnreachableError(
                what,
                f"{server} sent nothing for {seconds or _CONNECT_TIMEOUT:g} s",
                "check the network, or whether the server is overloaded",
            )
        if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
            return UnreachableError(
                what,
                f"the certificate of {server} is not trusted: {sanitise(str(error), 300)}",
                "check certificate-authority in the kubeconfig",
            )
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return UnreachableError(
            what,
            f"{server} cannot be reached: {sanitise(reason, 300)}",
            "check that the cluster runs, the network and the address in the kubeconfig",
        )


def _named(answer: aiohttp.ClientResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in answer.headers.items()}


def _is_busy(method: str, response: Response) -> bool:
    """Whether the server did not look at the request and says when to ask again."""
    if response.status == 429:
        return True
    return response.status == 503 and method == "GET" and "retry-after" in response.headers


async def _new_session() -> aiohttp.ClientSession:
    aiohttp = await asyncio.to_thread(_import_aiohttp)
    # A large buffer: the default hands out list pages in pieces of 64 KiB.
    session: Any = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=100),
        cookie_jar=aiohttp.DummyCookieJar(),
        read_bufsize=2**20,
        trust_env=False,
    )
    return session  # type: ignore[no-any-return]


def _probe_peer(answer: aiohttp.ClientResponse) -> None:
    """Let the kernel ask a silent peer whether it is still there, and give up after about two minutes."""
    transport = answer.connection.transport if answer.connection is not None else None
    peer = transport.get_extra_info("socket") if transport is not None else None
    if peer is None:
        return
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, name):
            peer.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _import_aiohttp() -> Any:
    import aiohttp

    return aiohttp


def _retry_after(headers: Mapping[str, str]) -> float:
    try:
        return min(max(float(headers.get("retry-after", "1")), 0.1), _MAX_RETRY_AFTER)
    except ValueError:
        return 1.0
