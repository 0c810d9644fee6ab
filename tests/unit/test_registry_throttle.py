"""Registries that refuse for long, that count what is pulled, and that never come to an end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.core.errors import LimitExceededError, UnreachableError
from backend.registry import pages
from backend.registry.check import check
from backend.registry.client import RegistryClient
from backend.registry.headers import read_allowance
from backend.registry.manifests import OCI_INDEX, OCI_MANIFEST, digest_of
from backend.registry.throttle import Quota, Throttle
from tests.fakes.registry import (
    FixedCredentials,
    PausableClock,
    Script,
    answer_manifest,
    client_of,
    configured,
    image_manifest,
    index_manifest,
)

RAW = image_manifest()


def told(limit: int, remaining: int, window: int = 21600) -> dict[str, str]:
    """As Docker Hub tells it."""
    return {"ratelimit-limit": f"{limit};w={window}", "ratelimit-remaining": f"{remaining};w={window}"}


# ---------------------------------------------------------------- what the headers tell


@given(st.integers(1, 10**9), st.integers(0, 10**9), st.integers(1, 10**8))
def test_an_allowance_is_read_back_as_docker_hub_writes_it(limit: int, remaining: int, window: int) -> None:
    assert read_allowance(f"{limit};w={window}", f" {remaining} ; w={window}") == (limit, remaining, window)
    assert read_allowance(str(limit), str(remaining)) == (limit, remaining, None)
    assert read_allowance(f"{limit}, {limit};w={window}", str(remaining)) == (limit, remaining, window)


@given(st.none() | st.text(max_size=40), st.none() | st.text(alphabet="0123456789;w=, .", max_size=40))
def test_no_text_breaks_the_reader_of_allowances(limit: str | None, remaining: str | None) -> None:
    for pair in ((limit, remaining), (remaining, limit), (remaining, remaining)):
        read = read_allowance(*pair)
        assert read is None or (read.limit > 0 and read.remaining >= 0)


@pytest.mark.parametrize(
    ("limit", "remaining"),
    [(None, "5"), ("100", None), ("", "5"), ("many", "5"), ("-1", "5"), ("1.5", "1"), ("0", "0")],
)
def test_what_is_no_allowance_is_none(limit: str | None, remaining: str | None) -> None:
    assert read_allowance(limit, remaining) is None


# ---------------------------------------------------------------- what is done about them


@given(st.lists(st.integers(0, 200), max_size=40), st.integers(11, 1000))
def test_pulls_never_use_up_what_is_left(answers: list[int], limit: int) -> None:
    quota, left = Quota(PausableClock()), limit
    for answer in answers:
        left = min(left, answer)
        quota.note(told(limit, left))
        try:
            quota.take("manifest x")
        except UnreachableError:
            assert left <= max(1, limit // 10)
        else:
            left -= 1
            assert left > 0


async def test_a_tenth_of_what_docker_hub_allows_is_left_to_clusters_and_heads_go_on() -> None:
    clock = PausableClock()
    left = 13

    def serve(request: httpx.Request) -> httpx.Response:
        nonlocal left
        left -= request.method == "GET"
        return answer_manifest(RAW, **told(100, left))

    script = Script(serve)
    client = client_of(script, clock=clock)
    for number in range(3):
        await client.manifest("a/b", f"t{number}")
    with pytest.raises(UnreachableError, match=r"manifest reg/a/b:t3.*10 of 100 pulls in 6h left.*2026-03-01 18:00:00"):
        await client.manifest("a/b", "t3")
    await client.resolve("a/b", "t3")
    assert [request.method for request in script.requests] == ["GET"] * 3 + ["HEAD"]
    assert client.quota == "10 of 100 pulls in 6h left"
    clock.advance(seconds=21_601)
    assert client.quota == ""
    await client.manifest("a/b", "t3")


async def test_many_at_once_do_not_pull_more_than_one_after_the_other() -> None:
    async def serve(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0)
        return answer_manifest(RAW, **(told(100, 14) if request.method == "HEAD" else {}))

    client = client_of(serve, config=configured(max_concurrency=16))
    await client.resolve("a/b", "1")
    done = await asyncio.gather(*(client.manifest("a/b", f"t{n}") for n in range(16)), return_exceptions=True)
    assert sum(not isinstance(each, BaseException) for each in done) == 4


async def test_a_short_window_is_waited_for() -> None:
    clock = PausableClock()
    client = client_of(lambda request: answer_manifest(RAW, **told(20, 2, 60)), clock=clock)
    for number in range(3):
        await client.manifest("a/b", f"t{number}")
    assert clock.slept == [60, 60]


async def test_what_is_told_without_a_window_is_shown_and_holds_nothing_up() -> None:
    headers = {"RateLimit-Limit": "500", "RateLimit-Remaining": "0"}
    client = client_of(lambda request: answer_manifest(RAW, **headers))
    await client.manifest("a/b", "1")
    await client.manifest("a/b", "1")
    assert client.quota == "0 of 500 pulls left"
    assert "0 of 500 pulls left" in (await check(client)).detail


async def test_storage_that_a_registry_redirects_to_tells_nothing_of_the_registry() -> None:
    def serve(request: httpx.Request) -> httpx.Response:
        if request.url.host == "storage.example":
            return answer_manifest(RAW, **told(10, 0))
        return httpx.Response(307, headers={"Location": "https://storage.example/x"})

    client = client_of(serve)
    await client.manifest("a/b", "1")
    assert client.quota == ""


# ---------------------------------------------------------------- refusals that last


async def test_a_registry_that_refuses_for_an_hour_is_not_asked_again_in_that_hour() -> None:
    clock = PausableClock()
    script = Script(lambda r: httpx.Response(429, headers={"Retry-After": "3600"}))
    client = client_of(script, clock=clock)
    for number in range(50):
        with pytest.raises(UnreachableError, match="asks to wait until 2026-03-01 13:00:00 UTC; try again then"):
            await client.resolve("a/b", f"t{number}")
    assert len(script.requests) == 1
    assert clock.slept == []
    script.handler = lambda r: answer_manifest(RAW)
    clock.advance(seconds=3601)
    await client.resolve("a/b", "1")


async def test_a_run_that_is_refused_again_and_again_ends_in_minutes() -> None:
    clock = PausableClock()
    script = Script(lambda r: httpx.Response(429, headers={"Retry-After": "60"}))
    client = client_of(script, clock=clock)
    began = clock.monotonic()
    for number in range(1000):
        with pytest.raises(UnreachableError, match="429"):
            await client.resolve("a/b", f"t{number}")
    assert clock.monotonic() - began <= 120
    assert len(script.requests) <= 4


async def test_a_wait_is_told_once_for_all_that_wait() -> None:
    clock = PausableClock()
    told: list[float] = []
    first = True

    def serve(request: httpx.Request) -> httpx.Response:
        nonlocal first
        refused, first = first, False
        return httpx.Response(429, headers={"Retry-After": "30"}) if refused else answer_manifest(RAW)

    client = RegistryClient(
        configured(max_concurrency=1),
        credentials=FixedCredentials(None),
        clock=clock,
        sleep=clock.sleep,
        waiting=told.append,
        transport=httpx.MockTransport(serve),
    )
    await asyncio.gather(*(client.resolve("a/b", f"t{number}") for number in range(5)))
    assert told == [30]


async def test_one_good_answer_brings_patience_back() -> None:
    clock = PausableClock()
    refusals = 0

    def serve(request: httpx.Request) -> httpx.Response:
        nonlocal refusals
        refusals += 1
        return answer_manifest(RAW) if refusals % 3 == 0 else httpx.Response(429, headers={"Retry-After": "40"})

    client = client_of(serve, clock=clock)
    for number in range(10):
        await client.resolve("a/b", f"t{number}")
    assert clock.slept == [40] * 20


async def test_pulls_that_are_refused_do_not_hold_up_what_is_no_pull() -> None:
    def serve(request: httpx.Request) -> httpx.Response:
        refused = httpx.Response(429, headers={"Retry-After": "7200"})
        return answer_manifest(RAW) if request.method == "HEAD" else refused

    client = client_of(serve)
    for _ in range(2):
        await client.resolve("a/b", "1")
        with pytest.raises(UnreachableError, match="14:00:00"):
            await client.manifest("a/b", "1")


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 200)), max_size=30))
def test_no_sequence_of_refusals_makes_one_wait_long(refusals: list[tuple[float, float]]) -> None:
    clock = PausableClock()
    throttle = Throttle(clock)
    waited = 0.0
    for asked, passed in refusals:
        throttle.refused(429, asked)
        try:
            delay = throttle.delay("x")
        except UnreachableError:
            delay = 0.0
        assert 0 <= delay <= 90
        waited += delay
        clock.advance(seconds=delay if delay else passed)
    assert waited <= 120 * (1 + len(refusals))


# ---------------------------------------------------------------- lists that last


class Slow(httpx.AsyncByteStream):
    """A page that takes its time, though never too much of it."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        await asyncio.sleep(0.02)
        yield b'{"tags": ["a"]}'


async def test_a_list_whose_pages_come_steadily_and_never_end_is_given_up_in_time() -> None:
    counter = iter(range(10**9))
    client = client_of(
        lambda r: httpx.Response(
            200, stream=Slow(), headers={"Link": f"</v2/a/b/tags/list?x={next(counter)}>; rel=next"}
        ),
        config=configured(timeout="10ms"),
    )
    with pytest.raises(LimitExceededError, match=r"tags of reg/a/b.*do not end within 0\.6 s"):
        await client.tags("a/b")


async def test_names_are_bounded_in_all_and_not_only_in_number() -> None:
    counter = iter(range(10**9))

    def serve(request: httpx.Request) -> httpx.Response:
        names = [f"{next(counter)}{'x' * 10_000}" for _ in range(700)]
        return httpx.Response(200, json={"tags": names}, headers={"Link": f"<?{next(counter)}>; rel=next"})

    client = client_of(serve)
    with pytest.raises(LimitExceededError, match="do not end"):
        await client.tags("a/b")
    assert client.requests < 10


async def test_referrers_that_page_for_ever_without_telling_any_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "MOST_PAGES", 50)
    counter = iter(range(10**9))
    raw = index_manifest()
    client = client_of(
        lambda r: httpx.Response(
            200, content=raw, headers={"Content-Type": OCI_INDEX, "Link": f"<?page={next(counter)}>; rel=next"}
        )
    )
    with pytest.raises(LimitExceededError, match="referrers of reg/a/b"):
        await client.referrers("a/b", digest_of(RAW))


async def test_a_manifest_that_points_at_too_much_is_refused() -> None:
    child = {"mediaType": "x", "digest": digest_of(b"x"), "size": 1}
    client = client_of(lambda r: answer_manifest(index_manifest(*[child] * 4_001), OCI_INDEX))
    with pytest.raises(LimitExceededError, match="4000"):
        await client.manifest("a/b", "1")


async def test_answers_as_large_as_are_taken_do_not_hold_up_the_event_loop() -> None:
    child = {"mediaType": OCI_MANIFEST, "digest": digest_of(b"x"), "size": 1, "annotations": {"x": "y" * 800}}
    index = index_manifest(*[child] * 3_900)
    names = [f"v1.{number}.0-ubuntu2404-0a1b2c3d" for number in range(200_000)]
    page = json.dumps({"tags": names}).encode()

    def serve(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=page) if "/tags/" in request.url.path else answer_manifest(index, OCI_INDEX)

    client = client_of(serve)
    beats: list[float] = []
    loop = asyncio.get_running_loop()

    async def beat() -> None:
        while True:
            beats.append(loop.time())
            await asyncio.sleep(0.005)

    heart = asyncio.create_task(beat())
    assert await client.tags("a/b") == names
    assert len((await client.manifest("a/b", "1")).manifests) == 3_900
    heart.cancel()
    # Decoding holds the interpreter for some of it; done on the loop, it would stand still for all of it.
    assert len(beats) > 5
