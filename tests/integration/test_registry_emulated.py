"""The client against the demo's registry: an emulation of what Debian's docker-registry lacks of OCI 1.1.

Tokens, pages by Link, referrers, blobs redirected to another host, and 429 with Retry-After, over real HTTP.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from backend.core.errors import AuthenticationError, MalformedDataError, NotFoundError
from backend.demo.images import DemoImages
from backend.registry.client import RegistryClient
from backend.registry.config import RegistryConfig
from backend.registry.credentials import Credential
from backend.registry.transport import Answer, Transport
from tests.fakes.demo_controller import images as demo_images
from tests.fakes.demo_registry import PASSWORD, USERNAME, DemoRegistry, running_registry
from tests.fakes.registry import FixedCredentials, PausableClock

LLAMA = "nim/meta/llama-3.1-8b-instruct"


@pytest.fixture(scope="module")
def images() -> DemoImages:
    return demo_images()


@asynccontextmanager
async def opened(
    images: DemoImages, *, password: str | None = PASSWORD, **knobs: Any
) -> AsyncIterator[tuple[RegistryClient, DemoRegistry, PausableClock]]:
    clock = PausableClock()
    async with running_registry(images, **knobs) as running:
        url = str(running.client.base_url).rstrip("/")
        credential = None if password is None else Credential(USERNAME, password)
        client = RegistryClient(
            RegistryConfig(name="demo", url=url, insecure=True),
            credentials=FixedCredentials(credential),
            clock=clock,
            sleep=clock.sleep,
        )
        try:
            yield client, running, clock
        finally:
            await client.close()


async def test_everything_is_read_page_by_page_and_each_digest_holds(images: DemoImages) -> None:
    async with opened(images) as (client, _, _):
        repositories = await client.catalog()
        assert len(repositories) >= 40
        tags = await client.tags(LLAMA)
        assert len(tags) == len(set(tags)) > 1
        for tag in tags:
            try:
                descriptor = await client.resolve(LLAMA, tag)
            except MalformedDataError:
                continue
            assert descriptor.digest == images.digest(LLAMA, tag)
            assert (await client.manifest(LLAMA, tag)).digest == descriptor.digest


async def test_blobs_come_from_another_host_without_our_authorization(images: DemoImages) -> None:
    async with opened(images) as (client, running, _):
        manifest = await client.manifest(LLAMA, images.digest(LLAMA, "1.8.3"))
        child = manifest.images[0].digest if manifest.is_index else manifest.digest
        image = await client.manifest(LLAMA, child)
        small = [each for each in (image.config, *image.layers) if each is not None and each.size < 1 << 20]
        assert small
        for descriptor in small:
            content = await client.blob(LLAMA, descriptor.digest, descriptor.size, 64 << 20)
            assert len(content) == descriptor.size
        assert running.blob_host


async def test_what_refers_to_an_image_is_listed_by_the_api(images: DemoImages) -> None:
    async with opened(images) as (client, _, _):
        found = []
        for tag in await client.tags(LLAMA):
            try:
                digest = (await client.resolve(LLAMA, tag)).digest
            except (MalformedDataError, NotFoundError):
                continue
            found += await client.referrers(LLAMA, digest)
        assert found
        kinds = {descriptor.artifact_type for descriptor in found}
        assert all(kinds)
        for descriptor in found[:3]:
            manifest = await client.manifest(LLAMA, descriptor.digest)
            assert manifest.subject is not None
            assert manifest.artifact_type == descriptor.artifact_type


async def test_tokens_are_asked_for_once_a_repository_and_wrong_passwords_are_refused(images: DemoImages) -> None:
    async with opened(images) as (client, _, _):
        await client.tags(LLAMA)
        asked = client.requests
        await client.tags(LLAMA)
        assert client.requests - asked <= asked - 2
    async with opened(images, password="wrong") as (client, _, _):
        with pytest.raises(AuthenticationError, match=f"demo/{LLAMA}") as caught:
            await client.tags(LLAMA)
        assert "wrong" not in str(caught.value)


async def test_a_registry_that_slows_us_down_is_waited_for(images: DemoImages) -> None:
    async with opened(images, throttle_every=10) as (client, _, clock):
        tags = await client.tags(LLAMA)
        digests = await asyncio.gather(
            *(client.resolve(LLAMA, tag) for tag in tags for _ in range(3)), return_exceptions=True
        )
        assert {type(each).__name__ for each in digests} <= {"Descriptor", "MalformedDataError"}
        assert clock.slept


async def test_one_password_and_refresh_tokens_reach_every_repository(
    images: DemoImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    posted: list[str] = []
    post = Transport.post_form

    async def count(transport: Transport, url: str, form: bytes, **more: Any) -> Answer:
        posted.append(url)
        return await post(transport, url, form, **more)

    monkeypatch.setattr(Transport, "post_form", count)
    async with opened(images) as (client, _, clock):
        repositories = (await client.catalog())[:4]
        for repository in repositories:
            await client.tags(repository)
        assert len(posted) == len(repositories)
        clock.advance(seconds=3600)
        await client.tags(repositories[0])


async def test_referrers_of_one_type_are_those_of_all_that_have_it(images: DemoImages) -> None:
    async with opened(images) as (client, _, _):
        digest = images.digest(LLAMA, "1.8.3")
        everything = await client.referrers(LLAMA, digest)
        for kind in {one.artifact_type for one in everything}:
            some = await client.referrers(LLAMA, digest, kind)
            assert {one.digest for one in some} == {one.digest for one in everything if one.artifact_type == kind}
