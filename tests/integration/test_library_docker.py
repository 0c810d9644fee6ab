"""Synchronisation of a real `docker-registry`: the acceptance's steps, over HTTP, into a real database."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from backend.audit.verification import verify
from backend.core.actors import WORKER
from backend.core.ports import SystemClock
from backend.core.views import SyncResultView
from backend.library.config import RuleConfig
from backend.library.sources import Setting
from backend.library.synchroniser import Synchroniser
from backend.registry.client import RegistryClient
from backend.registry.config import RegistryConfig
from backend.registry.credentials import Credentials
from backend.store.connection import Database
from tests.fakes.docker_registry import DockerRegistry
from tests.fakes.library_listing import images_of
from tests.fakes.store import open_database

NIM = "nim/meta/llama-3.1-8b-instruct"


@pytest.fixture
def registry() -> Iterator[DockerRegistry]:
    with DockerRegistry() as registry:
        yield registry


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with open_database(tmp_path / "modelyard.db") as database:
        yield database


@asynccontextmanager
async def client_of(registry: DockerRegistry, folder: Path) -> AsyncIterator[RegistryClient]:
    config = RegistryConfig(name="local", url=registry.url, insecure=True)
    client = RegistryClient(config, credentials=Credentials(folder), clock=SystemClock())
    try:
        yield client
    finally:
        await client.close()


async def sync(database: Database, registry: DockerRegistry, folder: Path, **given: Any) -> SyncResultView:
    async with client_of(registry, folder) as client:
        setting = Setting(
            database=database, source=client, registry="local", host=registry.host, clock=SystemClock(), actor=WORKER
        )
        rule = RuleConfig.model_validate({"name": "nim", "registry": "local", **given})
        return await Synchroniser(setting).run(rule, run="run")


async def test_new_unchanged_moved_gone_and_dead(database: Database, registry: DockerRegistry, tmp_path: Path) -> None:
    rule = {"repositories": ["nim/**"], "tags": {"versions": ">=1.3"}}
    for tag in ("1.2.0", "1.3.0", "1.3.1-rtx", "2.0.0-rc1", "nightly"):
        registry.push(NIM, tag, labels={"com.nvidia.nim.type": "llm", "v": tag})
    registry.push("misc/nginx", "latest")
    first = await sync(database, registry, tmp_path, **rule)
    assert sorted(entry.tag for entry in first.new) == ["1.3.0", "1.3.1-rtx"] and not first.failed
    images = await images_of(database)
    assert [(image.framework, image.type, image.platforms) for image in images] == [
        ("nim", "chat", ("linux/amd64",)), ("nim", "chat", ("linux/amd64",)),
    ]  # fmt: skip
    second = await sync(database, registry, tmp_path, **rule)
    assert (second.new, second.moved, second.gone, second.unchanged) == ((), (), (), 2)
    moved = registry.push(NIM, "1.3.0", labels={"moved": "yes"})
    shutil.rmtree(registry.storage / "docker/registry/v2/repositories" / NIM / "_manifests/tags/1.3.1-rtx")
    third = await sync(database, registry, tmp_path, **rule)
    assert [(entry.tag, entry.digest) for entry in third.moved] == [("1.3.0", moved)]
    assert [entry.tag for entry in third.gone] == ["1.3.1-rtx"]
    registry.stop()
    dead = await sync(database, registry, tmp_path, **rule)
    assert dead.failed and all(failed.unreachable for failed in dead.failed) and not dead.gone
    assert (await verify(database)).intact
