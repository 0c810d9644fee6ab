"""Runs of the synchroniser as whole processes: killed, stopped from elsewhere, overlapping, and what they tell."""

from __future__ import annotations

import json
import os
import pty
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.cli import Place, ended, registry_table, rule_table
from tests.fakes.cli_registry import CONFIG, Answer, answering, digest_of

TAGS = 40
_ROOT = Path(__file__).parents[2]
_COMMAND = (sys.executable, "-m", "tui.main")


class Images:
    """Repositories `m/0` and `m/1` with tags that each name an image of their own.

    Attributes:
        asked: manifests and blobs by digest.
        at_head: called with how many tags were asked for.
    """

    def __init__(self) -> None:
        self.built: dict[str, str] = {}
        self.content: dict[str, bytes] = {digest_of(CONFIG): CONFIG}
        self.heads = 0
        self.fetched: list[str] = []
        self.at_head: Callable[[int], None] = lambda count: None
        self._lock = threading.Lock()
        for number in range(TAGS):
            self.push(f"m/{number % 2}", f"1.{number}")

    def push(self, repository: str, tag: str, built: str = "once") -> str:
        manifest = json.dumps(
            {
                "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "annotations": {"of": f"{repository}:{tag} {built}"}, "layers": [],
                "config": {
                    "mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest_of(CONFIG),
                    "size": len(CONFIG),
                },
            }
        ).encode()  # fmt: skip
        digest = digest_of(manifest)
        self.content[digest] = manifest
        self.built[f"{repository}:{tag}"] = digest
        return digest

    def answer(self, path: str) -> Answer:
        """What the registry says; a HEAD and a GET by tag are the same to it."""
        repository, _, rest = path.removeprefix("/v2/").partition("/tags/list")
        if path.endswith("/tags/list"):
            tags = [name.partition(":")[2] for name in self.built if name.startswith(f"{repository}:")]
            return 200, {"Content-Type": "application/json"}, json.dumps({"tags": tags}).encode()
        repository, _, rest = path.removeprefix("/v2/").partition("/manifests/")
        if "/blobs/" in path:
            digest = path.rpartition("/")[2]
            kind = "application/octet-stream"
        else:
            digest = self.built.get(f"{repository}:{rest}", rest)
            kind = "application/vnd.oci.image.manifest.v1+json"
            if digest != rest:
                with self._lock:
                    self.heads += 1
                    count = self.heads
                self.at_head(count)
            else:
                self.fetched.append(digest)
        if digest not in self.content:
            return 404, {}, b""
        return 200, {"Content-Type": kind, "Docker-Content-Digest": digest}, self.content[digest]


def place_of(folder: Path, url: str, *rules: str) -> Place:
    tables = [rule_table(name, "r", 'repositories = ["m/0", "m/1"]') for name in rules or ("all",)]
    return Place(folder / "place", registry_table("r", url, "max_concurrency = 4") + "".join(tables))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))


def events(place: Place) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(place.database)) as connection:
        return connection.execute("SELECT repository, tag, change FROM tag_event").fetchall()


def has_ended_one(place: Place) -> bool:
    """Whether a repository of the run is through."""
    with closing(sqlite3.connect(place.database)) as connection:
        return connection.execute("SELECT 1 FROM sync_journal WHERE state = 'done'").fetchone() is not None


def test_a_run_killed_on_the_way_is_gone_on_with(tmp_path: Path) -> None:
    images = Images()
    with answering(images.answer) as url:
        place = place_of(tmp_path, url)
        started: list[subprocess.Popen[str]] = []
        ready = threading.Event()

        def kill(count: int) -> None:
            if count == TAGS * 7 // 10:
                ready.wait(20)
                deadline = time.monotonic() + 20
                # The repository whose tag is held up here stays partial; the other one goes on to its end.
                while not (len(events(place)) > TAGS // 3 and has_ended_one(place)) and time.monotonic() < deadline:
                    time.sleep(0.01)
                started[0].kill()

        images.at_head = kill
        started.append(place.start("sync", "-o", "json"))
        ready.set()
        assert ended(started[0]).code == -signal.SIGKILL
        images.at_head = lambda count: None
        stored = place.json("images", "list")
        assert TAGS // 3 < len(stored) < TAGS
        images.heads, images.fetched = 0, []
        rest = place.json("sync")
        killed, resumed = reversed(place.json("runs", "list"))
    assert len(rest["new"]) == TAGS - len(stored) == images.heads
    assert not {image["digest"] for image in stored} & set(images.fetched)
    assert rest["resumed_from"] == killed["run"] and rest["resumed"] == rest["unchanged"] == len(stored)
    assert (killed["outcome"], killed["new"]) == ("interrupted", len(stored))
    assert (resumed["outcome"], resumed["resumed_from"]) == ("done", killed["run"])
    shown = place.json("runs", "show", killed["run"][:8])
    assert sum(line["new"] for line in shown["journal"]) == len(stored)
    assert {line["state"] for line in shown["journal"]} == {"done", "partial"}
    assert place.json("audit", "verify")["intact"]


def test_a_run_is_stopped_from_another_process(tmp_path: Path) -> None:
    images = Images()
    with answering(images.answer) as url:
        place = place_of(tmp_path, url)
        reached, go_on = threading.Event(), threading.Event()

        def hold(count: int) -> None:
            if count == 16:
                reached.set()
            if count >= 16:
                go_on.wait(20)

        images.at_head = hold
        process = place.start("sync", "-o", "json")
        assert reached.wait(20)
        (running,) = place.json("runs", "list")
        assert running["outcome"] == "running" and running["finished_at"] is None
        assert place.json("runs", "cancel", running["run"])["run"] == running["run"]
        ran = ended(process)
        go_on.set()
        assert ran.code == 130 and "stopped it" in ran.error and ran.out == ""
        (stopped,) = place.json("runs", "list")
        assert stopped["outcome"] == "interrupted" and stopped["reason"].startswith("stopped by ")
        again = place.run("runs", "cancel", running["run"])
        assert again.code == 4 and "has ended" in again.error
        rest = place.json("sync")
        assert len(rest["new"]) + stopped["new"] == TAGS and not rest["failed"]
    told = [entry["outcome"] for entry in place.json("audit", "list", "--action", "library.cancel")]
    assert sorted(told) == ["done", "refused"]
    assert place.json("audit", "verify")["intact"]


def test_two_processes_with_overlapping_rules_write_nothing_twice(tmp_path: Path) -> None:
    images = Images()
    both = threading.Barrier(2)

    def meet(path: str) -> Answer:
        if path == "/v2/m/0/tags/list":
            both.wait(60)
        return images.answer(path)

    with answering(meet) as url:
        place = place_of(tmp_path, url, "one", "two")
        place.json("rules", "list")
        processes = [place.start("sync", "--rule", name, "-o", "json") for name in ("one", "two")]
        results = [ended(process) for process in processes]
    assert [ran.code for ran in results] == [0, 0], results
    assert sum(len(ran.data["new"]) for ran in results) == TAGS == len(set(events(place))) == len(events(place))
    for ran in results:
        assert len(ran.data["new"]) + ran.data["unchanged"] == TAGS
    assert {image["digest"] for image in place.json("images", "list")} == set(images.built.values())
    assert len(place.json("queue", "list")) == TAGS
    assert place.json("audit", "verify")["intact"]


def test_a_rule_that_takes_in_too_much_stops_no_other(tmp_path: Path) -> None:
    images = Images()
    with answering(images.answer) as url:
        tables = rule_table("many", "r", 'repositories = ["m/0"]', "max_new = 3")
        tables += rule_table("few", "r", 'repositories = ["m/1"]')
        place = Place(tmp_path / "place", registry_table("r", url) + tables)
        ran = place.run("sync", "-o", "json")
        assert ran.code == 1 and "rule many: it would take in 20 new tags" in ran.error
        assert len(ran.data["new"]) == 20 and ran.data["failed"][0]["misconfigured"]
        assert place.json("runs", "list")[0]["outcome"] == "partial"
        alone = place.run("sync", "--rule", "many")
        assert alone.code == 2 and "--yes" in alone.error
        assert len(place.json("sync", "--rule", "many", "--yes")["new"]) == 20


def test_a_tag_that_moves_is_a_new_candidate_and_the_old_digest_keeps_its_decision(tmp_path: Path) -> None:
    images = Images()
    with answering(images.answer) as url:
        place = place_of(tmp_path, url)
        place.json("sync")
        host = url.removeprefix("http://")
        old = f"{host}/m/0@{images.built['m/0:1.0']}"
        shown = place.json("queue", "show", old)
        place.json("approve", old, "--reason", "for a test", "--evidence", shown["evidence_hash"])
        moved = place.json("sync")["moved"]
        assert moved == []
        new = images.push("m/0", "1.0", "again")
        (moved,) = place.json("sync")["moved"]
    assert (moved["tag"], moved["from"], moved["to"]) == ("1.0", images_digest(old), new)
    assert place.json("queue", "show", old)["state"] == "approved"
    assert place.json("queue", "show", f"{host}/m/0@{new}")["state"] == "candidate"
    (listed,) = [one for one in place.json("images", "list") if (one["repository"], one["tag"]) == ("m/0", "1.0")]
    assert (listed["digest"], listed["previous_digest"], listed["state"]) == (new, images_digest(old), "candidate")
    assert [event["change"] for event in place.json("images", "history", "r/m/0:1.0")] == ["moved", "new"]


@pytest.mark.parametrize(
    ("refusal", "told"),
    [
        ((429, {"Retry-After": "3600"}, b""), "asks to wait until"),
        ((401, {"WWW-Authenticate": 'Basic realm="r"'}, b""), "wants a user name"),
        ((200, {"Content-Type": "text/html"}, b"<html>log in</html>"), "web page"),
    ],
    ids=["429 for an hour", "401 for ever", "a login page"],
)
def test_a_registry_that_turns_us_away_on_the_way_marks_nothing_gone_and_is_gone_on_with(
    tmp_path: Path, refusal: Answer, told: str
) -> None:
    images = Images()
    refusing = False
    asked: list[str] = []

    def answer(path: str) -> Answer:
        asked.append(path)
        return refusal if refusing and "/manifests/" in path else images.answer(path)

    with answering(answer) as url:
        place = place_of(tmp_path, url)
        place.json("sync")
        images.push("m/0", "2.0")
        refusing = True
        asked.clear()
        ran = place.run("sync", "-o", "json")
        assert ran.code in (1, 6) and told in ran.error
        assert not ran.data["gone"] and not ran.data["new"] and ran.data["failed"]
        assert len(asked) < 4 * TAGS
        refusing = False
        after = place.json("sync")
    assert [entry["tag"] for entry in after["new"]] == ["2.0"] and not after["failed"]
    shown = place.json("runs", "show", place.json("runs", "list")[1]["run"])
    assert shown["outcome"] == ("partial" if ran.data["unchanged"] else "failed") and told in shown["reason"]


def images_digest(reference: str) -> str:
    return reference.partition("@")[2]


def test_a_terminal_is_told_how_far_it_is_and_a_pipe_is_not(tmp_path: Path) -> None:
    images = Images()
    images.at_head = lambda count: time.sleep(0.01)
    with answering(images.answer) as url:
        place = place_of(tmp_path, url)
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [*_COMMAND, "sync", "-o", "json", "--config", str(place.config)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=theirs, text=True,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "60"}, cwd=_ROOT,
        )  # fmt: skip
        os.close(theirs)
        out, _ = process.communicate(timeout=60)
        told = _all_of(ours)
        assert process.returncode == 0 and len(json.loads(out)["new"]) == TAGS
        quiet = ended(place.start("sync", "-o", "json"))
    assert f"of {TAGS} tags" in told and told.endswith("\r\x1b[K")
    lines = told.split("\r\x1b[K")
    assert all(len(line) < 60 and line.isprintable() for line in lines)
    assert quiet.code == 0 and quiet.err == ""


def _all_of(descriptor: int) -> str:
    """All that was written to a pseudo-terminal whose other end is closed."""
    read = b""
    try:
        while data := os.read(descriptor, 1 << 16):
            read += data
    except OSError:
        # Linux answers EIO at the end.
        pass
    os.close(descriptor)
    return read.decode()
