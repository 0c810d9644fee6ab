"""Connecting by a kubeconfig: credentials of every kind, and servers that do not answer as they should."""

from __future__ import annotations

import asyncio
import json
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from backend.cluster.connection import ClusterConnection
from backend.cluster.exec_credential import run_plugin
from backend.cluster.kubeconfig import read_context
from backend.core.errors import (
    AuthenticationError,
    ConfigurationError,
    LimitExceededError,
    UnreachableError,
)
from tests.fakes.cluster_server import says, scripted, write_kubeconfig
from tests.fakes.ports import FixedClock

UNAUTHORISED = {"kind": "Status", "code": 401, "reason": "Unauthorized", "message": "Unauthorized"}


def _plugin(folder: Path, program: str, **more: Any) -> dict[str, Any]:
    """An exec plugin that runs a line of Python."""
    file = folder / "plugin"
    file.write_text(f"#!{sys.executable}\n{program}\n", encoding="utf-8")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return {
        "exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "./plugin", "interactiveMode": "Never"}
        | more
    }


def _credential(**status: Any) -> str:
    answer = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}
    return f"print({json.dumps(answer)!r})"


async def _authorization(user: dict[str, Any], folder: Path, clock: FixedClock) -> str | None:
    async with scripted() as server:
        server.then(says({}))
        path = write_kubeconfig(folder / "config", server.url, {"me": user})
        connection = await ClusterConnection.open(None, path, clock=clock)
        try:
            await connection.request("GET", "/version")
        finally:
            await connection.close()
        return server.requests[0].headers.get("Authorization")


async def test_a_token_is_sent(tmp_path: Path, clock: FixedClock) -> None:
    assert await _authorization({"token": "abc"}, tmp_path, clock) == "Bearer abc"


async def test_a_token_file_is_read_from_the_kubeconfigs_folder(tmp_path: Path, clock: FixedClock) -> None:
    (tmp_path / "token").write_text("from-file\n", encoding="utf-8")
    assert await _authorization({"tokenFile": "token"}, tmp_path, clock) == "Bearer from-file"


async def test_basic_authentication_is_sent(tmp_path: Path, clock: FixedClock) -> None:
    assert await _authorization({"username": "u", "password": "p"}, tmp_path, clock) == "Basic dTpw"


async def test_nobody_sends_nothing(tmp_path: Path, clock: FixedClock) -> None:
    assert await _authorization({}, tmp_path, clock) is None


async def test_an_exec_plugins_token_is_sent(tmp_path: Path, clock: FixedClock) -> None:
    user = _plugin(tmp_path, _credential(token="from-plugin"))
    assert await _authorization(user, tmp_path, clock) == "Bearer from-plugin"


async def test_impersonation_is_sent_and_told(tmp_path: Path, clock: FixedClock) -> None:
    async with scripted() as server:
        server.then(says({}))
        path = write_kubeconfig(tmp_path / "config", server.url, {"me": {"token": "t", "as": "boss"}})
        connection = await ClusterConnection.open(None, path, clock=clock)
        try:
            await connection.request("GET", "/version")
            assert connection.impersonates == "boss"
        finally:
            await connection.close()
        assert server.requests[0].headers["Impersonate-User"] == "boss"


async def test_a_refused_token_is_renewed_once(tmp_path: Path, clock: FixedClock) -> None:
    token = tmp_path / "token"
    token.write_text("old", encoding="utf-8")
    async with scripted() as server:
        server.then(says(UNAUTHORISED, 401), says({"gitVersion": "v1"}))
        path = write_kubeconfig(tmp_path / "config", server.url, {"me": {"tokenFile": "token"}})
        connection = await ClusterConnection.open(None, path, clock=clock)
        token.write_text("new", encoding="utf-8")
        try:
            assert (await connection.request("GET", "/version")).status == 200
        finally:
            await connection.close()
        assert [request.headers["Authorization"] for request in server.requests] == ["Bearer old", "Bearer new"]


async def test_a_credential_about_to_expire_is_renewed_before_it_is_used(tmp_path: Path, clock: FixedClock) -> None:
    counter = tmp_path / "count"
    program = (
        "import json,pathlib\n"
        f"file = pathlib.Path({str(counter)!r})\n"
        "n = int(file.read_text()) + 1 if file.exists() else 1\n"
        "file.write_text(str(n))\n"
        "print(json.dumps({'apiVersion': 'client.authentication.k8s.io/v1', 'kind': 'ExecCredential',"
        " 'status': {'token': f't{n}', 'expirationTimestamp': '2026-11-20T12:30:00Z'}}))"
    )
    async with scripted() as server:
        server.then(says({}))
        path = write_kubeconfig(tmp_path / "config", server.url, {"me": _plugin(tmp_path, program)})
        connection = await ClusterConnection.open(None, path, clock=clock)
        try:
            await connection.request("GET", "/version")
            clock.advance(minutes=29, seconds=30)
            await connection.request("GET", "/version")
        finally:
            await connection.close()
        assert [request.headers["Authorization"] for request in server.requests] == ["Bearer t1", "Bearer t2"]


@pytest.mark.parametrize(
    ("program", "more", "kind", "words"),
    [
        ("import sys; sys.exit('please sign in')", {}, AuthenticationError, "ended with status 1: please sign in"),
        ("print('hello')", {}, AuthenticationError, "no ExecCredential"),
        (_credential(), {}, AuthenticationError, "neither a token nor"),
        (_credential(token="x").replace("io/v1", "io/v1beta1"), {}, AuthenticationError, "asks for"),
        ("", {"command": "modelyard-no-such-plugin"}, ConfigurationError, "cannot be run"),
        ("", {"apiVersion": "v1"}, ConfigurationError, "apiVersion"),
        ("", {"interactiveMode": "Always"}, ConfigurationError, "terminal"),
        ("", {"args": "x"}, ConfigurationError, "args"),
        ("", {"env": [{"name": 1}]}, ConfigurationError, "env"),
    ],
)
async def test_a_plugin_that_fails_says_why(
    tmp_path: Path, program: str, more: dict[str, Any], kind: type[Exception], words: str
) -> None:
    path = write_kubeconfig(tmp_path / "config", "https://127.0.0.1:1", {"me": _plugin(tmp_path, program, **more)})
    with pytest.raises(kind, match=words):
        await run_plugin(await asyncio.to_thread(read_context, [path], None))


async def test_a_plugin_that_hangs_is_ended(tmp_path: Path) -> None:
    user = _plugin(tmp_path, "import time; time.sleep(600)")
    path = write_kubeconfig(tmp_path / "config", "https://127.0.0.1:1", {"me": user})
    with pytest.raises(AuthenticationError, match="did not answer within"):
        await run_plugin(await asyncio.to_thread(read_context, [path], None), patience=0.2)


@pytest.mark.parametrize(
    ("user", "cluster", "words"),
    [
        ({"client-certificate": "none.crt", "client-key": "none.key"}, {}, "none.crt"),
        ({"client-certificate-data": "!", "client-key-data": "!"}, {}, "is not base64"),
        ({}, {"certificate-authority-data": "bm90IGEgY2VydA=="}, "context 'me'"),
        ({"tokenFile": "none"}, {}, "none"),
        ({"token": ["x"], "as": "a", "as-groups": ["b", "c"]}, {}, "context 'me'|several groups"),
    ],
)
async def test_credentials_that_cannot_be_read_are_told(
    tmp_path: Path, clock: FixedClock, user: dict[str, Any], cluster: dict[str, Any], words: str
) -> None:
    path = write_kubeconfig(tmp_path / "config", "https://127.0.0.1:1", {"me": user}, cluster=cluster)
    with pytest.raises(ConfigurationError, match=words):
        await ClusterConnection.open(None, path, clock=clock)


async def test_a_server_that_is_not_there_is_unreachable(tmp_path: Path, clock: FixedClock) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    path = write_kubeconfig(tmp_path / "config", f"http://127.0.0.1:{port}", {"me": {"token": "t"}})
    connection = await ClusterConnection.open(None, path, clock=clock)
    try:
        with pytest.raises(UnreachableError, match=f"127.0.0.1:{port} cannot be reached") as caught:
            await connection.request("GET", "/version")
    finally:
        await connection.close()
    assert caught.value.exit_code == 6
    assert caught.value.what == "cluster of context me"


async def test_an_untrusted_certificate_is_told(tmp_path: Path, clock: FixedClock) -> None:
    async with scripted() as server:
        server.then(says({}))
        address = server.url.replace("http://", "https://")
        path = write_kubeconfig(tmp_path / "config", address, {"me": {"token": "t"}})
        connection = await ClusterConnection.open(None, path, clock=clock)
        try:
            with pytest.raises(UnreachableError, match=r"certificate of .* is not trusted"):
                await connection.request("GET", "/version")
        finally:
            await connection.close()


async def test_a_busy_server_is_asked_again_when_it_says_so(tmp_path: Path, clock: FixedClock) -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    async with scripted() as server:
        server.then(says({}, 429, **{"Retry-After": "3"}), says({}, 429, **{"Retry-After": "9999"}), says({}))
        path = write_kubeconfig(tmp_path / "config", server.url, {"me": {"token": "t"}})
        connection = await ClusterConnection.open(None, path, clock=clock, sleep=sleep)
        try:
            assert (await connection.request("GET", "/version")).status == 200
        finally:
            await connection.close()
    assert waits == [3.0, 10.0]


async def test_an_answer_larger_than_asked_for_is_refused(tmp_path: Path, clock: FixedClock) -> None:
    async with scripted() as server:
        server.then(says(b"x" * 100_000))
        path = write_kubeconfig(tmp_path / "config", server.url, {"me": {"token": "t"}})
        connection = await ClusterConnection.open(None, path, clock=clock)
        try:
            with pytest.raises(LimitExceededError):
                await connection.request("GET", "/version", limit=1000)
        finally:
            await connection.close()


def test_the_room_is_imported_without_its_libraries() -> None:
    """kubernetes and aiohttp take longer to import than the screen may take to paint."""
    program = (
        "import sys, backend.cluster.client, backend.serving.board, backend.serving.planner;"
        "print([name for name in ('kubernetes', 'aiohttp') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


async def test_inline_keys_leave_no_file_behind(
    tmp_path: Path, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    user = {"client-key-data": "YQ==", "client-certificate-data": "YQ=="}
    path = write_kubeconfig(tmp_path / "config", "https://127.0.0.1:1", {"me": user})
    with pytest.raises(ConfigurationError):
        await ClusterConnection.open(None, path, clock=clock)
    assert list(temporary.iterdir()) == []
