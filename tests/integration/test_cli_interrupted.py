"""Ctrl-C at any point, and several people at once: whole processes on one database."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.cli import Place, Ran, ended
from tests.fakes.cli_registry import Answer, answering, image_registry, place_of
from tests.fakes.cli_world import NAMESPACE, World, running_world, until_serving

TAGS = tuple(f"1.{minor}" for minor in range(40))


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with running_world() as world:
        yield world


class CtrlC:
    """Presses Ctrl-C in a process when it has asked for the n-th time."""

    def __init__(self, at: int) -> None:
        self._at = at
        self._asked = 0
        self._lock = threading.Lock()
        self._started = threading.Event()
        self._process: subprocess.Popen[str] | None = None

    def of(self, process: subprocess.Popen[str]) -> subprocess.Popen[str]:
        """The process whose terminal it is."""
        self._process = process
        self._started.set()
        return process

    def asked(self) -> None:
        """It has asked a server."""
        with self._lock:
            self._asked += 1
            now = self._asked == self._at
        if now and self._started.wait(10) and self._process is not None:
            os.kill(self._process.pid, signal.SIGINT)


def assert_interrupted(ran: Ran, place: Place) -> None:
    assert ran.code == 130, ran
    assert "interrupted" in ran.error and ran.out == ""
    assert place.json("audit", "verify")["intact"]


@pytest.mark.parametrize("at", [1, 40])
def test_an_interrupted_sync_keeps_what_it_recorded_and_the_next_completes_it(tmp_path: Path, at: int) -> None:
    key = CtrlC(at)

    def answer(path: str) -> Answer:
        key.asked()
        return image_registry(path, tags=TAGS)

    with answering(answer) as url:
        place = place_of(tmp_path, url)
        assert_interrupted(ended(key.of(place.start("sync", "-o", "json"))), place)
        recorded = place.json("images", "list")
        assert len(recorded) < len(TAGS)
        rest = place.json("sync")
        assert len(rest["new"]) + len(recorded) == len(TAGS) and not rest["failed"]
    assert place.json("audit", "verify")["intact"]


def test_an_interrupted_worker_ends_its_run_and_gives_the_lease_back(tmp_path: Path) -> None:
    key = CtrlC(1)

    def answer(path: str) -> Answer:
        key.asked()
        return image_registry(path)

    with answering(answer) as url:
        place = place_of(tmp_path, url)
        place.configure(place.text + 'every = "1h"\n')
        assert_interrupted(ended(key.of(place.start("worker"))), place)
        connection = sqlite3.connect(place.database)
        assert connection.execute("SELECT count(*) FROM lease").fetchone() == (0,)
        connection.close()
        assert len(place.json("sync")["new"]) == 1


@pytest.mark.parametrize(("method", "at"), [("GET", 1), ("PATCH", 2), ("PATCH", 3)])
def test_an_interrupted_apply_is_not_called_done_and_can_be_done_again(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, at: int
) -> None:
    place = world.place(tmp_path, monkeypatch)
    name = f"cut-{method.lower()}-{at}"
    file = world.deployment(place, name, world.approved(place, "1.3.0"))
    key = CtrlC(at)

    def press(asked: str, path: str) -> None:
        if asked == method and "inferenceservices" in path:
            key.asked()

    world.cluster.on_request = press
    try:
        cut = ended(key.of(place.start("deploy", "apply", "-f", file, "--yes", "-o", "json")))
    finally:
        world.cluster.on_request = None
    assert_interrupted(cut, place)
    told = [entry["outcome"] for entry in place.json("audit", "list", "--action", "deploy.apply")]
    # The first two changing requests are dry runs, of the plan and before the apply.
    assert told == (["failed", "started"] if (method, at) == ("PATCH", 3) else [])
    again = place.run("deploy", "apply", "-f", file, "--yes", "-o", "json")
    assert again.code == 0, again.err
    service = world.cluster.get(NAMESPACE, name)
    assert service is not None
    assert service["spec"]["predictor"]["containers"][0]["image"] == world.reference("1.3.0")
    until_serving(place, name)
    assert place.json("audit", "verify")["intact"]


def test_two_that_synchronise_at_once_lose_nothing_and_count_nothing_twice(tmp_path: Path) -> None:
    both = threading.Barrier(2)

    def answer(path: str) -> Answer:
        if path.endswith("/tags/list"):
            both.wait(60)
        return image_registry(path, tags=TAGS)

    with answering(answer) as url:
        place = place_of(tmp_path, url)
        place.json("rules", "list")
        processes = [place.start("sync", "-o", "json") for _ in range(2)]
        for ran in [ended(process) for process in processes]:
            assert ran.code == 0, ran.err
            assert not ran.data["failed"] and not ran.data["moved"] and not ran.data["gone"]
    listed = place.json("images", "list")
    assert sorted(image["tag"] for image in listed) == sorted(TAGS)
    for tag in ("1.0", "1.39"):
        assert [event["change"] for event in place.json("images", "history", f"r/a/b:{tag}")] == ["new"]
    assert place.json("audit", "verify")["intact"]


@pytest.mark.parametrize(("approvals", "codes"), [(1, [0, 4]), (2, [0, 0])])
def test_two_that_decide_at_the_same_instant_decide_once_each_and_the_image_once(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, approvals: int, codes: list[int]
) -> None:
    place = world.place(tmp_path, monkeypatch, f"[policy]\napprovals = {approvals}\n")
    place.json("sync")
    reference = world.reference("1.3.0")
    shown = place.json("queue", "show", reference)["evidence_hash"]
    asked = threading.Semaphore(0)

    def meet(_: str, path: str) -> None:
        if path.endswith("selfsubjectreviews"):
            asked.release()

    world.cluster.on_request = meet
    words = ["approve", reference, "--reason", "reviewed", "--evidence", shown, "-o", "json", "--context"]
    holder = sqlite3.connect(place.database, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    try:
        processes = [place.start(*words, who) for who in ("robin", "mira")]
        for _ in processes:
            assert asked.acquire(timeout=60)
    finally:
        # Both know who they are and wait for their turn to write.
        holder.execute("ROLLBACK")
        holder.close()
        world.cluster.on_request = None
    ran = [ended(process) for process in processes]
    assert sorted(each.code for each in ran) == codes, ran
    now = place.json("queue", "show", reference)
    assert now["state"] == "approved" and len(now["approvals"]) == approvals
    outcomes = [entry["outcome"] for entry in place.json("audit", "list", "--action", "queue.approve")]
    assert sorted(outcomes) == sorted("done" if code == 0 else "refused" for code in codes)
    assert place.json("audit", "verify")["intact"]
