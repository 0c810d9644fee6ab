"""Runs `trivy` or `grype` on an image, where the operator has one.

Arguments and answers: Trivy 0.50 to 0.66 (`trivy image`, `trivy version --format json`), Grype 0.79 to 0.104
(`grype registry:IMAGE -o json`, `grype version -o json`, `grype db status -o json`). An image is named by its digest.
Credentials go into a `config.json` of docker's form in a folder that only we can read and that is removed after; they
are never among the arguments, which everybody on the machine can see.
"""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Container
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Final, Literal, NamedTuple, TypeAlias

import msgspec

from backend.core.errors import MalformedDataError, ModelyardError, NotFoundError
from backend.evidence.config import ScannerConfig
from backend.evidence.decoding import REPORT_LIMIT, clean, decode, moment
from backend.evidence.processes import clean_environment, run_program

Kind: TypeAlias = Literal["trivy", "grype"]

_KINDS: Final[tuple[Kind, ...]] = ("trivy", "grype")
_VERSION_SECONDS: Final = 20.0
_VERSION_LIMIT: Final = 1 << 20


class Scanner(msgspec.Struct, frozen=True, kw_only=True):
    """A scanner that was found.

    Attributes:
        path: of the program.
        version: empty: it does not tell.
        database_at: when its database was made; None: not told, or there is none yet.
        problem: why it cannot be used; empty: it can, as far as was seen.
    """

    kind: Kind
    path: str
    version: str = ""
    database_at: datetime | None = None
    problem: str = ""

    @property
    def name(self) -> str:
        """How people call it."""
        return self.kind.capitalize()


class Login(NamedTuple):
    """What a registry is asked with; `identity_token` instead of a password where it is not empty."""

    username: str
    password: str
    identity_token: str

    def __repr__(self) -> str:
        return "Login(...)"


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """What is scanned.

    Attributes:
        reference: `host/repository@digest`.
        host: of the registry, with port.
        insecure: it is spoken to without TLS.
        ca: certificate authority to trust instead of the system's; None: the system's.
        login: None: anonymously.
    """

    reference: str
    host: str
    insecure: bool = False
    ca: Path | None = None
    login: Login | None = None


class _TrivyDatabase(msgspec.Struct, frozen=True, rename="pascal"):
    updated_at: str | None = None


class _TrivyVersion(msgspec.Struct, frozen=True, rename="pascal"):
    version: str | None = None
    vulnerability_db: _TrivyDatabase | None = msgspec.field(name="VulnerabilityDB", default=None)


class _GrypeVersion(msgspec.Struct, frozen=True):
    version: str | None = None


class _GrypeDatabase(msgspec.Struct, frozen=True):
    built: str | None = None


_TRIVY_VERSION: Final = msgspec.json.Decoder(_TrivyVersion)
_GRYPE_VERSION: Final = msgspec.json.Decoder(_GrypeVersion)
_GRYPE_DATABASE: Final = msgspec.json.Decoder(_GrypeDatabase)


async def find(config: ScannerConfig) -> tuple[Scanner, ...]:
    """The scanners that can be run, the one that is used first; empty: there is none.

    A configured one is told of though it is not there, with the problem.
    """
    wanted: list[tuple[Kind, str]] = [(kind, kind) for kind in _KINDS]
    if config.command:
        wanted = [(config.kind or _kind_of(config.command), config.command)]
    found = []
    for kind, command in wanted:
        path = await asyncio.to_thread(shutil.which, command)
        if path is not None:
            found.append(await _asked(kind, path))
        elif config.command:
            found.append(Scanner(kind=kind, path=command, problem="there is no such program on PATH"))
    return tuple(found)


async def choose(config: ScannerConfig) -> Scanner:
    """The scanner that is used.

    Raises:
        NotFoundError: there is none that can be.
    """
    found = await find(config)
    usable = next((each for each in found if not each.problem), None)
    if usable is None:
        why = found[0].problem if found else "neither trivy nor grype is on PATH"
        raise NotFoundError(
            "scanner", why, "install one, name it in [scanner], or import a report that it made elsewhere"
        )
    return usable


async def scan(
    scanner: Scanner,
    target: Target,
    config: ScannerConfig,
    *,
    withheld: Container[str] = (),
    on_line: Callable[[str], None] | None = None,
) -> bytes:
    """Scan an image; cancelling this ends the scanner.

    Args:
        withheld: names of variables that hold secrets of the configuration.
        on_line: told what the scanner says of its progress.

    Returns:
        the report as the scanner wrote it, JSON.

    Raises:
        ToolError: the scanner cannot be started, takes too long or fails.
        LimitExceededError: it writes too much.
    """
    async with _login_folder(target) as folder:
        environment = clean_environment(os.environ, withheld=withheld, further=_settings(scanner.kind, target, folder))
        return await run_program(
            [scanner.path, *_arguments(scanner.kind, target, config)],
            what=f"scan of {target.reference} by {scanner.name}",
            environment=environment,
            seconds=config.timeout.total_seconds(),
            limit=REPORT_LIMIT,
            on_line=on_line,
        )


async def refreshed(scanner: Scanner) -> Scanner:
    """The same scanner, asked again: a scan may have fetched a newer database."""
    return await _asked(scanner.kind, scanner.path)


def _arguments(kind: Kind, target: Target, config: ScannerConfig) -> list[str]:
    if kind == "trivy":
        own = ["image", "--format", "json", "--scanners", "vuln", "--image-src", "remote", "--no-progress"]
        return [*own, *config.arguments, target.reference]
    return ["--output", "json", *config.arguments, f"registry:{target.reference}"]


def _settings(kind: Kind, target: Target, folder: str) -> dict[str, str]:
    settings = {"DOCKER_CONFIG": folder}
    if target.ca is not None:
        settings["SSL_CERT_FILE"] = str(target.ca)
    if kind == "grype":
        settings["GRYPE_CHECK_FOR_APP_UPDATE"] = "false"
        if target.insecure:
            settings["GRYPE_REGISTRY_INSECURE_USE_HTTP"] = "true"
    elif target.insecure:
        settings["TRIVY_NON_SSL"] = "true"
    return settings


@asynccontextmanager
async def _login_folder(target: Target) -> AsyncIterator[str]:
    """A folder with docker's `config.json` that lets a scanner in at the registry, for as long as the block runs."""
    folder = await asyncio.to_thread(_make_login_folder, target)
    try:
        yield folder
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def _make_login_folder(target: Target) -> str:
    entries: dict[str, dict[str, str]] = {}
    if target.login is not None:
        login = target.login
        text = f"{login.username}:{login.password}".encode()
        entry = {"auth": base64.b64encode(text).decode("ascii")}
        entries[target.host] = {"identitytoken": login.identity_token} if login.identity_token else entry
    folder = tempfile.mkdtemp(prefix="modelyard-scan-")
    file = os.open(Path(folder) / "config.json", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(file, msgspec.json.encode({"auths": entries}))
    finally:
        os.close(file)
    return folder


def _kind_of(command: str) -> Kind:
    return "grype" if "grype" in Path(command).name else "trivy"


async def _asked(kind: Kind, path: str) -> Scanner:
    try:
        if kind == "trivy":
            told = decode(await _answer(path, "version", "--format", "json"), _TRIVY_VERSION, f"version of {path}")
            made = told.vulnerability_db.updated_at if told.vulnerability_db else None
            return Scanner(kind=kind, path=path, version=clean(told.version, 80), database_at=moment(made))
        own = decode(await _answer(path, "version", "-o", "json"), _GRYPE_VERSION, f"version of {path}")
    except ModelyardError as error:
        return Scanner(kind=kind, path=path, problem=f"it does not tell its version: {clean(error.why, 200)}")
    try:
        status = decode(await _answer(path, "db", "status", "-o", "json"), _GRYPE_DATABASE, f"database of {path}")
    except (ModelyardError, MalformedDataError):
        # Before its first scan Grype has no database, and its status ends with 1.
        status = _GrypeDatabase()
    return Scanner(kind=kind, path=path, version=clean(own.version, 80), database_at=moment(status.built))


async def _answer(path: str, *arguments: str) -> bytes:
    return await run_program(
        [path, *arguments],
        what=f"{Path(path).name} {arguments[0]}",
        environment=clean_environment(os.environ),
        seconds=_VERSION_SECONDS,
        limit=_VERSION_LIMIT,
    )
