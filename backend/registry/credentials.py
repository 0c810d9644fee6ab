"""Where the credential of a registry comes from: its configuration, docker's `config.json`, a credential helper."""

from __future__ import annotations

import asyncio
import base64
import binascii
import os
import re
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from typing import Final

import msgspec

from backend.core.errors import AuthenticationError, ConfigurationError
from backend.registry.config import DOCKER_HUB_HOSTS, RegistryConfig

_LARGEST_FILE: Final = 1 << 20
_LARGEST_ANSWER: Final = 1 << 16
_HELPER_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")
# Docker keeps the credential of its own registry under the address of the first version of its API.
_DOCKER_HUB_KEY: Final = "https://index.docker.io/v1/"
# docker-credential-helpers: the user name that marks the secret as an identity token.
_TOKEN_USER: Final = "<token>"  # noqa: S105 - a marker, not a secret


class Credential:
    """A user name with a password, or an identity token that is exchanged for access tokens. Never prints them."""

    __slots__ = ("identity_token", "password", "username")

    def __init__(self, username: str, password: str, identity_token: str = "") -> None:
        self.username = username
        self.password = password
        self.identity_token = identity_token

    def __repr__(self) -> str:
        return "Credential(...)"

    @property
    def basic(self) -> str:
        """The value of an `Authorization` header (RFC 7617)."""
        pair = f"{self.username}:{self.password}".encode()
        return f"Basic {base64.b64encode(pair).decode('ascii')}"

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not appear anywhere, in the forms in which it travels."""
        return tuple(s for s in (self.password, self.identity_token, self.basic.partition(" ")[2]) if s)


class _Entry(msgspec.Struct):
    auth: str | None = None
    username: str | None = None
    password: str | None = None
    identitytoken: str | None = None


class _DockerConfig(msgspec.Struct, rename="camel"):
    auths: dict[str, _Entry] | None = None
    creds_store: str | None = None
    cred_helpers: dict[str, str] | None = None


class _HelperAnswer(msgspec.Struct, rename="pascal"):
    username: str
    secret: str


class Credentials:
    """Finds the credential of a registry. Reads files off the event loop, runs helpers with a time limit.

    Args:
        base: folder that relative paths of the configuration start at.
        docker_config: docker's `config.json`; None: in `$DOCKER_CONFIG`, else in `~/.docker`.
        helper_timeout: seconds that a credential helper may take.
    """

    def __init__(self, base: Path, *, docker_config: Path | None = None, helper_timeout: float = 15.0) -> None:
        self.base = base
        self._docker_config = docker_config
        self._helper_timeout = helper_timeout

    async def of(self, config: RegistryConfig) -> Credential | None:
        """The credential of the registry; None: there is none, and requests are anonymous.

        Raises:
            ConfigurationError: what the configuration refers to is missing, or docker's `config.json` or the helper
                that it names cannot be used.
            AuthenticationError: the credential helper failed or took too long.
        """
        if config.username is not None and config.password is not None:
            purpose = f"password of registry {config.name}"
            password = await asyncio.to_thread(config.password.read, self.base, purpose)
            return Credential(config.username, password)
        path = self._docker_config or _docker_config_path()
        docker = await asyncio.to_thread(_read_docker_config, path)
        if docker is None:
            return None
        key = _key_for(config.host)
        helpers = docker.cred_helpers or {}
        helper = helpers.get(config.host) or helpers.get(key) or docker.creds_store
        if helper:
            found = await self._ask_helper(helper, key, config.name, path)
            if found is not None:
                return found
        return _stored(docker, config.host, path)

    async def _ask_helper(self, helper: str, key: str, registry: str, path: Path) -> Credential | None:
        if not _HELPER_NAME.match(helper):
            raise ConfigurationError(f"{helper[:40]!r} is not the name of a credential helper", "correct it", path=path)
        program = f"docker-credential-{helper}"
        try:
            process = await asyncio.create_subprocess_exec(program, "get", stdin=PIPE, stdout=PIPE, stderr=PIPE)
        except OSError as error:
            raise ConfigurationError(
                f"the credential helper {program} cannot be started: {error.strerror}",
                "install it, or give username and password of the registry",
                path=path,
            ) from error
        what = f"credential of registry {registry}"
        output = await self._converse(process, key, program, what)
        # The protocol tells an unknown server by this text and exit status 1.
        if process.returncode != 0:
            if b"credentials not found" in output:
                return None
            raise AuthenticationError(
                what, f"{program} failed with exit status {process.returncode}", f"run `{program} get` to see why"
            )
        try:
            answer = msgspec.json.decode(output, type=_HelperAnswer)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            # The answer holds the secret, and so might a message about it.
            raise AuthenticationError(
                what, f"{program} did not answer in the helpers' protocol", f"run `{program} get` to see why"
            ) from error
        if answer.username == _TOKEN_USER:
            return Credential("", "", answer.secret)
        return Credential(answer.username, answer.secret)

    async def _converse(self, process: Process, key: str, program: str, what: str) -> bytes:
        try:
            async with asyncio.timeout(self._helper_timeout):
                output, _ = await process.communicate(key.encode())
        except TimeoutError as error:
            raise AuthenticationError(
                what,
                f"{program} did not answer within {self._helper_timeout:g} s",
                f"run `{program} get` to see what it waits for",
            ) from error
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if len(output) > _LARGEST_ANSWER:
            raise AuthenticationError(what, f"{program} answered with {len(output)} bytes", "check the helper")
        return output


def _docker_config_path() -> Path:
    folder = os.environ.get("DOCKER_CONFIG")
    return (Path(folder) if folder else Path("~/.docker").expanduser()) / "config.json"


def _read_docker_config(path: Path) -> _DockerConfig | None:
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST_FILE + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ConfigurationError(
            f"docker's configuration cannot be read: {error.strerror}", "make it readable, or move it away", path=path
        ) from error
    if len(data) > _LARGEST_FILE:
        raise ConfigurationError("docker's configuration is larger than 1 MiB", "check what wrote it", path=path)
    try:
        return msgspec.json.decode(data, type=_DockerConfig)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigurationError(f"docker's configuration is malformed: {error}", "correct it", path=path) from error


def _key_for(host: str) -> str:
    return _DOCKER_HUB_KEY if host in DOCKER_HUB_HOSTS else host


def _stored(docker: _DockerConfig, host: str, path: Path) -> Credential | None:
    auths = docker.auths or {}
    wanted = DOCKER_HUB_HOSTS if host in DOCKER_HUB_HOSTS else {host}
    entry = auths.get(_key_for(host))
    if entry is None:
        entry = next((found for key, found in auths.items() if _host_of(key) in wanted), None)
    if entry is None:
        return None
    username, password = entry.username or "", entry.password or ""
    if entry.auth:
        try:
            pair = base64.b64decode(entry.auth, validate=True).decode("utf-8")
        except (binascii.Error, UnicodeDecodeError) as error:
            raise ConfigurationError(
                f"the entry of {host} in docker's configuration is not base64", "log in again", path=path
            ) from error
        # Docker pads with NUL what it once encrypted.
        username, _, password = pair.rstrip("\0").partition(":")
    if entry.identitytoken:
        return Credential(username, password, entry.identitytoken)
    return Credential(username, password) if username else None


def _host_of(key: str) -> str:
    return key.partition("://")[2].partition("/")[0] or key.partition("/")[0]
