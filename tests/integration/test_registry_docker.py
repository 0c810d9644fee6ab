"""The client against Debian's docker-registry, with images pushed by umoci, skopeo and buildah."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from backend.core.errors import AuthenticationError, NotFoundError, UnreachableError
from backend.core.ports import SystemClock
from backend.core.settings import SecretReference
from backend.registry.check import check
from backend.registry.client import RegistryClient, referrers_tag
from backend.registry.config import RegistryConfig
from backend.registry.credentials import Credentials
from backend.registry.manifests import OCI_INDEX, OCI_MANIFEST
from tests.fakes.docker_registry import DockerRegistry, inspect_digest
from tests.fakes.token_server import TokenServer

USERS = {"robin": "s3cret-pa55word"}
LLAMA = "nim/meta/llama-3.1-8b-instruct"


@pytest.fixture(scope="module")
def registry() -> Iterator[DockerRegistry]:
    with DockerRegistry() as running:
        running.push(LLAMA, "1.3.0", labels={"com.nvidia.nim.type": "llm"}, entrypoint=["vllm", "serve"])
        running.push(LLAMA, "1.4.0")
        running.push("vllm/vllm-openai", "v0.27.1")
        yield running


@asynccontextmanager
async def opened(registry: DockerRegistry, **values: Any) -> AsyncIterator[RegistryClient]:
    config = RegistryConfig(name="local", url=registry.url, insecure=registry.scheme == "http", **values)
    client = RegistryClient(config, credentials=Credentials(Path("/")), clock=SystemClock())
    try:
        yield client
    finally:
        await client.close()


async def test_what_was_pushed_is_listed_resolved_and_read(registry: DockerRegistry) -> None:
    async with opened(registry) as client:
        assert set(await client.catalog()) >= {LLAMA, "vllm/vllm-openai"}
        assert set(await client.tags(LLAMA)) >= {"1.3.0", "1.4.0"}
        descriptor = await client.resolve(LLAMA, "1.3.0")
        assert descriptor.digest == inspect_digest(f"{registry.host}/{LLAMA}:1.3.0")
        manifest = await client.manifest(LLAMA, "1.3.0")
        assert (manifest.digest, manifest.media_type) == (descriptor.digest, OCI_MANIFEST)
        assert len(manifest.raw) == descriptor.size
        assert await client.manifest(LLAMA, manifest.digest) == manifest
        assert manifest.config is not None
        config = await client.blob(LLAMA, manifest.config.digest, manifest.config.size, 1 << 20)
        settings = msgspec.json.decode(config)["config"]
        assert settings["Labels"]["com.nvidia.nim.type"] == "llm"
        assert settings["Entrypoint"] == ["vllm", "serve"]


async def test_an_index_lists_its_platforms(registry: DockerRegistry) -> None:
    digest = registry.push_index("multi/arch", "1.0")
    async with opened(registry) as client:
        index = await client.manifest("multi/arch", "1.0")
        assert (index.digest, index.media_type) == (digest, OCI_INDEX)
        assert sorted(str(child.platform) for child in index.images) == ["linux/amd64", "linux/arm64"]
        for child in index.images:
            assert (await client.manifest("multi/arch", child.digest)).descriptor.size == child.size


async def test_an_older_registry_has_referrers_by_tag_only(registry: DockerRegistry) -> None:
    async with opened(registry) as client:
        digest = (await client.resolve(LLAMA, "1.3.0")).digest
        assert await client.referrers(LLAMA, digest) == []
        # Any index under the tag that stands in for the API, by distribution-spec 1.1.
        index = registry.push_index(LLAMA, referrers_tag(digest))
        children = {child.digest for child in (await client.manifest(LLAMA, index)).manifests}
        assert {descriptor.digest for descriptor in await client.referrers(LLAMA, digest)} == children


async def test_what_is_not_there_is_not_found(registry: DockerRegistry) -> None:
    async with opened(registry) as client:
        for call in (
            client.tags("no/such"),
            client.resolve(LLAMA, "9.9"),
            client.manifest(LLAMA, f"sha256:{'0' * 64}"),
            client.blob(LLAMA, f"sha256:{'0' * 64}", 1, 10),
        ):
            with pytest.raises(NotFoundError, match="local/"):
                await call


async def test_doctor_sees_the_registry(registry: DockerRegistry) -> None:
    async with opened(registry) as client:
        line = await check(client)
    assert line.state == "ok"
    assert "no authentication asked for" in line.detail
    assert "registry/2.0" in line.detail


async def test_password_of_a_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REG_PASSWORD", USERS["robin"])
    monkeypatch.setenv("BAD_PASSWORD", "wrong")
    with DockerRegistry(users=USERS) as running:
        digest = running.push("a/b", "1")
        async with opened(running, username="robin", password=SecretReference(env="REG_PASSWORD")) as client:
            assert (await client.resolve("a/b", "1")).digest == digest
            assert "Basic" in (await check(client)).detail
        async with opened(running, username="robin", password=SecretReference(env="BAD_PASSWORD")) as client:
            with pytest.raises(AuthenticationError, match="local/a/b"):
                await client.tags("a/b")
            assert (await check(client)).state == "failed"
        async with opened(running) as client:
            with pytest.raises(AuthenticationError):
                await client.tags("a/b")
            assert (await check(client)).state == "warning"


async def test_tokens_of_a_token_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REG_PASSWORD", USERS["robin"])
    secret = SecretReference(env="REG_PASSWORD")
    with TokenServer(tmp_path, USERS) as server, DockerRegistry(token=server.settings, users=None) as running:
        push_with_token(running, "a/b", "1")
        realms = (server.host,)
        async with opened(running, username="robin", password=secret, credential_realms=realms) as client:
            server.requests = 0
            assert await client.tags("a/b") == ["1"]
            await client.resolve("a/b", "1")
            assert server.requests == 1
            assert server.host in (await check(client)).detail
            assert await client.catalog() == ["a/b"]
        async with opened(running, username="robin", password=secret) as client:
            with pytest.raises(AuthenticationError, match="credential_realms"):
                await client.tags("a/b")
        async with opened(running) as client:
            with pytest.raises(AuthenticationError, match="local/a/b"):
                await client.tags("a/b")


async def test_a_password_is_shown_to_a_token_server_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REG_PASSWORD", USERS["robin"])
    secret = SecretReference(env="REG_PASSWORD")
    server = TokenServer(tmp_path, USERS, refreshes=True)
    with server, DockerRegistry(token=server.settings, users=None) as running:
        for repository in ("a", "b/c", "d"):
            push_with_token(running, repository, "1")
        server.passwords = 0
        async with opened(running, username="robin", password=secret, credential_realms=(server.host,)) as client:
            for repository in ("a", "b/c", "d"):
                assert await client.tags(repository) == ["1"]
        assert server.passwords == 1


def own_certificate(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return folder / "certificate.pem", folder / "key.pem"


def push_with_token(registry: DockerRegistry, repository: str, tag: str) -> None:
    registry.users = USERS
    try:
        registry.push(repository, tag)
    finally:
        registry.users = {}


async def test_a_certificate_of_its_own_is_trusted_when_its_authority_is_given(tmp_path: Path) -> None:
    certificate, key = own_certificate(tmp_path)
    with DockerRegistry(certificate=(certificate, key)) as running:
        running.push("a/b", "1")
        async with opened(running, ca=certificate) as client:
            assert await client.tags("a/b") == ["1"]
        async with opened(running) as client:
            with pytest.raises(UnreachableError, match="not trusted"):
                await client.tags("a/b")
        plain = RegistryConfig(name="local", url=f"http://{running.host}", insecure=True)
        client = RegistryClient(plain, credentials=Credentials(Path("/")), clock=SystemClock())
        assert (await check(client)).state == "failed"
        await client.close()


async def test_a_registry_that_asks_who_connects_is_shown_our_certificate(tmp_path: Path) -> None:
    certificate, key = own_certificate(tmp_path)
    with DockerRegistry(certificate=(certificate, key), client_authority=certificate) as running:
        async with opened(running, ca=certificate, client_certificate=certificate, client_key=key) as client:
            assert (await client.ping()).api_version == "registry/2.0"
        async with opened(running, ca=certificate) as client:
            with pytest.raises(UnreachableError, match="client_certificate"):
                await client.ping()


async def test_a_password_that_was_changed_is_read_again(tmp_path: Path) -> None:
    """As with a cloud's passwords of twelve hours: what refreshes the file need not know of us."""
    secret = tmp_path / "password"
    secret.write_text("of the old day")
    with DockerRegistry(users={"AWS": "of the new day"}) as running:
        digest = running.push("a/b", "1")
        async with opened(running, username="AWS", password=SecretReference(file=secret)) as client:
            with pytest.raises(AuthenticationError):
                await client.resolve("a/b", "1")
            secret.write_text("of the new day")
            assert (await client.resolve("a/b", "1")).digest == digest


async def test_a_registry_that_died_is_unreachable_and_one_that_came_back_is_read_again() -> None:
    with DockerRegistry() as running:
        running.push("a/b", "1")
        async with opened(running) as client:
            assert await client.tags("a/b") == ["1"]
            running.stop()
            with pytest.raises(UnreachableError, match="local/a/b"):
                await client.tags("a/b")
            running.start()
            assert await client.tags("a/b") == ["1"]
            running.remove_tag("a/b", "1")
            assert await client.tags("a/b") == []
