"""The demo's registry over real HTTP: what OCI distribution-spec 1.1 and the token protocol promise."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator

import httpx
import pytest

from backend.demo.catalogue_layers import UBUNTU_2204
from backend.demo.images import SERVED, DemoImages, build_images
from backend.demo.images_artifacts import HOSTILE, UNREADABLE_TAGS
from backend.demo.images_oci import OCI_INDEX, OCI_MANIFEST
from tests.fakes.demo_registry import DemoRegistry, running_registry

NIM, NIM_TAG = SERVED[0]
VLLM = "vllm/vllm-openai"
ANY = f"{OCI_INDEX}, {OCI_MANIFEST}"


@pytest.fixture(scope="module")
def images() -> DemoImages:
    return build_images(7)


@pytest.fixture
async def registry(images: DemoImages) -> AsyncIterator[DemoRegistry]:
    async with running_registry(images) as running:
        yield running


def next_page(answer: httpx.Response) -> str | None:
    link = answer.headers.get("Link")
    if link is None:
        return None
    found = re.fullmatch(r'<([^>]*)>; rel="next"', link)
    assert found
    return found[1]


async def all_pages(registry: DemoRegistry, path: str, token: str) -> list[httpx.Response]:
    answers = []
    following: str | None = path
    while following:
        answer = await registry.client.get(following, headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 200
        answers.append(answer)
        following = next_page(answer)
    return answers


async def test_without_a_token_it_says_where_tokens_come_from(registry: DemoRegistry) -> None:
    answer = await registry.client.get(f"/v2/{NIM}/tags/list")
    assert answer.status_code == 401
    challenge = answer.headers["WWW-Authenticate"]
    assert challenge.startswith(f'Bearer realm="{registry.client.base_url.join("/auth/token")}"')
    assert 'service="demo-registry"' in challenge and f'scope="repository:{NIM}:pull"' in challenge
    assert answer.json()["errors"][0]["code"] == "UNAUTHORIZED"
    assert (await registry.client.get("/v2/")).status_code == 401
    token = await registry.token()
    ping = await registry.client.get("/v2/", headers={"Authorization": f"Bearer {token}"})
    assert ping.status_code == 200


async def test_wrong_passwords_are_refused(registry: DemoRegistry) -> None:
    for auth in (httpx.BasicAuth("robin", "wrong"), httpx.BasicAuth("somebody", "correct horse")):
        answer = await registry.client.get("/auth/token", params={"scope": f"repository:{NIM}:pull"}, auth=auth)
        assert answer.status_code == 401
    garbled = await registry.client.get("/auth/token", headers={"Authorization": "Basic ?"})
    assert garbled.status_code == 401


async def test_anonymous_tokens_open_public_repositories_only(registry: DemoRegistry) -> None:
    token = await registry.token(f"repository:{NIM}:pull", "repository:misc/nginx:pull", login=False)
    headers = {"Authorization": f"Bearer {token}"}
    assert (await registry.client.get("/v2/misc/nginx/tags/list", headers=headers)).status_code == 200
    refused = await registry.client.get(f"/v2/{NIM}/tags/list", headers=headers)
    assert refused.status_code == 401
    assert 'error="insufficient_scope"' in refused.headers["WWW-Authenticate"]


async def test_access_tokens_expire_and_refresh_tokens_renew_them(registry: DemoRegistry) -> None:
    scope = f"repository:{NIM}:pull"
    first = await registry.client.get(
        "/auth/token", params={"scope": scope, "offline_token": "true"}, auth=httpx.BasicAuth("robin", "correct horse")
    )
    granted = first.json()
    registry.clock.now += granted["expires_in"]
    old = await registry.client.get(
        f"/v2/{NIM}/tags/list", headers={"Authorization": f"Bearer {granted['access_token']}"}
    )
    assert old.status_code == 401 and 'error="invalid_token"' in old.headers["WWW-Authenticate"]
    form = {"grant_type": "refresh_token", "refresh_token": granted["refresh_token"], "scope": scope}
    second = await registry.client.post("/auth/token", data=form)
    headers = {"Authorization": f"Bearer {second.json()['access_token']}"}
    assert (await registry.client.get(f"/v2/{NIM}/tags/list", headers=headers)).status_code == 200
    forged = await registry.client.post("/auth/token", data={**form, "refresh_token": "e30=.00"})
    assert forged.status_code == 401


@pytest.mark.parametrize("size", [1, 7, 100])
async def test_tags_come_in_pages(registry: DemoRegistry, images: DemoImages, size: int) -> None:
    token = await registry.token(f"repository:{VLLM}:pull")
    answers = await all_pages(registry, f"/v2/{VLLM}/tags/list?n={size}", token)
    tags = [tag for answer in answers for tag in answer.json()["tags"]]
    assert tags == sorted(images.repositories[VLLM].tags)
    assert all(len(answer.json()["tags"]) <= size for answer in answers)


async def test_a_page_asked_for_with_a_bad_size_is_refused_and_with_none_is_empty(registry: DemoRegistry) -> None:
    assert (await registry.get(f"/v2/{VLLM}/tags/list?n=-1")).status_code == 400
    empty = await registry.get(f"/v2/{VLLM}/tags/list?n=0")
    assert empty.json()["tags"] == [] and "Link" not in empty.headers


async def test_the_catalogue_needs_its_own_scope_and_comes_in_pages(registry: DemoRegistry, images: DemoImages) -> None:
    token = await registry.token("registry:catalog:*")
    answers = await all_pages(registry, "/v2/_catalog?n=10", token)
    assert [name for answer in answers for name in answer.json()["repositories"]] == sorted(images.repositories)
    assert len(answers) == 5
    other = await registry.token(f"repository:{VLLM}:pull")
    refused = await registry.client.get("/v2/_catalog", headers={"Authorization": f"Bearer {other}"})
    assert refused.status_code == 401


async def test_a_head_tells_what_a_get_would_and_sends_no_body(registry: DemoRegistry, images: DemoImages) -> None:
    digest = images.digest(NIM, NIM_TAG)
    for reference in (NIM_TAG, digest):
        head = await registry.get(f"/v2/{NIM}/manifests/{reference}", method="HEAD", headers={"Accept": ANY})
        got = await registry.get(f"/v2/{NIM}/manifests/{reference}", headers={"Accept": ANY})
        assert head.status_code == got.status_code == 200
        assert head.content == b""
        for header in ("Content-Length", "Content-Type", "Docker-Content-Digest", "ETag"):
            assert head.headers[header] == got.headers[header]
        assert "sha256:" + hashlib.sha256(got.content).hexdigest() == digest == got.headers["Docker-Content-Digest"]
    missing = await registry.get(f"/v2/{NIM}/manifests/none", method="HEAD", headers={"Accept": ANY})
    assert (missing.status_code, missing.content) == (404, b"")


async def test_a_manifest_is_unknown_to_who_does_not_accept_its_type(registry: DemoRegistry) -> None:
    path = f"/v2/{NIM}/manifests/{NIM_TAG}"
    refused = await registry.get(path, headers={"Accept": OCI_MANIFEST})
    assert refused.status_code == 404
    assert refused.json()["errors"][0]["code"] == "MANIFEST_UNKNOWN"
    for accept in ("*/*", f"{OCI_INDEX};q=0.5"):
        assert (await registry.get(path, headers={"Accept": accept})).status_code == 200


async def test_an_unchanged_manifest_is_not_sent_again(registry: DemoRegistry, images: DemoImages) -> None:
    headers = {"Accept": ANY, "If-None-Match": f'"{images.digest(NIM, NIM_TAG)}"'}
    answer = await registry.get(f"/v2/{NIM}/manifests/{NIM_TAG}", headers=headers)
    assert (answer.status_code, answer.content) == (304, b"")


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        (f"/v2/{NIM}/manifests/no-such-tag", 404, "MANIFEST_UNKNOWN"),
        (f"/v2/{HOSTILE.repository}/manifests/{UNREADABLE_TAGS[1]}", 404, "MANIFEST_UNKNOWN"),
        ("/v2/no/such/tags/list", 404, "NAME_UNKNOWN"),
        (f"/v2/{NIM}/blobs/sha256:00", 400, "DIGEST_INVALID"),
        (f"/v2/{NIM}/blobs/sha256:{'0' * 64}", 404, "BLOB_UNKNOWN"),
        (f"/v2/{NIM}/referrers/latest", 400, "DIGEST_INVALID"),
        ("/v2/UPPER/tags/list", 400, "NAME_INVALID"),
    ],
)
async def test_errors_have_the_codes_of_the_specification(
    registry: DemoRegistry, path: str, status: int, code: str
) -> None:
    answer = await registry.get(path, headers={"Accept": ANY})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (status, code)


async def test_it_takes_no_pushes(registry: DemoRegistry) -> None:
    assert (await registry.get(f"/v2/{NIM}/manifests/{NIM_TAG}", method="PUT", content=b"{}")).status_code == 405


async def test_blobs_are_redirected_to_storage_that_refuses_credentials(
    registry: DemoRegistry, images: DemoImages
) -> None:
    manifest = (await registry.get(f"/v2/{NIM}/manifests/{images.digest(NIM, NIM_TAG)}")).json()
    child = (await registry.get(f"/v2/{NIM}/manifests/{manifest['manifests'][0]['digest']}")).json()
    config = child["config"]
    answer = await registry.get(f"/v2/{NIM}/blobs/{config['digest']}")
    assert answer.status_code == 307
    address = answer.headers["Location"]
    assert address.startswith(f"http://{registry.blob_host}/")
    blob = await registry.client.get(address)
    assert blob.status_code == 200
    assert "sha256:" + hashlib.sha256(blob.content).hexdigest() == config["digest"]
    assert len(blob.content) == config["size"] == int(blob.headers["Content-Length"])
    leaked = await registry.client.get(address, headers={"Authorization": "Bearer leaked"})
    assert leaked.status_code == 400
    assert (await registry.client.get(address.replace("signature=", "signature=0"))).status_code == 403
    registry.clock.now += 3600
    assert (await registry.client.get(address)).status_code == 403


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("bytes=0-99", 0, 100),
        ("bytes=500-1023", 500, 1024),
        (f"bytes={UBUNTU_2204.size - 10}-", UBUNTU_2204.size - 10, UBUNTU_2204.size),
        ("bytes=-7", UBUNTU_2204.size - 7, UBUNTU_2204.size),
        (f"bytes=100000-{UBUNTU_2204.size * 2}", 100_000, UBUNTU_2204.size),
    ],
)
async def test_parts_of_a_blob_can_be_asked_for(registry: DemoRegistry, asked: str, start: int, stop: int) -> None:
    path = f"/v2/huggingface/text-generation-inference/blobs/{UBUNTU_2204.digest}"
    part = await registry.get(path, headers={"Range": asked})
    assert part.status_code == 206
    assert part.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{UBUNTU_2204.size}"
    assert part.content == b"".join(UBUNTU_2204.read(start, stop))


async def test_a_range_outside_the_blob_is_refused_and_a_strange_one_ignored(registry: DemoRegistry) -> None:
    path = f"/v2/huggingface/text-generation-inference/blobs/{UBUNTU_2204.digest}"
    outside = await registry.get(path, headers={"Range": f"bytes={UBUNTU_2204.size}-"})
    assert outside.status_code == 416
    assert outside.headers["Content-Range"] == f"bytes */{UBUNTU_2204.size}"
    for strange in ("lines=1-2", "bytes=9-2", "bytes=0-1,4-5", "bytes=-"):
        whole = await registry.get(path, method="GET", headers={"Range": strange})
        assert whole.status_code == 200
        assert "sha256:" + hashlib.sha256(whole.content).hexdigest() == UBUNTU_2204.digest
    head = await registry.get(path, method="HEAD", headers={"Range": "bytes=0-99"})
    assert (head.status_code, int(head.headers["Content-Length"])) == (200, UBUNTU_2204.size)


async def test_referrers_come_in_pages_and_filtered(registry: DemoRegistry, images: DemoImages) -> None:
    name, tag = "nim/meta/llama-3.3-70b-instruct", "1.10.1"
    digest = images.digest(name, tag)
    token = await registry.token(f"repository:{name}:pull")
    answers = await all_pages(registry, f"/v2/{name}/referrers/{digest}", token)
    found = [each for answer in answers for each in answer.json()["manifests"]]
    assert found == images.repositories[name].referrers[digest]
    assert len(answers) == 2
    assert all(answer.headers["Content-Type"] == OCI_INDEX for answer in answers)
    for wanted, count in ((found[0]["artifactType"], len(found)), ("application/none", 0)):
        query = f"?artifactType={wanted.replace('+', '%2B')}"
        filtered = await all_pages(registry, f"/v2/{name}/referrers/{digest}{query}", token)
        assert sum(len(answer.json()["manifests"]) for answer in filtered) == count
        assert all(answer.headers["OCI-Filters-Applied"] == "artifactType" for answer in filtered)


async def test_what_nothing_refers_to_has_an_empty_list(registry: DemoRegistry) -> None:
    answer = await registry.get(f"/v2/{NIM}/referrers/sha256:{'0' * 64}")
    assert (answer.status_code, answer.json()["manifests"]) == (200, [])


async def test_now_and_then_there_were_too_many_requests(images: DemoImages) -> None:
    async def statuses() -> list[tuple[int, str | None]]:
        async with running_registry(images, throttle_every=5, seed=3) as registry:
            token = await registry.token(f"repository:{VLLM}:pull")
            answers = [
                await registry.client.get(f"/v2/{VLLM}/tags/list", headers={"Authorization": f"Bearer {token}"})
                for _ in range(20)
            ]
            return [(answer.status_code, answer.headers.get("Retry-After")) for answer in answers]

    first = await statuses()
    refused = [delay for status, delay in first if status == 429]
    assert len(refused) == 4 and set(refused) == {"0", "1"}
    assert await statuses() == first


async def test_a_tag_moves_and_another_appears_while_it_runs(registry: DemoRegistry, images: DemoImages) -> None:
    moved, arriving = images.changes
    path = f"/v2/{moved.repository}/manifests/{moved.tag}"
    before = await registry.get(path, method="HEAD")
    missing = f"/v2/{arriving.repository}/manifests/{arriving.tag}"
    assert (await registry.get(missing)).status_code == 404
    registry.clock.now += max(moved.after, arriving.after)
    after = await registry.get(path, method="HEAD")
    assert before.headers["Docker-Content-Digest"] != after.headers["Docker-Content-Digest"] == moved.digest
    assert (await registry.get(missing)).status_code == 200
    tags = (await registry.get(f"/v2/{arriving.repository}/tags/list?n=100")).json()["tags"]
    assert arriving.tag in tags


async def test_hostile_tags_are_listed_as_they_are(registry: DemoRegistry) -> None:
    tags = (await registry.get(f"/v2/{HOSTILE.repository}/tags/list")).json()["tags"]
    assert set(UNREADABLE_TAGS) <= set(tags)


async def test_many_clients_are_served_at_once(registry: DemoRegistry, images: DemoImages) -> None:
    token = await registry.token(f"repository:{VLLM}:pull")
    headers = {"Authorization": f"Bearer {token}", "Accept": ANY}
    tags = [tag for tag in images.repositories[VLLM].tags if not tag.startswith("sha256-")]
    answers = await asyncio.gather(
        *(registry.client.get(f"/v2/{VLLM}/manifests/{tag}", headers=headers) for tag in tags)
    )
    assert [answer.headers["Docker-Content-Digest"] for answer in answers] == [images.digest(VLLM, tag) for tag in tags]
