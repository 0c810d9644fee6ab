"""The client against scripted answers: what it asks, what it takes, what it refuses."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.core.errors import (
    AuthenticationError,
    DigestMismatchError,
    LimitExceededError,
    MalformedDataError,
    ModelyardError,
    NotFoundError,
    UnreachableError,
)
from backend.registry import pages
from backend.registry.check import check
from backend.registry.client import referrers_tag
from backend.registry.manifests import DOCKER_LIST, LARGEST_MANIFEST, MANIFEST_TYPES, OCI_INDEX, OCI_MANIFEST, digest_of
from tests.fakes.registry import Handler, Script, answer_manifest, client_of, configured, image_manifest, index_manifest

RAW = image_manifest()
DIGEST = digest_of(RAW)
BLOB = b"content of a blob"


class Pieces(httpx.AsyncByteStream):
    """A body that comes in pieces, as from the network."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = pieces
        self.taken = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            self.taken += 1
            yield piece


def tags(*names: str, **headers: str) -> httpx.Response:
    return httpx.Response(200, json={"name": "a/b", "tags": list(names)}, headers=headers)


def error(status: int, code: str = "", message: str = "") -> httpx.Response:
    return httpx.Response(status, json={"errors": [{"code": code, "message": message}]})


async def test_every_page_of_tags_is_read_by_its_link_as_written() -> None:
    pages = {
        "/v2/a/b/tags/list?n=1000": tags("1", "2", Link='</v2/a/b/tags/list?last=2%2Fx&opaque=a%3D>; rel="next"'),
        "/v2/a/b/tags/list?last=2%2Fx&opaque=a%3D": tags("2", "3", Link="<?third>; rel=next"),
        "/v2/a/b/tags/list?third": tags("4"),
    }
    client = client_of(lambda request: pages[request.url.raw_path.decode()])
    assert await client.tags("a/b") == ["1", "2", "3", "4"]
    assert client.requests == 3


async def test_a_link_with_our_host_and_http_keeps_our_scheme() -> None:
    link = '<http://registry.example/v2/a/b/tags/list?last=1>; rel="next"'
    script = Script(lambda request: tags("2") if b"last" in request.url.query else tags("1", Link=link))
    assert await client_of(script).tags("a/b") == ["1", "2"]
    assert script.lines[1] == "GET https://registry.example/v2/a/b/tags/list?last=1"


@pytest.mark.parametrize(
    "link",
    ["https://evil.example/v2/x", "//evil.example/x", "https://registry.example:444/v2/x", "ftp://registry.example"],
)
async def test_a_link_to_another_host_is_refused(link: str) -> None:
    script = Script(lambda request: tags("1", Link=f'<{link}>; rel="next"'))
    with pytest.raises(MalformedDataError, match="another host"):
        await client_of(script).tags("a/b")
    assert len(script.requests) == 1


async def test_full_pages_without_a_link_go_on_after_the_last_tag() -> None:
    everything = [f"v{number:05}" for number in range(2500)]

    def serve(request: httpx.Request) -> httpx.Response:
        after = request.url.params.get("last", "")
        return tags(*[name for name in everything if name > after][:1000])

    client = client_of(serve)
    assert await client.tags("a/b") == everything
    assert client.requests == 3


async def test_a_registry_that_gives_all_tags_and_ignores_the_question_is_asked_twice_at_most() -> None:
    everything = [f"v{number:05}" for number in range(2500)]
    client = client_of(lambda request: tags(*everything))
    assert await client.tags("a/b") == everything
    assert client.requests == 2


async def test_pages_in_circles_and_pages_without_end_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "MOST_PAGES", 50)
    circle = client_of(lambda request: tags("1", Link='</v2/a/b/tags/list?n=1000>; rel="next"'))
    with pytest.raises(LimitExceededError, match=r"tags of reg/a/b.*do not end"):
        await circle.tags("a/b")
    counter = iter(range(10**9))
    endless = client_of(lambda request: tags("1", Link=f"</v2/a/b/tags/list?page={next(counter)}>; rel=next"))
    with pytest.raises(LimitExceededError):
        await endless.tags("a/b")


BAD_ANSWERS: list[tuple[Handler, type[ModelyardError]]] = [
    (lambda _: httpx.Response(200, html="<html>log in</html>"), MalformedDataError),
    (lambda _: httpx.Response(200, content=b'{"tags": ["a", '), MalformedDataError),
    (lambda _: httpx.Response(200, json={"tags": [1, 2]}), MalformedDataError),
    (lambda _: httpx.Response(200, json=["a"]), MalformedDataError),
    (lambda _: httpx.Response(200, content=b"[" * 100_000), MalformedDataError),
    (lambda _: httpx.Response(200, content=b"\xff"), MalformedDataError),
    (lambda _: httpx.Response(200, stream=Pieces([b"x"]), headers={"Content-Encoding": "gzip"}), MalformedDataError),
    (lambda _: error(404, "NAME_UNKNOWN", "no such"), NotFoundError),
    (lambda _: error(403, "DENIED", "not you"), AuthenticationError),
    (lambda _: httpx.Response(500, content=b"<oops>"), UnreachableError),
    (lambda _: httpx.Response(418), MalformedDataError),
    (lambda _: httpx.Response(302), MalformedDataError),
    (lambda _: httpx.Response(302, headers={"Location": "ftp://x/"}), MalformedDataError),
    (lambda _: httpx.Response(302, headers={"Location": "http://registry.example/"}), MalformedDataError),
    (lambda _: httpx.Response(302, headers={"Location": "https://[::1/"}), MalformedDataError),
    (lambda _: httpx.Response(302, headers={"Location": "https://x:99999/"}), MalformedDataError),
    (lambda _: httpx.Response(302, headers={"Location": "/v2/a/b/tags/list?n=1000"}), LimitExceededError),
    (lambda _: httpx.Response(401), MalformedDataError),
    (lambda _: httpx.Response(401, headers={"WWW-Authenticate": "Negotiate"}), MalformedDataError),
]


@pytest.mark.parametrize(("handler", "kind"), BAD_ANSWERS)
async def test_bad_answers_are_told_with_registry_and_repository(handler: Handler, kind: type[ModelyardError]) -> None:
    with pytest.raises(kind, match="tags of reg/a/b") as caught:
        await client_of(handler).tags("a/b")
    assert type(caught.value) is kind


@pytest.mark.parametrize("name", ["", "../x", "A/b", "a//b", "a/b?x=1", "a\x1b[31m", "x" * 300])
async def test_names_that_are_none_are_never_asked_for(name: str) -> None:
    script = Script(lambda request: tags())
    client = client_of(script)
    for call in (client.tags(name), client.resolve(name, "1"), client.blob(name, DIGEST, 1, 1)):
        with pytest.raises(MalformedDataError, match="registry reg"):
            await call
    with pytest.raises(MalformedDataError, match="neither a tag nor a digest"):
        await client.resolve("a/b", "v1\x1b]0;title\x07")
    assert script.requests == []


async def test_a_tag_is_resolved_by_one_head_with_all_four_types() -> None:
    script = Script(
        lambda request: httpx.Response(
            200,
            headers={
                "Content-Type": f"{OCI_MANIFEST}; charset=utf-8",
                "Docker-Content-Digest": DIGEST,
                "Content-Length": "314",
            },
        )
    )
    descriptor = await client_of(script).resolve("a/b", "1.0")
    assert (descriptor.digest, descriptor.media_type, descriptor.size) == (DIGEST, OCI_MANIFEST, 314)
    assert script.lines == ["HEAD https://registry.example/v2/a/b/manifests/1.0"]
    assert script.requests[0].headers["accept"] == ", ".join(MANIFEST_TYPES)
    assert "authorization" not in script.requests[0].headers


@pytest.mark.parametrize(
    "head", [httpx.Response(200), httpx.Response(405), httpx.Response(200, headers={"Docker-Content-Digest": "x"})]
)
async def test_what_head_does_not_tell_get_does(head: httpx.Response) -> None:
    def serve(request: httpx.Request) -> httpx.Response:
        if request.method == "HEAD":
            return httpx.Response(head.status_code, headers=head.headers)
        return httpx.Response(200, content=RAW, headers={"Content-Type": OCI_MANIFEST})

    descriptor = await client_of(serve).resolve("a/b", "1.0")
    assert (descriptor.digest, descriptor.size) == (DIGEST, len(RAW))


async def test_another_digest_than_asked_for_is_refused() -> None:
    other = digest_of(b"other")
    client = client_of(lambda request: answer_manifest(RAW))
    for call in (client.resolve("a/b", other), client.manifest("a/b", other)):
        with pytest.raises(DigestMismatchError, match="reg/a/b@sha256:"):
            await call
    lying = client_of(lambda request: answer_manifest(RAW, **{"Docker-Content-Digest": other}))
    with pytest.raises(DigestMismatchError):
        await lying.manifest("a/b", "1.0")
    nonsense = client_of(lambda request: answer_manifest(RAW, **{"Docker-Content-Digest": "md5:x"}))
    with pytest.raises(MalformedDataError):
        await nonsense.manifest("a/b", "1.0")


async def test_a_manifest_has_the_type_the_registry_says_or_is_refused() -> None:
    assert (await client_of(lambda r: answer_manifest(RAW)).manifest("a/b", "1")).digest == DIGEST
    with pytest.raises(MalformedDataError, match="calls itself"):
        await client_of(lambda r: answer_manifest(RAW, DOCKER_LIST)).manifest("a/b", "1")
    with pytest.raises(MalformedDataError, match="web page"):
        await client_of(lambda r: answer_manifest(RAW, "text/html")).manifest("a/b", "1")


async def test_a_body_that_is_too_large_is_left_after_the_limit() -> None:
    body = Pieces([b"x" * (1 << 20)] * 100)
    client = client_of(lambda request: httpx.Response(200, stream=body, headers={"Content-Type": OCI_MANIFEST}))
    with pytest.raises(LimitExceededError, match="manifest reg/a/b:1"):
        await client.manifest("a/b", "1")
    assert body.taken == LARGEST_MANIFEST // (1 << 20) + 1


async def test_a_blob_has_its_digest_and_size() -> None:
    client = client_of(lambda request: httpx.Response(200, stream=Pieces([BLOB[:5], BLOB[5:]])))
    assert await client.blob("a/b", digest_of(BLOB), len(BLOB), 1000) == BLOB
    assert await client.blob("a/b", digest_of(BLOB, "sha512"), -1, 1000) == BLOB
    assert client.bytes_received == 2 * len(BLOB)
    with pytest.raises(DigestMismatchError):
        await client.blob("a/b", digest_of(b"other"), len(BLOB), 1000)
    with pytest.raises(LimitExceededError):
        await client.blob("a/b", digest_of(BLOB), len(BLOB) - 1, 1000)
    with pytest.raises(MalformedDataError):
        await client.blob("a/b", digest_of(BLOB), len(BLOB) + 1, 1000)
    asked = client.requests
    with pytest.raises(LimitExceededError):
        await client.blob("a/b", digest_of(BLOB), 1001, 1000)
    assert client.requests == asked


async def test_a_large_blob_is_verified_too() -> None:
    large = b"m" * (5 << 20)
    client = client_of(lambda request: httpx.Response(200, content=large))
    assert await client.blob("a/b", digest_of(large), len(large), len(large)) == large
    with pytest.raises(DigestMismatchError):
        await client.blob("a/b", DIGEST, len(large), len(large))


async def test_referrers_come_from_the_api_page_by_page_and_filtered() -> None:
    def child(name: str, kind: str) -> dict[str, object]:
        return {"mediaType": OCI_MANIFEST, "digest": digest_of(name.encode()), "size": 1, "artifactType": kind}

    def serve(request: httpx.Request) -> httpx.Response:
        more = "page" in request.url.params
        raw = index_manifest(child("b", "sbom"), child("a", "sig")) if more else index_manifest(child("a", "sig"))
        link = {} if more else {"Link": f"</v2/a/b/referrers/{DIGEST}?page=2>; rel=next"}
        return httpx.Response(200, content=raw, headers={"Content-Type": OCI_INDEX, **link})

    client = client_of(serve)
    assert [d.artifact_type for d in await client.referrers("a/b", DIGEST)] == ["sig", "sbom"]
    assert [d.artifact_type for d in await client.referrers("a/b", DIGEST, "sbom")] == ["sbom"]


async def test_without_the_api_referrers_come_from_the_tag_and_the_api_is_not_asked_again() -> None:
    raw = index_manifest({"mediaType": OCI_MANIFEST, "digest": digest_of(b"sig"), "size": 1})

    def serve(request: httpx.Request) -> httpx.Response:
        if "/referrers/" in request.url.path:
            return httpx.Response(404, text="404 page not found")
        return (
            answer_manifest(raw, OCI_INDEX) if request.url.path.endswith(DIGEST[7:]) else error(404, "MANIFEST_UNKNOWN")
        )

    script = Script(serve)
    client = client_of(script)
    assert [d.digest for d in await client.referrers("a/b", DIGEST)] == [digest_of(b"sig")]
    assert await client.referrers("a/b", digest_of(b"unsigned")) == []
    assert [request.url.path.split("/")[4] for request in script.requests] == ["referrers", "manifests", "manifests"]


async def test_a_referrers_tag_that_names_an_image_is_no_list_of_referrers() -> None:
    client = client_of(lambda r: error(404) if "/referrers/" in r.url.path else answer_manifest(RAW))
    assert await client.referrers("a/b", DIGEST) == []


def test_the_referrers_tag_is_cut_as_the_specification_says() -> None:
    assert referrers_tag(DIGEST) == DIGEST.replace(":", "-")
    assert referrers_tag("sha512:" + "a" * 128) == "sha512-" + "a" * 64


async def test_a_registrys_warning_is_kept_once() -> None:
    client = client_of(lambda request: tags("1", Warning='299 - "deprecated, move to new.example"'))
    await client.tags("a/b")
    await client.tags("a/b")
    assert client.warnings == ('299 - "deprecated, move to new.example"',)


async def test_the_catalogue_is_read_like_tags() -> None:
    client = client_of(lambda request: httpx.Response(200, json={"repositories": ["a/b", "c"]}))
    assert await client.catalog() == ["a/b", "c"]


@pytest.mark.parametrize(
    ("answer", "state", "text"),
    [
        (
            httpx.Response(200, json={}, headers={"Docker-Distribution-Api-Version": "registry/2.0"}),
            "ok",
            "registry/2.0",
        ),
        (httpx.Response(200, html="<html></html>"), "failed", "web page"),
        (httpx.Response(404), "failed", "registry protocol"),
        (httpx.Response(401, headers={"WWW-Authenticate": 'Basic realm="x"'}), "warning", "user name"),
        (httpx.Response(503), "failed", "503"),
    ],
)
async def test_doctor_tells_how_it_stands_with_a_registry(answer: httpx.Response, state: str, text: str) -> None:
    client = client_of(
        lambda request: httpx.Response(answer.status_code, content=answer.read(), headers=answer.headers)
    )
    told = await check(client)
    assert (told.name, told.state) == ("registry reg", state)
    assert text in told.detail


async def test_no_more_requests_at_once_than_configured() -> None:
    running = 0
    most = 0
    together = asyncio.Barrier(3)

    async def serve(request: httpx.Request) -> httpx.Response:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await together.wait()
        running -= 1
        return answer_manifest(RAW)

    client = client_of(serve, config=configured(max_concurrency=3))
    await asyncio.gather(*(client.resolve("a/b", f"t{number}") for number in range(30)))
    assert most == 3
    await client.close()


HOSTILE_NAMES = (
    "../../etc/passwd",
    "\x1b]0;title\x07",
    "a b",
    "v1\n",
    "x" * 10_000,
    "",
    "\u202e1.0",
    "-v1",
    "%2e%2e",
)


async def test_hostile_tags_are_listed_as_they_are_and_never_asked_for() -> None:
    body = json.dumps({"name": "a/b", "tags": [*HOSTILE_NAMES, "v1"]}).encode()
    script = Script(lambda r: httpx.Response(200, content=body) if r.method == "GET" else answer_manifest(RAW))
    client = client_of(script)
    listed = await client.tags("a/b")
    assert len(listed) == len(HOSTILE_NAMES) + 1
    script.requests.clear()
    for name in listed[:-1]:
        with pytest.raises(MalformedDataError, match="neither a tag nor a digest") as caught:
            await client.resolve("a/b", name)
        assert len(str(caught.value)) < 400
    assert script.requests == []
    await client.resolve("a/b", "v1")


async def test_hostile_repositories_of_a_catalogue_are_never_asked_for() -> None:
    body = json.dumps({"repositories": [*HOSTILE_NAMES, "a/b"]}).encode()
    script = Script(lambda r: httpx.Response(200, content=body))
    client = client_of(script)
    for name in (await client.catalog())[:-1]:
        for call in (client.tags(name), client.referrers(name, DIGEST)):
            with pytest.raises(MalformedDataError, match="registry reg") as caught:
                await call
            assert len(str(caught.value)) < 400
    assert len(script.requests) == 1


@given(st.text(max_size=40), st.text(max_size=40))
def test_no_name_leaves_the_path_that_it_stands_in(repository: str, reference: str) -> None:
    """Whatever is asked for, a request that goes out has no `..`, no query and nothing to decode in its path."""
    script = Script(lambda request: answer_manifest(RAW))

    async def ask() -> None:
        with suppress(ModelyardError):
            await client_of(script).resolve(repository, reference)

    asyncio.run(ask())
    for request in script.requests:
        assert request.url.raw_path.decode() == f"/v2/{repository}/manifests/{reference}"
        assert ".." not in request.url.path.split("/")


@pytest.mark.parametrize("body", [b'{"name": "a/b", "tags": null}', b'{"name": "a/b"}', b'{"tags": []}'])
async def test_a_repository_without_tags_has_none(body: bytes) -> None:
    assert await client_of(lambda r: httpx.Response(200, content=body)).tags("a/b") == []


@pytest.mark.parametrize(("applied", "found"), [({"OCI-Filters-Applied": "artifactType"}, 2), ({}, 1)])
async def test_who_says_that_it_filtered_is_believed_and_others_are_filtered_here(
    applied: dict[str, str], found: int
) -> None:
    """Descriptors of older pushes lack the type by which they were found."""
    plain = {"mediaType": OCI_MANIFEST, "digest": digest_of(b"old"), "size": 1}
    typed = {"mediaType": OCI_MANIFEST, "digest": digest_of(b"new"), "size": 1, "artifactType": "sbom"}
    raw = index_manifest(plain, typed)
    script = Script(lambda r: httpx.Response(200, content=raw, headers={"Content-Type": OCI_INDEX, **applied}))
    client = client_of(script)
    assert len(await client.referrers("a/b", DIGEST, "sbom")) == found
    assert script.requests[0].url.params["artifactType"] == "sbom"
    assert len(await client.referrers("a/b", DIGEST)) == 2
