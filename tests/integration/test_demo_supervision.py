"""The demo's child process: it says where it serves, and nothing of it stays whoever ends first."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from backend.demo.supervision import DemoStartError, Servers, start_servers

ROOT = Path(__file__).parents[2]
#: A parent that starts the servers, tells their process id and registry, and then waits for its end.
PARENT = """
import asyncio, sys
from backend.demo.supervision import start_servers
async def main():
    servers = await start_servers(1)
    print(servers.pid, servers.registry.host, flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""


def listens(host: str) -> bool:
    name, _, port = host.rpartition(":")
    try:
        with socket.create_connection((name, int(port)), timeout=1):
            return True
    except OSError:
        return False


def becomes_true(condition: Callable[[], bool], limit: float = 5.0) -> bool:
    """Whether a condition holds within `limit` seconds; blocks, since nothing tells when a foreign process does it."""
    deadline = time.monotonic() + limit
    while not (held := condition()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return held


def runs(pid: int) -> bool:
    """Whether a process is there and not merely waiting to be collected by whoever adopted it."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except ProcessLookupError:
        return False
    except FileNotFoundError:
        return not Path("/proc/self").exists()


def hosts_of(servers: Servers) -> list[str]:
    return [servers.registry.host, servers.registry.blob_host]


async def test_it_serves_what_it_announces_and_leaves_nothing() -> None:
    async with await start_servers(7) as servers:
        assert servers.registry.public_key.startswith("-----BEGIN PUBLIC KEY-----")
        assert all(map(listens, hosts_of(servers)))
        async with httpx.AsyncClient(base_url=servers.registry.url, trust_env=False) as client:
            auth = httpx.BasicAuth(servers.registry.username, servers.registry.password)
            answer = await client.get("/auth/token", params={"scope": "registry:catalog:*"}, auth=auth)
            headers = {"Authorization": f"Bearer {answer.json()['token']}"}
            assert len((await client.get("/v2/_catalog", headers=headers)).json()["repositories"]) > 40
    assert await servers.wait() == 0
    assert not runs(servers.pid)
    assert not any(map(listens, hosts_of(servers)))


async def test_it_starts_where_another_package_named_backend_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "backend").mkdir()
    (tmp_path / "backend" / "__init__.py").write_text("raise SystemExit('the wrong one')")
    monkeypatch.chdir(tmp_path)
    async with await start_servers(7) as servers:
        assert listens(servers.registry.host)


async def test_closing_is_quick_with_open_connections_and_can_be_repeated() -> None:
    servers = await start_servers(7)
    reader, writer = await asyncio.open_connection("127.0.0.1", int(servers.registry.host.rpartition(":")[2]))
    try:
        writer.write(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"401" in await reader.readline()
        began = time.monotonic()
        await servers.close()
        assert time.monotonic() - began < 2
        await servers.close()
    finally:
        writer.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_signals_end_it(number: signal.Signals) -> None:
    servers = await start_servers(7)
    os.kill(servers.pid, number)
    assert await asyncio.wait_for(servers.wait(), 3) == 0
    await servers.close()
    assert not listens(servers.registry.host)


async def test_a_stopped_child_is_killed_within_two_seconds() -> None:
    servers = await start_servers(7)
    os.kill(servers.pid, signal.SIGSTOP)
    began = time.monotonic()
    await servers.close()
    assert time.monotonic() - began < 2.5
    assert await servers.wait() == -signal.SIGKILL


async def test_ctrl_c_in_the_terminal_does_not_reach_it() -> None:
    async with await start_servers(7) as servers:
        assert os.getpgid(servers.pid) != os.getpgid(0)


async def test_the_end_of_its_input_ends_it() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "backend.demo", "--seed", "3", cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None and process.stdout is not None
    assert b'"registry"' in await asyncio.wait_for(process.stdout.readline(), 20)
    process.stdin.close()
    assert await asyncio.wait_for(process.wait(), 3) == 0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_the_end_of_its_parent_ends_it(number: signal.Signals, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path), "HOME": str(tmp_path)}
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", PARENT, env=environment, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    pid, host = (await asyncio.wait_for(parent.stdout.readline(), 20)).decode().split()
    assert listens(host)
    parent.send_signal(number)
    await parent.wait()
    assert await asyncio.to_thread(becomes_true, lambda: not runs(int(pid)))
    assert not listens(host)
    assert await asyncio.to_thread(os.listdir, tmp_path) == []


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo 'no port left' >&2; exit 3", ["ended with status 3", "no port left"]),
        ("echo nonsense; sleep 60", ["not understood"]),
        ("echo '[]'; sleep 60", ["not understood"]),
        ("echo '{\"registry\": {}}'; sleep 60", ["not understood"]),
        ("head -c 300000 /dev/zero | tr '\\0' x; sleep 60", ["not understood"]),
        ("head -c 300000 /dev/zero | tr '\\0' x >&2; exec sleep 60", ["within 0.5 s"]),
    ],
)
async def test_a_failed_start_says_why(tmp_path: Path, script: str, said: list[str]) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    with pytest.raises(DemoStartError) as caught:
        await start_servers(7, limit=0.5 if "0.5" in said[0] else 10, python=str(python))
    for each in said:
        assert each in str(caught.value)


async def test_a_missing_interpreter_is_a_failed_start(tmp_path: Path) -> None:
    with pytest.raises(DemoStartError, match="No such file"):
        await start_servers(7, python=str(tmp_path / "none"))


async def test_a_start_that_is_cancelled_leaves_nothing(tmp_path: Path) -> None:
    python, told = tmp_path / "python", tmp_path / "pid"
    python.write_text(f"#!/bin/sh\necho $$ >{told}.part; mv {told}.part {told}; exec sleep 60\n")
    python.chmod(0o755)
    task = asyncio.create_task(start_servers(7, python=str(python)))
    assert await asyncio.to_thread(becomes_true, told.exists)
    pid = int(told.read_text())
    assert runs(pid)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not runs(pid)
