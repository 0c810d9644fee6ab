"""`gpu`: as a table, by groups, and again and again."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from backend.cli.commands.gpu import is_first_sample
from tests.fakes.cli import ROOT, Place
from tests.fakes.cli_cluster import ThreadedCluster
from tests.fakes.gpu_room import room
from tests.fakes.terminal import Terminal, require_tmux


@pytest.fixture(scope="module")
def cluster() -> Iterator[ThreadedCluster]:
    with ThreadedCluster(registry_host="nowhere") as running:
        yield running


@pytest.fixture
def place(cluster: ThreadedCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(cluster.kubeconfig())
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    return Place(tmp_path / "place")


def test_gpus_are_chosen_ordered_and_summed(place: Place) -> None:
    everything = place.json("gpu")
    assert len(everything) == 32 and {"key", "node", "state", "source", "age"} <= set(everything[0])
    first = place.json("gpu", "--filter", "node:gpu-01", "--sort", "node")
    assert [gpu["index"] for gpu in first] == list(range(8)) and {gpu["node"] for gpu in first} == {"gpu-01"}
    turned = place.json("gpu", "--filter", "node:gpu-01", "--sort", "-node")
    assert [gpu["index"] for gpu in turned] == list(range(7, -1, -1))
    nodes = place.json("gpu", "--by", "node")
    assert sum(group["gpus"] for group in nodes) == 32
    assert all(group["gpus"] == sum(group["states"].values()) for group in nodes)
    table = place.run("gpu", "--by", "type")
    assert table.code == 0 and table.out.startswith("TYPE")
    assert place.run("gpu", "--filter", "node:nowhere").err.strip().startswith("no GPUs match")
    assert {gpu["state"] for gpu in place.json("gpu", "--idle")} <= {"idle"}


def test_a_sample_without_any_rate_is_known_for_the_first_one() -> None:
    later = room(8)
    assert not is_first_sample(later)
    silent = [msgspec.structs.replace(server, generation_tokens_per_second=None) for server in later.servers]
    assert is_first_sample(msgspec.structs.replace(later, servers=tuple(silent)))
    assert not is_first_sample(msgspec.structs.replace(later, servers=()))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--sort", "size"], "no order 'size'"),
        (["--by", "colour"], "not grouped by 'colour'"),
        (["--filter", "state:idel"], "no state 'idel'"),
        (["now"], "now"),
    ],
)
def test_wrong_use_is_told(place: Place, words: list[str], told: str) -> None:
    wrong = place.run("gpu", *words)
    assert wrong.code == 2 and told in wrong.error


def test_watching_off_a_terminal_appends_documents_until_interrupted(place: Place) -> None:
    process = place.start("gpu", "--watch", "-o", "json", "--filter", "node:gpu-01")
    assert process.stdout is not None
    lines = [process.stdout.readline(), process.stdout.readline()]
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    first, second = (json.loads(line) for line in lines)
    assert set(first) == {"at", "gpus", "pending", "notes"}
    assert len(first["gpus"]) == len(second["gpus"]) == 8
    assert first["at"] < second["at"]


def test_watching_on_a_terminal_draws_in_place_and_q_leaves(place: Place, tmp_path: Path) -> None:
    require_tmux()
    status = tmp_path / "status"
    kubeconfig = tmp_path / "kubeconfig"
    command = [sys.executable, "-m", "tui.main", "gpu", "--watch", "--config", str(place.config)]
    environment = {"KUBECONFIG": str(kubeconfig), "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    with Terminal(command, width=100, height=12, environment=environment, status=status) as terminal:
        shown = terminal.sees("NODE +GPU +PRODUCT", r"and \d+ more", "q leaves")
        assert shown.count("NODE") == 1
        stamp = shown.rstrip().splitlines()[-1].split()[0]
        deadline = time.monotonic() + 20
        while stamp in (again := terminal.screen()) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert stamp not in again and again.count("NODE") == 1
        terminal.type("q")
        assert terminal.ended() == 0
        assert "NODE" not in terminal.screen()
