"""Every command of the tree is known to change something or not, and none that does works in a read-only yard."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from backend.cli.application import build
from tests.fakes.cli import Place
from tests.fakes.cli_world import NAMESPACE, TAGS, World, running_world
from tests.fakes.curation import trivy_report
from tests.fakes.left_behind import alerting, cut_off

READING = {
    "runs list", "runs show",
    "doctor", "rules list", "rules preview", "rules show", "images list", "images show", "images history", "queue list",
    "queue show", "evidence list", "evidence search", "policy check", "runtimes list", "deploy plan", "deploy status",
    "deploy snapshots", "deploy export", "deploy canary", "deploy changes", "deploy fit", "deploy running",
    "deploy logs",
    "runtimes catalogue", "runtimes show", "runtimes diff", "runtimes plan", "gpu history", "gpu cost", "gpu capacity",
    "alerts list", "alerts silences", "audit list", "audit show", "audit head", "audit verify",
    "audit export", "audit report",
}  # fmt: skip
#: Arguments of each command that changes something, and the mutation that its refusal is recorded as; the program's
#: own place is changed by what has none.
MUTATING: dict[str, tuple[list[str], str]] = {
    "init": ([], ""),
    "worker": ([], ""),
    "sync": ([], "library.synchronise"),
    "images correct": (["REF", "--type", "chat", "--reason", "x"], "library.correct"),
    "images parent": (["REF", "--parent", "hf.co/org/model"], "library.parent"),
    "images prune": (["--older-than", "90d"], "library.prune"),
    "runs cancel": (["RUN"], "library.cancel"),
    "rules set": (["RULE"], "rules.write"),
    "rules enable": (["nim"], "rules.write"),
    "rules disable": (["nim"], "rules.write"),
    "rules remove": (["nim"], "rules.remove"),
    "approve": (["REF", "--reason", "x", "--evidence", "HASH"], "queue.approve"),
    "reject": (["REF", "--reason", "x"], "queue.reject"),
    "revoke": (["REF", "--reason", "x"], "queue.revoke"),
    "comment": (["REF", "--text", "x"], "queue.comment"),
    "break-glass": (
        ["REF", "--reason", "x", "--ticket", "INC-1", "--until", "2099-01-01"],
        "queue.break-glass",
    ),
    "queue submit": (["REF", "--reason", "x"], "queue.submit"),
    "queue review": (["DECISION", "--reason", "x"], "queue.review"),
    "waive": (["REF", "--finding", "CVE-1", "--until", "2099-01-01", "--reason", "x"], "queue.waive"),
    "evidence import": (["REPORT", "--image", "REF"], "evidence.import"),
    "evidence review": (["REF", "--note", "x"], "evidence.assert"),
    "evidence scan": (["REF"], "evidence.scan"),
    "deploy apply": (["-f", "FILE"], "deploy.apply"),
    "deploy scale": (["kept", "2"], "deploy.scale"),
    "deploy rollback": (["kept"], "deploy.rollback"),
    "deploy stop": (["kept"], "deploy.stop"),
    "deploy start": (["kept"], "deploy.start"),
    "deploy delete": (["kept"], "deploy.delete"),
    "deploy validate": (["kept"], "deploy.validate"),
    "deploy promote": (["kept"], "deploy.promote"),
    "deploy abort": (["kept"], "deploy.abort"),
    "deploy weigh": (["llm:kept", "-n", "NAMESPACE", "10"], "deploy.weigh"),
    "deploy settle": (["CUT_OFF", "--leave"], "deploy.settle"),
    "runtimes install": (["nim", "--image", "REF", "-n", "NAMESPACE"], "runtime.apply"),
    "alerts acknowledge": (["ALERT", "--note", "x"], "alert.acknowledge"),
    "alerts silence": (["x", "--until", "4h", "--reason", "x"], "alert.silence"),
    "alerts lift": (["SILENCE"], "alert.lift"),
}
#: Makes a yard of its own and removes it.
APART = {"demo"}


def commands(node: Any, words: tuple[str, ...] = ()) -> Iterator[str]:
    """Every command of the tree, by its words."""
    children = getattr(node, "commands", None)
    if children is None:
        yield " ".join(words)
        return
    for name, child in children.items():
        yield from commands(child, (*words, name))


def test_every_command_is_known_to_change_something_or_not() -> None:
    assert set(commands(typer.main.get_command(build()))) == READING | set(MUTATING) | APART


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, Place, dict[str, str]]]:
    """A yard with an approved image, a service of two snapshots, and what commands are given."""
    folder = tmp_path_factory.mktemp("kept")
    with pytest.MonkeyPatch.context() as patch, running_world() as world:
        patch.setenv("HOME", str(folder))
        place = world.place(folder, patch)
        world.deployed(place, "kept", TAGS[0])
        world.deployed(place, "kept", TAGS[1])
        reference = world.reference(TAGS[0])
        report = folder / "report.json"
        (folder / "rule.toml").write_text('[[rule]]\nname = "another"\nregistry = "local"\n')
        report.write_text(json.dumps(trivy_report(digest=world.digests[TAGS[0]])))
        alert, silence = alerting(place.database)
        yield (
            world,
            place,
            {
                "ALERT": alert,
                "SILENCE": silence,
                "CUT_OFF": cut_off(place.database),
                "NAMESPACE": NAMESPACE,
                "REF": reference,
                "HASH": place.json("queue", "show", reference)["evidence_hash"],
                "DECISION": place.json("queue", "show", reference)["decisions"][-1]["id"],
                "REPORT": str(report),
                "RUN": place.json("runs", "list")[0]["run"],
                "RULE": str(folder / "rule.toml"),
                "FILE": str(world.deployment(place, "another", reference)),
            },
        )


@pytest.mark.parametrize("command", sorted(MUTATING))
def test_a_read_only_yard_refuses_it_and_says_so_in_the_ledger(
    kept: tuple[World, Place, dict[str, str]], command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, place, given = kept
    monkeypatch.setenv("KUBECONFIG", str(place.folder.parent / "kubeconfig"))
    arguments, mutation = MUTATING[command]
    before = world.cluster.get(NAMESPACE, "kept")
    newest = place.json("audit", "list", "--limit", "1")[0]["seq"]
    refused = place.run("--read-only", *command.split(), *(given.get(word, word) for word in arguments), "--yes")
    assert refused.code == 3, refused.err
    assert "read-only" in refused.error
    entries = [entry for entry in place.json("audit", "list") if entry["seq"] > newest]
    assert [(each["action"], each["outcome"]) for each in entries if each["action"] != "deploy.plan"] == (
        [(mutation, "refused")] if mutation else []
    )
    after = world.cluster.get(NAMESPACE, "kept")
    assert before is not None and after is not None and before["spec"] == after["spec"]
    assert world.cluster.get(NAMESPACE, "another") is None
    assert place.json("audit", "verify")["intact"]


def test_looking_works_in_a_read_only_yard_and_on_a_database_that_cannot_be_written(
    kept: tuple[World, Place, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, place, given = kept
    monkeypatch.setenv("KUBECONFIG", str(place.folder.parent / "kubeconfig"))
    monkeypatch.setattr("backend.yard._is_writable", lambda _: False)
    newest = place.json("audit", "list", "--limit", "1")[0]["seq"]
    for words in (["images", "list"], ["queue", "show", given["REF"]], ["deploy", "status"], ["policy", "check"]):
        assert place.run("--read-only", *words, "-o", "json").code == 0
    assert place.run("--read-only", "deploy", "plan", "-f", given["FILE"]).code == 0
    refused = place.run("--read-only", "sync")
    assert refused.code == 3 and "read-only" in refused.error
    assert place.json("audit", "list", "--limit", "1")[0]["seq"] == newest


def test_a_read_only_yard_makes_no_database(tmp_path: Path) -> None:
    place = Place(tmp_path)
    missing = place.run("--read-only", "images", "list")
    assert missing.code == 1 and "without --read-only" in missing.error
    assert not place.database.exists()
