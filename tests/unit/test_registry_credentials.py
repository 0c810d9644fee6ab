"""Where credentials come from, and that they do not show."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path

import httpx
import pytest

from backend.core.errors import AuthenticationError, ConfigurationError
from backend.core.settings import SecretReference
from backend.registry.client import RegistryClient
from backend.registry.credentials import Credential, Credentials
from tests.fakes.registry import PASSWORD, USER, PausableClock, answer_manifest, configured, image_manifest

PAIR = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


def docker_config(folder: Path, **content: object) -> Credentials:
    path = folder / "config.json"
    path.write_text(json.dumps(content))
    return Credentials(folder, docker_config=path, helper_timeout=5)


def helper(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    program = folder / "bin" / "docker-credential-test"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")


async def test_user_and_password_of_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REG_PASSWORD", PASSWORD)
    credential = await Credentials(tmp_path).of(configured(username=USER))
    assert credential is not None
    assert credential.basic == f"Basic {PAIR}"


async def test_a_password_file_starts_at_the_configurations_folder(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(f"{PASSWORD}\n")
    config = configured(username=USER, password=SecretReference(file=Path("secret")))
    credential = await Credentials(tmp_path).of(config)
    assert credential is not None
    assert credential.password == PASSWORD


async def test_a_missing_password_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="REG_PASSWORD"):
        await Credentials(tmp_path).of(configured(username=USER))


@pytest.mark.parametrize("key", ["registry.example", "https://registry.example", "https://registry.example/v2/"])
async def test_dockers_entries_are_found_however_they_are_written(tmp_path: Path, key: str) -> None:
    credential = await docker_config(tmp_path, auths={"other.example": {}, key: {"auth": PAIR}}).of(configured())
    assert credential is not None
    assert (credential.username, credential.password) == (USER, PASSWORD)


async def test_docker_hub_is_known_by_its_old_address(tmp_path: Path) -> None:
    source = docker_config(tmp_path, auths={"https://index.docker.io/v1/": {"auth": PAIR}})
    assert await source.of(configured("https://registry-1.docker.io")) is not None
    assert await source.of(configured("https://quay.io")) is None


async def test_an_identity_token_is_told_apart(tmp_path: Path) -> None:
    source = docker_config(tmp_path, auths={"registry.example": {"identitytoken": "tok"}})
    credential = await source.of(configured())
    assert credential is not None
    assert (credential.identity_token, credential.username) == ("tok", "")


async def test_without_any_entry_requests_are_anonymous(tmp_path: Path) -> None:
    assert await docker_config(tmp_path, auths={}).of(configured()) is None
    assert await docker_config(tmp_path).of(configured()) is None
    assert await Credentials(tmp_path, docker_config=tmp_path / "nowhere" / "config.json").of(configured()) is None


@pytest.mark.parametrize(
    "content", ["{", '{"auths": 3}', '{"auths": {"registry.example": {"auth": "%%%"}}}', '{"credsStore": "../sh"}']
)
async def test_a_malformed_docker_configuration_is_told_with_its_path(tmp_path: Path, content: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(content)
    with pytest.raises(ConfigurationError) as caught:
        await Credentials(tmp_path, docker_config=path).of(configured())
    assert caught.value.path == path


async def test_a_credential_helper_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = json.dumps({"ServerURL": "x", "Username": USER, "Secret": PASSWORD})
    helper(
        tmp_path, monkeypatch, f"""read server; [ "$server" = registry.example ] && [ "$1" = get ] && echo '{answer}'"""
    )
    source = docker_config(tmp_path, credHelpers={"registry.example": "test"})
    credential = await source.of(configured())
    assert credential is not None
    assert credential.password == PASSWORD


@pytest.mark.parametrize("key", ["https://index.docker.io/v1/", "docker.io"])
async def test_a_helper_for_docker_hub_is_found_by_either_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    answer = json.dumps({"Username": USER, "Secret": PASSWORD})
    helper(tmp_path, monkeypatch, f"""read server; [ "$server" = https://index.docker.io/v1/ ] && echo '{answer}'""")
    credential = await docker_config(tmp_path, credHelpers={key: "test"}).of(configured("https://docker.io"))
    assert credential is not None
    assert credential.username == USER


async def test_a_helper_gives_a_new_password_every_twelve_hours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As ECR's does: the registry takes today's password only, and we were given yesterday's."""
    answer = tmp_path / "answer"
    helper(tmp_path, monkeypatch, f"cat >/dev/null; cat {answer}")
    today = ""

    def begin(day: str) -> None:
        nonlocal today
        today = day
        answer.write_text(json.dumps({"Username": "AWS", "Secret": day}))

    def serve(request: httpx.Request) -> httpx.Response:
        if request.headers.get("authorization") == Credential("AWS", today).basic:
            return answer_manifest(image_manifest())
        return httpx.Response(401, headers={"WWW-Authenticate": 'Basic realm="ecr"'})

    client = RegistryClient(
        configured(),
        credentials=docker_config(tmp_path, credsStore="test"),
        clock=PausableClock(),
        transport=httpx.MockTransport(serve),
    )
    for day in ("monday", "tuesday"):
        await asyncio.to_thread(begin, day)
        await client.resolve("a/b", "1")


async def test_a_helper_that_does_not_know_the_registry_leaves_the_entries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper(tmp_path, monkeypatch, "echo 'credentials not found in native keychain'; exit 1")
    source = docker_config(tmp_path, credsStore="test", auths={"registry.example": {"auth": PAIR}})
    credential = await source.of(configured())
    assert credential is not None
    assert credential.username == USER


@pytest.mark.parametrize("script", ["echo no-json", "exit 3", "echo '{\"Username\": 3}'"])
async def test_a_failing_helper_is_told_without_what_it_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    helper(tmp_path, monkeypatch, script)
    with pytest.raises(AuthenticationError, match="docker-credential-test") as caught:
        await docker_config(tmp_path, credsStore="test").of(configured())
    assert "no-json" not in str(caught.value)


async def test_a_helper_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper(tmp_path, monkeypatch, "exec sleep 60")
    path = tmp_path / "config.json"
    path.write_text('{"credsStore": "test"}')
    with pytest.raises(AuthenticationError, match="did not answer"):
        await Credentials(tmp_path, docker_config=path, helper_timeout=0.1).of(configured())


async def test_a_missing_helper_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match="docker-credential-test"):
        await docker_config(tmp_path, credsStore="test").of(configured())


def test_a_credential_does_not_show() -> None:
    credential = Credential(USER, PASSWORD, "tok")
    assert PASSWORD not in f"{credential!r} {credential}"
    assert "tok" not in f"{credential!r}"
