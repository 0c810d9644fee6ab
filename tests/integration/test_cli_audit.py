"""The auditor's commands, from decisions on a real `docker-registry`'s images to a bundle that is checked elsewhere."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fakes.cli import Place, ended
from tests.fakes.cli_world import PATIENCE, TAGS, World, running_world
from tests.fakes.curation import trivy_report, vulnerability

_POLICY = """
[policy]
[[policy.gate]]
kind = "vulnerabilities"
max_critical = 5
accept_unsigned = true
[[role]]
name = "approver"
users = ["robin", "mira"]
[[role]]
name = "operator"
users = ["robin"]
[[role]]
name = "curator"
users = ["mira"]
"""


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with running_world() as world:
        yield world


@pytest.fixture(scope="module")
def audited(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A yard where one image was approved on a report, and a decision was refused."""
    folder = tmp_path_factory.mktemp("audited")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(folder))
        place = world.place(folder, patch, _POLICY)
        place.json("sync")
        report = folder / "report.json"
        findings = [vulnerability("CVE-2026-1", "HIGH")]
        report.write_text(json.dumps(trivy_report(*findings, digest=world.digests[TAGS[0]])))
        reference = world.reference(TAGS[0])
        handed_in = place.run("evidence", "import", report, "--image", reference, "--context", "mira")
        assert handed_in.code == 0, handed_in.err
        before = place.json("queue", "show", reference)
        said = place.run("images", "correct", reference, "--type", "chat", "--reason", "card", "--context", "mira")
        assert said.code == 0, said.err
        shown = place.json("queue", "show", reference)
        assert shown["evidence_hash"] != before["evidence_hash"]
        words = ["approve", reference, "--evidence", shown["evidence_hash"], "--ticket", "SEC|1"]
        assert place.run(*words, "--reason", "no `findings` | at *all*").code == 0
        assert place.run(*words, "--reason", "again").code != 0
        yield place


@pytest.fixture(autouse=True)
def cluster(audited: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cluster that tells who acts."""
    monkeypatch.setenv("KUBECONFIG", str(audited.folder.parent / "kubeconfig"))


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """An SSH key, with the list that allows it."""
    if shutil.which("ssh-keygen") is None and not os.environ.get("CI"):
        pytest.skip("ssh-keygen is not installed")
    path = tmp_path / "id_ed25519"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    public = path.with_suffix(".pub").read_text().split()
    (tmp_path / "allowed").write_text(f"auditor@example {' '.join(public[:2])}\n")
    return path


def bundled(place: Place, tmp_path: Path, *more: str | Path, name: str = "audit.tar.gz") -> Path:
    path = tmp_path / name
    written = place.run("audit", "export", "--bundle", path, *more)
    assert written.code == 0, written.err
    return path


def test_a_signed_bundle_is_checked_with_and_without_the_program(audited: Place, tmp_path: Path, key: Path) -> None:
    path = bundled(audited, tmp_path, "--sign-with", key)
    head = audited.json("audit", "head")["hash"]
    checked = audited.json(
        "audit", "verify", "--bundle", path, "--allowed-signers", tmp_path / "allowed", "--anchor", head
    )
    assert checked["intact"] and checked["signed_by"] == "auditor@example" and checked["head"] == head
    with tarfile.open(path) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    done = subprocess.run(
        ["ssh-keygen", "-Y", "verify", "-f", str(tmp_path / "allowed"), "-I", "auditor@example", "-n", "modelyard",
         "-s", str(tmp_path / "unpacked/manifest.json.sig")],
        input=(tmp_path / "unpacked/manifest.json").read_bytes(), check=False, capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0
    evidence = [json.loads(line) for line in (tmp_path / "unpacked/evidence.jsonl").read_text().splitlines()]
    assert [one["findings"][0]["id"] for one in evidence if one.get("findings")] == ["CVE-2026-1"]
    decisions = (tmp_path / "unpacked/decisions.jsonl").read_text().splitlines()
    assert [json.loads(line)["actor"] for line in decisions] == ["robin"]
    again = audited.run("audit", "export", "--bundle", path)
    assert again.code == 4 and "exists" in again.error


def test_a_bundle_of_somebody_else_or_of_nobody_is_refused(audited: Place, tmp_path: Path, key: Path) -> None:
    unsigned = bundled(audited, tmp_path, name="unsigned.tar")
    told = audited.run("audit", "verify", "--bundle", unsigned)
    assert told.code == 0 and "nobody" in told.out
    refused = audited.run("audit", "verify", "--bundle", unsigned, "--allowed-signers", tmp_path / "allowed")
    assert refused.code == 1 and "not signed" in refused.error
    signed = bundled(audited, tmp_path, "--sign-with", key)
    (tmp_path / "others").write_text(
        "mallory@example ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"
    )
    other = audited.run("audit", "verify", "--bundle", signed, "--allowed-signers", tmp_path / "others")
    assert other.code == 1
    assert audited.run("audit", "export", "--bundle", tmp_path / "x.tar", "--sign-with", tmp_path / "none").code == 2


def _rewritten(path: Path, change: Callable[[str, bytes], bytes | None]) -> Path:
    """The bundle with its files changed, and a manifest that agrees with them, as a forger would."""
    import hashlib

    files: dict[str, bytes] = {}
    with tarfile.open(path) as archive:
        for member in archive:
            data = archive.extractfile(member)
            assert data is not None
            changed = change(member.name, data.read())
            if changed is not None:
                files[member.name] = changed
    manifest = json.loads(files["manifest.json"])
    for file in manifest["files"]:
        file["sha256"] = hashlib.sha256(files[file["name"]]).hexdigest()
        file["size"] = len(files[file["name"]])
    files["manifest.json"] = json.dumps(manifest).encode()
    forged = path.with_name("forged.tar")
    with tarfile.open(forged, "w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return forged


@pytest.mark.parametrize(
    ("file", "old", "new", "told"),
    [
        ("ledger.jsonl", b'"actor":"robin"', b'"actor":"mira"', "was changed"),
        ("decisions.jsonl", b'"actor":"robin"', b'"actor":"mira"', "was changed in the database"),
        ("submissions.jsonl", b'"rule":"nim"', b'"rule":"other"', "submission"),
        ("evidence.jsonl", b"CVE-2026-1", b"CVE-2026-2", "evidence"),
        ("evidence.jsonl", b"}\n", b"}", "within a line"),
        ("ledger.jsonl", b"{", b"[", "not what it has to be"),
    ],
)
def test_what_was_changed_in_a_bundle_is_named(
    audited: Place, tmp_path: Path, file: str, old: bytes, new: bytes, told: str
) -> None:
    path = bundled(audited, tmp_path, name="audit.tar")
    forged = _rewritten(path, lambda name, data: data.replace(old, new) if name == file else data)
    checked = audited.run("audit", "verify", "--bundle", forged)
    assert checked.code == 1 and told in checked.error


def test_what_is_no_bundle_is_said_to_be_none(audited: Place, tmp_path: Path) -> None:
    assert audited.run("audit", "verify", "--bundle", tmp_path / "none").code == 2
    (tmp_path / "text").write_text("no archive")
    assert "unpacked" in audited.run("audit", "verify", "--bundle", tmp_path / "text").error
    with tarfile.open(tmp_path / "hostile.tar", "w") as archive:
        member = tarfile.TarInfo("../outside")
        archive.addfile(member, io.BytesIO(b""))
    hostile = audited.run("audit", "verify", "--bundle", tmp_path / "hostile.tar")
    assert hostile.code == 1 and "plain files" in hostile.error
    cut = bundled(audited, tmp_path)
    cut.write_bytes(cut.read_bytes()[:500])
    assert audited.run("audit", "verify", "--bundle", cut).code == 1


def test_an_older_copy_of_the_database_is_found_against_the_anchor(
    audited: Place, world: World, tmp_path: Path
) -> None:
    copy = tmp_path / "older.db"
    with sqlite3.connect(audited.database) as source, sqlite3.connect(copy) as target:
        source.backup(target)
    stale = ["--evidence", f"sha256:{'0' * 64}", "--reason", "too late"]
    assert audited.run("approve", world.reference(TAGS[1]), *stale).code == 4
    noted = tmp_path / "anchor.json"
    noted.write_text(json.dumps(audited.json("audit", "head")))
    assert audited.run("audit", "verify", "--anchor", noted).code == 0
    older = audited.run("audit", "verify", "--anchor", noted, "--db", copy)
    assert older.code == 1 and "anchored entry" in older.error
    assert audited.run("audit", "verify", "--anchor", "what is this").code == 2


def test_the_anchor_file_is_kept_by_the_worker_and_held_against_the_ledger(
    audited: Place, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    anchors = tmp_path / "anchors.jsonl"
    place = world.place(tmp_path, monkeypatch, f"{_POLICY}[audit]\nanchor_file = {json.dumps(str(anchors))}\n")
    place.json("sync")
    assert "noted in" in next(check for check in place.json("doctor") if check["name"] == "anchors")["detail"]
    worker = place.start("worker")
    try:
        deadline = time.monotonic() + PATIENCE
        while not anchors.exists() or not anchors.read_bytes().endswith(b"\n"):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        worker.send_signal(signal.SIGINT)
        ended(worker)
    assert place.run("audit", "verify").code == 0
    other = place.run("audit", "verify", "--db", audited.database)
    assert other.code == 1 and "anchored entry" in other.error


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        *[
            (f"UPDATE decision SET {column} = {value}", "decision of entry")
            for column, value in (
                ("actor", "'mira'"),
                ("weights", "'other'"),
                ("approvals_needed", "approvals_needed + 4"),
                ("expires_at", "'2030-01-01T00:00:00.000000Z'"),
                ("reason", "'another'"),
                ("at", "'2026-01-01'"),
                ("actor_groups", "'[\"security\"]'"),
                ("verdict", "'reject'"),
                ("policy_hash", "'x'"),
            )
        ],
        ("DELETE FROM decision", "decision of entry"),
        ("UPDATE submission SET submitted_by = 'mira'", "submission of entry"),
        ("UPDATE submission SET rule_author = 'mira'", "submission of entry"),
        ("DELETE FROM submission", "submission of entry"),
        (
            "INSERT INTO decision (id, digest, reference, verdict, actor, actor_source, at, reason, ticket,"
            " evidence_hash, policy_hash, approvals_needed) SELECT 'forged', digest, reference, verdict, 'mallory',"
            " actor_source, at, reason, ticket, evidence_hash, policy_hash, approvals_needed FROM decision LIMIT 1",
            "in no entry",
        ),
    ],
)
def test_a_decision_written_past_the_program_is_found(
    audited: Place, tmp_path: Path, statement: str, told: str
) -> None:
    forged = tmp_path / "forged.db"
    shutil.copy(audited.database, forged)
    connection = sqlite3.connect(forged)
    for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
        connection.execute(f"DROP TRIGGER {name}")
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.execute(statement)
    connection.commit()
    connection.close()
    found = audited.run("audit", "verify", "--db", forged)
    assert found.code == 1 and told in found.error


def test_the_report_tells_what_was_decided_and_refused(audited: Place, world: World) -> None:
    told = audited.run("audit", "report", "--since", "1h")
    assert told.code == 0 and told.out.startswith("# Audit report of ")
    sections = told.out.split("\n## ")
    decisions = next(part for part in sections if part.startswith("Decisions"))
    (row,) = [line for line in decisions.splitlines() if "robin" in line]
    assert r"no \`findings\` \| at \*all\*" in row and r"SEC\|1" in row
    # The cells of a row are as many as those of its heading, whatever a person typed.
    assert row.replace(r"\|", "").count("|") == decisions.splitlines()[2].count("|")
    assert any(part.startswith("Refused") and "queue.approve" in part for part in sections)
    assert world.reference(TAGS[0]) in next(part for part in sections if part.startswith("Curated library"))
    assert audited.json("audit", "report", "--since", "1h")["markdown"].startswith("# Audit report of ")
    before = audited.run("audit", "report", "--since", "2020-01-01", "--until", "2020-02-01")
    assert before.code == 0 and "Nothing was done" in before.out
    assert audited.run("audit", "report", "--since", "2020-02-01", "--until", "2020-01-01").code == 2
    assert audited.run("audit", "report", "--since", "soon").code == 2


def test_entries_are_chosen_by_time_action_and_outcome_and_shown_in_full(audited: Place) -> None:
    refused = audited.json("audit", "list", "--outcome", "refused", "--action", "queue.*")
    assert {entry["action"] for entry in refused} == {"queue.approve"}
    assert audited.json("audit", "list", "--until", "2020-01-01") == []
    assert audited.json("audit", "list", "--since", "1h", "--limit", "1")
    shown = audited.run("audit", "show", str(refused[0]["seq"]))
    assert shown.code == 0 and refused[0]["hash"] in shown.out
    assert audited.run("audit", "show", "999999").code == 5


def test_the_csv_holds_one_row_an_entry_and_no_formula(audited: Place) -> None:
    exported = audited.run("audit", "export", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(exported.out)))
    assert [int(row["seq"]) for row in rows] == list(range(1, len(rows) + 1))
    assert not [cell for row in rows for cell in row.values() if cell.startswith(("=", "+", "-", "@"))]
