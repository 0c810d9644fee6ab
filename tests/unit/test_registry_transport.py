"""When requests are repeated, waited for or given up."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path

import httpx
import pytest
import stamina

from backend.core.errors import ConfigurationError, ModelyardError, UnreachableError
from backend.core.ports import SystemClock
from backend.registry.client import RegistryClient
from backend.registry.transport import origin_of
from tests.fakes.registry import (
    FixedCredentials,
    PausableClock,
    Script,
    answer_manifest,
    client_of,
    configured,
    image_manifest,
)

MANIFEST = image_manifest()


@pytest.fixture(autouse=True)
def no_waiting() -> Iterator[None]:
    """Repetitions follow each other at once."""
    with stamina.set_testing(True, attempts=2, cap=True):
        yield


def scripted(*answers: int | Exception | dict[str, str]) -> Script:
    """Answers in this order, then well: a status, an exception, or 429 with these headers."""
    left = list(answers)

    def serve(request: httpx.Request) -> httpx.Response:
        if not left:
            return answer_manifest(MANIFEST)
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, dict):
            return httpx.Response(429, headers=answer)
        return httpx.Response(answer)

    return Script(serve)


BROKEN = httpx.RemoteProtocolError("Server disconnected without sending a response.")


@pytest.mark.parametrize("answers", [(502,), (503, 504), (BROKEN,), (httpx.ReadError("reset"), 502)])
async def test_what_passes_is_tried_again(answers: tuple[int | Exception, ...]) -> None:
    script = scripted(*answers)
    await client_of(script).resolve("a/b", "1")
    assert len(script.requests) == len(answers) + 1


@pytest.mark.parametrize(
    ("answer", "requests"),
    [
        (502, 3),
        (BROKEN, 3),
        (httpx.ConnectError("refused"), 3),
        (500, 1),
        (httpx.ReadTimeout("slow"), 1),
        (httpx.ConnectTimeout("slow"), 1),
        (httpx.ProxyError("407 Proxy Authentication Required"), 1),
    ],
)
async def test_what_stays_is_given_up_after_a_few_times(answer: int | Exception, requests: int) -> None:
    script = scripted(*[answer] * 20)
    with pytest.raises(UnreachableError, match="manifest reg/a/b:1"):
        await client_of(script).resolve("a/b", "1")
    assert len(script.requests) == requests


async def test_a_registry_that_asks_to_wait_is_waited_for() -> None:
    clock = PausableClock()
    date = format_datetime(clock.now() + timedelta(seconds=7 + 5), usegmt=True)
    script = scripted({"Retry-After": "7"}, {"Retry-After": date}, {}, {"Retry-After": "nonsense"})
    await client_of(script, clock=clock).resolve("a/b", "1")
    assert clock.slept == [7, 5, 4, 8]


async def test_everyone_waits_when_one_is_told_to() -> None:
    clock = PausableClock()
    script = scripted({"Retry-After": "30"})
    client = client_of(script, clock=clock, config=configured(max_concurrency=1))
    await asyncio.gather(client.resolve("a/b", "1"), client.resolve("a/b", "2"))
    assert clock.slept == [30]
    assert len(script.requests) == 3


@pytest.mark.parametrize(
    ("wait", "until"), [("3600", "2026-03-01 13:00:00 UTC"), ("9" * 60, "2027-03-01"), ("100", "12:01:40")]
)
async def test_a_wait_that_is_too_long_is_told_instead(wait: str, until: str) -> None:
    clock = PausableClock()
    with pytest.raises(UnreachableError, match=until):
        await client_of(scripted({"Retry-After": wait}), clock=clock).resolve("a/b", "1")
    assert clock.slept == []


async def test_a_registry_that_never_has_time_is_given_up() -> None:
    script = scripted(*[{"Retry-After": "1"}] * 50)
    with pytest.raises(UnreachableError, match="too many requests"):
        await client_of(script).resolve("a/b", "1")
    assert len(script.requests) == 5


class Dripping(httpx.AsyncByteStream):
    """A body that never ends and comes a byte at a time."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            await asyncio.sleep(0.001)
            yield b"x"


async def test_a_body_that_drips_for_ever_is_given_up() -> None:
    client = client_of(lambda r: httpx.Response(200, stream=Dripping()), config=configured(timeout="10ms"))
    with pytest.raises(UnreachableError, match=r"was not done with its answer within 0\.1 s"):
        await client.manifest("a/b", "1")


async def test_a_certificate_that_is_not_trusted_is_told_and_not_tried_again() -> None:
    def serve(_: httpx.Request) -> httpx.Response:
        refused = ssl.SSLCertVerificationError()
        refused.verify_message = "self-signed certificate"
        raise httpx.ConnectError("TLS") from refused

    script = Script(serve)
    with pytest.raises(UnreachableError, match=r"not trusted: self-signed certificate; .*`ca`"):
        await client_of(script).resolve("a/b", "1")
    assert len(script.requests) == 1


@pytest.mark.parametrize(
    ("prepare", "why"),
    [
        (lambda path: None, "No such file"),
        (lambda path: path.write_text("no certificate"), "no PEM certificate"),
    ],
)
async def test_a_certificate_authority_that_cannot_be_used_is_told(
    tmp_path: Path, prepare: Callable[[Path], object], why: str
) -> None:
    prepare(tmp_path / "ca.pem")
    client = RegistryClient(
        configured(ca=Path("ca.pem")), credentials=FixedCredentials(None), clock=SystemClock(), base=tmp_path
    )
    with pytest.raises(ConfigurationError, match=why):
        await client.ping()
    await client.close()


async def test_a_proxy_that_cannot_be_used_is_told_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "gopher://robin:s3cret@proxy.example")
    client = RegistryClient(configured(), credentials=FixedCredentials(None), clock=SystemClock())
    with pytest.raises(ConfigurationError, match="HTTPS_PROXY") as caught:
        await client.ping()
    error: BaseException | None = caught.value
    while error is not None:
        assert "s3cret" not in f"{error}{error!r}"
        error = error.__cause__
    await client.close()


async def test_requests_keep_to_the_configured_rate() -> None:
    loop = asyncio.get_running_loop()
    client = client_of(lambda r: answer_manifest(MANIFEST), config=configured(requests_per_second=50))
    await client.resolve("a/b", "0")
    started = loop.time()
    await asyncio.gather(*(client.resolve("a/b", str(number)) for number in range(5)))
    assert loop.time() - started >= 4 / 50


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://A.example/x", ("https", "a.example")),
        ("https://a.example:443", ("https", "a.example")),
        ("http://a.example:80", ("http", "a.example")),
        ("http://a.example:443", ("http", "a.example:443")),
        ("https://user@evil.example", ("https", "evil.example")),
    ],
)
def test_the_origin_tells_hosts_apart(url: str, origin: tuple[str, str]) -> None:
    assert origin_of(url) == origin


async def test_errors_are_of_the_tree_whatever_the_network_does() -> None:
    for failure in (
        httpx.InvalidURL("x"),
        httpx.UnsupportedProtocol("x"),
        OSError(5, "Input/output error"),
        UnicodeError(),
    ):
        with pytest.raises(ModelyardError, match="manifest reg/a/b:1"):
            await client_of(scripted(*[failure] * 9)).resolve("a/b", "1")
