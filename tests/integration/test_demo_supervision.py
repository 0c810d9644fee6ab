"""The demo's child processes: they say where they serve, and nothing of them stays whoever ends first."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from backend.demo.supervision import Servers, ServersFailedError, start_crew, start_servers

ROOT = Path(__file__).parents[2]
#: A parent that starts the servers with a folder of its own, tells where they are, and then waits for its end.
PARENT = """
import pathlib, sys, time
from backend.demo.supervision import start_servers
with start_servers(1, remove_on_death=pathlib.Path(sys.argv[1])) as servers:
    print(servers.child.pid, servers.registry.host, servers.cluster.url, flush=True)
    time.sleep(600)
"""


def listens(host: str) -> bool:
    name, _, port = host.removeprefix("http://").rpartition(":")
    try:
        with socket.create_connection((name, int(port)), timeout=1):
            return True
    except OSError:
        return False


def becomes_true(condition: Callable[[], bool], limit: float = 6.0) -> bool:
    """Whether a condition holds within `limit` seconds; nothing tells when a foreign process makes it hold."""
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


def addresses(servers: Servers) -> list[str]:
    return [servers.registry.host, servers.registry.blob_host, servers.cluster.url]


@contextmanager
def parent_of_servers(home: Path, outside: Path) -> Iterator[tuple[subprocess.Popen[bytes], int, list[str]]]:
    """A running parent, the process id of its servers, and where they listen."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(outside), "HOME": str(outside)}
    command = [sys.executable, "-c", PARENT, str(home)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid, *listening = parent.stdout.readline().decode().split()
        yield parent, int(pid), listening


def test_they_serve_what_they_announce_and_leave_nothing() -> None:
    with start_servers(7) as servers:
        assert servers.registry.public_key.startswith("-----BEGIN PUBLIC KEY-----")
        assert all(map(listens, addresses(servers)))
        with httpx.Client(base_url=servers.registry.url, trust_env=False) as client:
            auth = httpx.BasicAuth(servers.registry.username, servers.registry.password)
            answer = client.get("/auth/token", params={"scope": "registry:catalog:*"}, auth=auth)
            headers = {"Authorization": f"Bearer {answer.json()['token']}"}
            assert len(client.get("/v2/_catalog", headers=headers).json()["repositories"]) > 40
        with httpx.Client(base_url=servers.cluster.url, trust_env=False) as client:
            headers = {"Authorization": f"Bearer {servers.cluster.tokens['robin']}"}
            services = client.get("/apis/serving.kserve.io/v1beta1/inferenceservices", headers=headers).json()["items"]
            assert len(services) > 5
            assert servers.registry.host in str(services), "the services run what the registry serves"
    assert servers.child.status == 0
    assert not runs(servers.child.pid)
    assert not any(map(listens, addresses(servers)))


def test_secrets_are_not_in_what_is_printed_of_them() -> None:
    with start_servers(7) as servers:
        shown = repr(servers)
        assert servers.registry.password not in shown
        assert not any(token in shown for token in servers.cluster.tokens.values())


def test_they_start_where_another_package_named_backend_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "backend").mkdir()
    (tmp_path / "backend" / "__init__.py").write_text("raise SystemExit('the wrong one')")
    monkeypatch.chdir(tmp_path)
    with start_servers(7) as servers:
        assert listens(servers.registry.host)


def test_closing_is_quick_with_open_connections_and_can_be_repeated() -> None:
    servers = start_servers(7)
    try:
        token = servers.cluster.tokens["robin"]
        with socket.create_connection(("127.0.0.1", int(servers.cluster.url.rpartition(":")[2])), timeout=5) as watch:
            path = "/apis/serving.kserve.io/v1beta1/inferenceservices?watch=1"
            watch.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
            assert b"200" in watch.recv(64)
            began = time.monotonic()
            servers.close()
            assert time.monotonic() - began < 2
    finally:
        servers.close()
    assert servers.child.status == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_end_them_and_spare_the_folder_of_a_living_parent(number: signal.Signals, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with start_servers(7, remove_on_death=home) as servers:
        os.kill(servers.child.pid, number)
        assert servers.child.wait(3) == 0
        assert not listens(servers.registry.host)
    assert home.exists()


def test_a_stopped_child_is_killed_within_two_seconds() -> None:
    with start_servers(7) as servers:
        os.kill(servers.child.pid, signal.SIGSTOP)
        began = time.monotonic()
        servers.close()
        assert time.monotonic() - began < 2.5
        assert servers.child.status == -signal.SIGKILL


def test_ctrl_c_in_the_terminal_does_not_reach_them() -> None:
    with start_servers(7) as servers:
        assert os.getpgid(servers.child.pid) != os.getpgid(0)


def test_the_end_of_their_input_ends_them() -> None:
    command = [sys.executable, "-m", "backend.demo", "--seed", "3"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        assert b'"registry"' in process.stdout.readline()
        process.stdin.close()
        assert process.wait(3) == 0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_end_of_their_parent_ends_them_and_removes_its_folder(number: signal.Signals, tmp_path: Path) -> None:
    home, outside = tmp_path / "home", tmp_path / "outside"
    (home / "deep").mkdir(parents=True)
    outside.mkdir()
    (home / "deep" / "modelyard.db").write_bytes(b"x")
    with parent_of_servers(home, outside) as (parent, pid, listening):
        assert all(map(listens, listening))
        parent.send_signal(number)
        parent.wait(5)
    assert becomes_true(lambda: not runs(pid))
    assert not any(map(listens, listening))
    assert not home.exists()
    assert list(outside.iterdir()) == []


def test_they_end_with_their_parent_even_when_another_process_holds_their_input(tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux tells a child of its parent's death")
    script = (
        "import os, subprocess, sys, time\n"
        "from backend.demo.supervision import start_servers\n"
        "servers = start_servers(1)\n"
        "pipe = servers.child._input.fileno()\n"
        "other = subprocess.Popen(['sleep', '60'], pass_fds=[pipe], stdout=subprocess.DEVNULL)\n"
        "print(servers.child.pid, other.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid, other = map(int, parent.stdout.readline().split())
        parent.kill()
    try:
        assert becomes_true(lambda: not runs(pid))
    finally:
        os.kill(other, signal.SIGKILL)


@pytest.mark.parametrize(
    ("script", "limit", "said"),
    [
        ("echo 'no port left' >&2; exit 3", 10, ["ended with status 3", "no port left"]),
        ("echo nonsense; sleep 60", 10, ["not understood"]),
        ("echo '[]'; sleep 60", 10, ["not understood"]),
        ("echo '{\"registry\": {}}'; sleep 60", 10, ["not understood"]),
        ("head -c 3000000 /dev/zero | tr '\\0' x; sleep 60", 10, ["not understood"]),
        ("head -c 300000 /dev/zero | tr '\\0' x >&2; exec sleep 60", 0.5, ["within 0.5 s"]),
    ],
)
def test_a_failed_start_says_why(tmp_path: Path, script: str, limit: float, said: list[str]) -> None:
    with pytest.raises(ServersFailedError) as caught:
        start_servers(7, limit=limit, python=str(program(tmp_path, script)))
    for each in said:
        assert each in str(caught.value)


def program(folder: Path, script: str) -> Path:
    """A shell script that stands in for the interpreter."""
    file = folder / "python"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return file


def test_a_missing_interpreter_is_a_failed_start(tmp_path: Path) -> None:
    with pytest.raises(ServersFailedError, match="No such file"):
        start_servers(7, python=str(tmp_path / "none"))


def test_a_start_that_is_interrupted_leaves_nothing(tmp_path: Path) -> None:
    told = tmp_path / "pid"
    python = program(tmp_path, f"echo $$ >{told}.part; mv {told}.part {told}; exec sleep 60")

    def interrupt() -> None:
        becomes_true(told.exists)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        start_servers(7, python=str(python))
    thread.join()
    assert not runs(int(told.read_text()))


def test_a_crew_ends_with_its_input_and_finds_the_same_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    script = "import backend.demo, sys; sys.stderr.write('on board'); sys.stdin.read(); sys.exit(4)"
    with start_crew([sys.executable, "-c", script]) as crew:
        assert runs(crew.pid)
    assert (crew.status, crew.complaints) == (4, "on board")
