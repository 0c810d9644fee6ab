"""The path by commands, from a real `docker-registry` to a decision: output, exit status and ledger of each command."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.fakes.cli import Place, Ran, ended, modelyard, registry_table, rule_table, start
from tests.fakes.cli_world import NIM, World, running_world
from tests.fakes.curation import trivy_report, vulnerability
from tests.fakes.docker_registry import DockerRegistry

IMAGE_KEYS = {
    "registry", "host", "repository", "tag", "digest", "kind", "type", "framework", "size", "state", "platforms",
    "created_at", "first_seen_at", "changed_at", "gone_at", "previous_digest", "rule", "reference", "engine", "family",
    "parameters", "precision", "licence", "running",
}  # fmt: skip
TWO_PEOPLE = """
[policy]
approvals = 2
[[role]]
name = "approver"
users = ["robin", "mira"]
[[role]]
name = "operator"
users = ["robin"]
[[role]]
name = "viewer"
users = ["robin", "mira", "viewer"]
"""
SCANNED = """
[[role]]
name = "approver"
users = ["robin", "mira"]
[[role]]
name = "operator"
users = ["robin"]
[[role]]
name = "curator"
users = ["robin"]
[policy]
[[policy.gate]]
kind = "vulnerabilities"
max_critical = 0
accept_unsigned = true
"""


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with running_world() as world:
        yield world


@pytest.fixture
def place(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return world.place(tmp_path, monkeypatch)


def approve(place: Place, reference: str, *more: str | Path, evidence: str = "") -> Ran:
    """Approve on what `queue show` shows, or on other evidence."""
    shown = evidence or place.json("queue", "show", reference)["evidence_hash"]
    return place.run("approve", reference, "--reason", "reviewed", "--evidence", shown, *more)


def outcomes(place: Place, action: str) -> list[str]:
    """How what the ledger names so ended, newest first."""
    return [entry["outcome"] for entry in place.json("audit", "list", "--action", action)]


@pytest.mark.parametrize("users", [{}, {"robin": "registry-pass-1f9c"}], ids=["plain", "htpasswd"])
def test_sync_tells_new_nothing_new_moved_gone_and_a_dead_registry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, users: dict[str, str]
) -> None:
    secrets = [*users.values()]
    monkeypatch.setenv("REGISTRY_PASSWORD", secrets[0] if secrets else "")
    login = ['username = "robin"', 'password = { env = "REGISTRY_PASSWORD" }'] if users else []
    with DockerRegistry(users=users) as registry:
        for tag in ("1.2.0", "1.3.0", "1.3.1-rtx", "2.0.0-rc1", "nightly"):
            registry.push(NIM, tag, labels={"com.nvidia.nim.type": "llm"})
        registry.push("misc/nginx", "latest")
        rule = rule_table("nim", "local", 'repositories = ["nim/**"]', 'tags = { versions = ">=1.3" }')
        place = Place(tmp_path / "yard", registry_table("local", registry.url, *login) + rule)

        dry = place.json("sync", "--dry-run")
        assert dry["dry_run"] and dry["run"] == "" and len(dry["new"]) == 2 and place.json("images", "list") == []
        first = place.json("sync")
        assert {"new", "moved", "gone", "failed", "unchanged"} <= set(first)
        assert sorted(entry["tag"] for entry in first["new"]) == ["1.3.0", "1.3.1-rtx"]
        assert all(set(entry) == {"registry", "repository", "tag", "digest"} for entry in first["new"])
        second = place.json("sync", "--rule", "nim")
        assert (second["new"], second["moved"], second["gone"], second["unchanged"]) == ([], [], [], 2)
        before = {entry["tag"]: entry["digest"] for entry in first["new"]}["1.3.0"]
        after = registry.push(NIM, "1.3.0", labels={"moved": "yes"})
        registry.remove_tag(NIM, "1.3.1-rtx")
        third = place.json("sync")
        assert third["moved"] == [
            {"registry": "local", "repository": NIM, "tag": "1.3.0", "digest": after, "from": before, "to": after}
        ]
        assert [entry["tag"] for entry in third["gone"]] == ["1.3.1-rtx"]
        changes = [event["change"] for event in place.json("images", "history", f"local/{NIM}:1.3.0")]
        assert changes == ["moved", "new"]
        registry.stop()
    dead = place.run("sync", "-o", "json")
    assert dead.code == 6 and str(registry.port) in dead.error
    assert dead.data["failed"] and not dead.data["gone"]
    assert place.json("audit", "verify")["intact"]
    assert not any(secret.encode() in place.written() for secret in secrets)


def test_a_wrong_password_is_refused_credentials_and_is_nowhere_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGISTRY_PASSWORD", "wrong-secret-77aa")
    with DockerRegistry(users={"robin": "right"}) as registry:
        table = registry_table("local", registry.url, 'username = "robin"', 'password = { env = "REGISTRY_PASSWORD" }')
        place = Place(tmp_path / "yard", table + rule_table("all", "local"))
        refused = place.run("--debug", "sync")
    assert refused.code == 6 and "credentials" in refused.err
    assert "wrong-secret-77aa" not in refused.out + refused.err
    assert b"wrong-secret-77aa" not in place.written()


def test_images_are_listed_shown_and_traced(world: World, place: Place) -> None:
    place.json("sync")
    listed = place.json("images", "list")
    assert {image["tag"]: image["digest"] for image in listed} == world.digests
    assert all(set(image) == IMAGE_KEYS and image["state"] == "candidate" for image in listed)
    assert [image["tag"] for image in place.json("images", "list", "--filter", "1.4 llama")] == ["1.4.0"]
    for reference in (
        f"local/{NIM}:1.3.0", f"{world.registry.host}/{NIM}:1.3.0", world.reference("1.3.0"),
        world.digests["1.3.0"].removeprefix("sha256:")[:12],
    ):  # fmt: skip
        shown = place.json("images", "show", reference)
        assert set(shown) > IMAGE_KEYS and shown["digest"] == world.digests["1.3.0"]
        assert shown["labels"]["com.nvidia.nim.type"] == "llm"
    history = place.json("images", "history", f"local/{NIM}:1.4.0")
    assert [(event["change"], event["digest"]) for event in history] == [("new", world.digests["1.4.0"])]
    assert place.run("images", "show", f"local/{NIM}:9.9").code == 5
    assert place.run("images", "show", "not a reference").code == 2
    assert place.run("images", "list", "--at", "2026-01-01").code == 2


def test_what_was_approved_is_listed_as_it_was_then(world: World, place: Place) -> None:
    place.json("sync")
    before = datetime.now(UTC)
    approve(place, world.reference("1.3.0"))
    approved = place.json("images", "list", "--approved")
    assert [image["reference"] for image in approved] == [world.reference("1.3.0")]
    assert place.json("images", "list", "--approved", "--at", before.isoformat()) == []
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).date().isoformat()
    assert place.json("images", "list", "--approved", "--at", tomorrow) == approved


def test_rules_are_listed_and_previewed(world: World, place: Place) -> None:
    listed = place.json("rules", "list")
    assert [(rule["name"], rule["registry"], rule["last_run_at"]) for rule in listed] == [("nim", "local", None)]
    preview = place.run("rules", "preview", "nim", "-o", "json")
    assert {(clause["tag"], clause["taken"]) for clause in preview.data} == {("1.3.0", True), ("1.4.0", True)}
    assert "2 of 2 tags" in preview.err
    assert place.json("images", "list") == []
    unknown = place.run("rules", "preview", "other")
    assert unknown.code == 5 and "nim" in unknown.error


def test_options_stand_before_or_after_the_words_and_data_alone_on_stdout(world: World, place: Place) -> None:
    place.json("sync")
    before = modelyard("--config", place.config, "-o", "json", "images", "list", "--filter", "1.3")
    after = modelyard("images", "list", "--filter", "1.3", "--output=json", f"--config={place.config}")
    assert before.code == after.code == 0 and before.data == after.data and len(before.data) == 1
    as_yaml = place.run("images", "list", "--filter", "1.3", "-o", "yaml")
    assert yaml.safe_load(as_yaml.out) == before.data
    assert place.run("images", "list", "-o", "xml").code == 2
    elsewhere = place.run("images", "list", "--db", place.folder / "other.db", "-o", "json")
    assert elsewhere.data == []
    nothing = place.run("images", "list", "--filter", "nowhere", "-o", "json")
    assert (nothing.data, nothing.err) == ([], "")
    table = place.run("images", "list", "--filter", "nowhere")
    assert table.out == "" and "no images" in table.err
    wrong = place.run("images", "lst")
    assert wrong.code == 2 and wrong.out == "" and "lst" in wrong.error


def test_the_queue_shows_the_hash_that_an_approval_needs(world: World, place: Place) -> None:
    place.json("sync")
    reference = world.reference("1.3.0")
    assert {one["reference"] for one in place.json("queue", "list")} == {reference, world.reference("1.4.0")}
    shown = place.json("queue", "show", reference)
    assert shown["evidence_hash"].startswith("sha256:") and shown["approvals_needed"] == 1
    assert shown["evidence_hash"] in place.run("queue", "show", reference).out

    for words in (
        [f"local/{NIM}:1.3.0", "--evidence", shown["evidence_hash"]],
        [world.digests["1.3.0"].removeprefix("sha256:")[:12], "--evidence", shown["evidence_hash"]],
        [reference],
    ):
        unpinned = place.run("approve", *words, "--reason", "reviewed", "--yes")
        assert unpinned.code == 2, unpinned.err
        assert "off a terminal" in unpinned.error
    stale = approve(place, reference, evidence=f"sha256:{'0' * 64}")
    assert stale.code == 4 and "evidence" in stale.error
    assert place.run("approve", reference, "--reason", " ", "--evidence", shown["evidence_hash"]).code == 2
    done = approve(place, reference, "--ticket", "CHG-7", "-o", "json")
    assert done.code == 0
    assert {key: done.data[key] for key in ("verdict", "actor", "reason", "ticket", "digest")} == {
        "verdict": "approve", "actor": "robin", "reason": "reviewed", "ticket": "CHG-7",
        "digest": world.digests["1.3.0"],
    }  # fmt: skip
    again = approve(place, reference)
    assert again.code == 4 and "approved already" in again.error
    assert outcomes(place, "queue.approve") == ["refused", "done", "refused"]


def test_two_people_are_two_people(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = world.place(tmp_path, monkeypatch, TWO_PEOPLE)
    place.json("sync")
    reference = world.reference("1.3.0")
    assert approve(place, reference).code == 0
    assert place.json("queue", "show", reference)["state"] == "candidate"
    twice = approve(place, reference)
    assert twice.code == 3 and "already" in twice.error
    viewer = approve(place, reference, "--context", "viewer")
    assert viewer.code == 3 and "approver" in viewer.error
    assert place.run("sync", "--context", "mira").code == 3
    assert approve(place, reference, "--context", "mira").code == 0
    shown = place.json("queue", "show", reference)
    assert shown["state"] == "approved"
    assert {decision["actor"] for decision in shown["approvals"]} == {"robin", "mira"}


def test_reject_and_revoke(world: World, place: Place) -> None:
    place.json("sync")
    one, other = world.reference("1.3.0"), world.reference("1.4.0")
    unconfirmed = place.run("reject", one, "--reason", "too old")
    assert unconfirmed.code == 2 and "--yes" in unconfirmed.error
    assert place.json("queue", "show", one)["state"] == "candidate"
    assert place.run("reject", one, "--reason", "too old", "--yes", "-o", "json").data["verdict"] == "reject"
    assert approve(place, one).code == 4
    assert place.run("revoke", other, "--reason", "a CVE", "--yes").code == 4
    assert approve(place, other).code == 0
    assert place.run("revoke", other, "--reason", "a CVE", "--yes").code == 0
    states = {candidate["reference"]: candidate["state"] for candidate in place.json("queue", "list")}
    assert states == {one: "rejected", other: "revoked"}
    assert place.json("images", "list", "--approved") == []


def write_report(place: Place, digest: str, *findings: dict[str, Any]) -> Path:
    file = place.folder / "report.json"
    now = datetime.now(UTC).isoformat()
    file.write_text(json.dumps(trivy_report(*findings, digest=digest, created=now)), encoding="utf-8")
    return file


def test_evidence_policy_and_waiver(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = world.place(tmp_path, monkeypatch, SCANNED)
    place.json("sync")
    reference = world.reference("1.3.0")
    blocked = approve(place, reference, "--context", "mira")
    assert blocked.code == 3 and "vulnerabilities" in blocked.error

    report = write_report(place, world.digests["1.3.0"], vulnerability("CVE-2026-1234"))
    imported = place.run("evidence", "import", report, "--image", reference, "-o", "json")
    assert imported.code == 0, imported.err
    assert imported.data["kind"] == "vulnerabilities" and imported.data["asserted_by"] == "robin"
    evidence = {each["kind"]: each for each in place.json("evidence", "list", reference)}
    assert [finding["id"] for finding in evidence["vulnerabilities"]["findings"]] == ["CVE-2026-1234"]
    foreign = place.run("evidence", "import", report, "--image", world.reference("1.4.0"))
    assert foreign.code == 1 and world.digests["1.4.0"][:19] in foreign.error
    assert place.run("evidence", "import", place.folder / "none.json", "--image", reference).code == 5

    failing = place.run("policy", "check", reference, "-o", "json")
    assert failing.code == 3 and [check["passes"] for check in failing.data] == [False]
    lax = tmp_path / "lax.toml"
    lax.write_text("[policy]\n")
    flips = place.run("policy", "check", reference, "--against", lax, "-o", "json")
    assert flips.code == 0 and [(check["before"], check["passes"]) for check in flips.data] == [(False, True)]
    assert place.run("policy", "check", "--against", tmp_path / "none.toml").code == 5

    until = (datetime.now(UTC) + timedelta(days=30)).date().isoformat()
    waive = ["waive", reference, "--finding", "CVE-2026-1234", "--until"]
    assert place.run(*waive, "tomorrow", "--reason", "not reachable", "--yes").code == 2
    assert place.run(*waive, "2020-01-01", "--reason", "not reachable", "--yes").code == 2
    unconfirmed = place.run(*waive, until, "--reason", "not reachable")
    assert unconfirmed.code == 2 and "--yes" in unconfirmed.error
    waived = place.run(*waive, until, "--reason", "not reachable", "--yes", "-o", "json")
    assert waived.code == 0 and not waived.data["blocked"]
    assert place.run("policy", "check", reference).code == 0
    own = approve(place, reference)
    assert own.code == 3 and "evidence" in own.error
    assert approve(place, reference, "--context", "mira").code == 0


def test_the_ledger_is_listed_exported_verified_and_betrays_a_change(world: World, place: Place) -> None:
    place.json("sync")
    approve(place, world.reference("1.3.0"))
    listed = place.json("audit", "list", "--limit", "3")
    assert [entry["seq"] for entry in listed] == sorted((entry["seq"] for entry in listed), reverse=True)
    assert len(listed) == 3
    mine = place.json("audit", "list", "--actor", "robin", "--object", world.digests["1.3.0"])
    assert [entry["action"] for entry in mine] == ["queue.approve"]
    verified = place.json("audit", "verify")
    exported = [json.loads(line) for line in place.run("audit", "export").out.splitlines()]
    assert [entry["seq"] for entry in exported] == list(range(1, verified["entries"] + 1))
    assert place.run("audit", "verify", "--anchor", verified["head"]).code == 0
    assert place.run("audit", "verify", "--anchor", f"sha256:{'f' * 64}").code == 1

    connection = sqlite3.connect(place.database)
    (trigger,) = connection.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = 'ledger' AND sql LIKE '%UPDATE%'"
    ).fetchone()
    connection.execute(f"DROP TRIGGER {trigger}")
    connection.execute("UPDATE ledger SET actor = 'mallory' WHERE seq = 2")
    connection.commit()
    connection.close()
    forged = place.run("audit", "verify", "-o", "json")
    assert forged.code == 1 and "entry 2" in forged.error
    assert (forged.data["intact"], forged.data["first_bad"]) == (False, 2)


def test_doctor_tells_what_works_and_what_is_missing(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = world.place(tmp_path, monkeypatch)
    checks = {check["name"]: check["state"] for check in place.json("doctor")}
    assert {checks[name] for name in ("configuration", "database", "identity", "registry local", "cluster")} == {"ok"}
    assert checks["KServe"] == "ok" and checks["GPUs by dcgm-exporter"] == "ok"
    failing = place.run("doctor", "-o", "json", "--context", "expired")
    assert failing.code == 1
    assert {check["name"]: check["state"] for check in failing.data}["cluster"] == "failed"


def test_init_writes_a_configuration_that_works_and_never_over_another(tmp_path: Path) -> None:
    config = tmp_path / "new" / "config.toml"
    assert modelyard("init", "--config", config).code == 0
    assert modelyard("rules", "list", "--config", config, "-o", "json").data == []
    config.write_text("# mine\n")
    again = modelyard("init", "--config", config)
    assert again.code == 4 and str(config) in again.error
    assert config.read_text() == "# mine\n"


def test_the_version_is_told() -> None:
    told = modelyard("--version")
    assert (told.code, told.err) == (0, "") and told.out.startswith("modelyard ")


def test_as_a_process_of_its_own(world: World, place: Place) -> None:
    """What only a whole process shows: the interpreter's own exit status, real pipes, no warning at the end."""
    synchronised = ended(place.start("sync", "-o", "json"))
    assert synchronised.code == 0 and len(synchronised.data["new"]) == 2 and synchronised.err == ""
    refused = ended(place.start("approve", world.reference("1.3.0"), "--reason", "x"))
    assert refused.code == 2 and refused.error.startswith("modelyard: approve ") and refused.out == ""
    screen = ended(start())
    assert screen.code == 2 and "terminal" in screen.error


@pytest.mark.parametrize("words", [("audit", "export"), ("--help",)])
def test_a_reader_that_goes_away_is_no_failure(place: Place, words: tuple[str, ...]) -> None:
    place.json("sync")
    process = place.start(*words)
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    closed = ended(process)
    assert closed.code == 141 and closed.err == ""
