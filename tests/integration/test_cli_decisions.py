"""Decisions by command: what is approved beside the digest, break-glass, comments, and what another policy flips."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.fakes.cli import Place
from tests.fakes.cli_world import NAMESPACE, TAGS, World, running_world

POLICY = """
[policy]
break_glass = "4h"
[[policy.environment]]
name = "production"
contexts = ["robin"]
[[policy.environment]]
name = "lab"
"""


@pytest.fixture
def decided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[World, Place]]:
    monkeypatch.setenv("HOME", str(tmp_path))
    with running_world() as world:
        place = world.place(tmp_path, monkeypatch, POLICY)
        place.json("sync")
        yield world, place


def approve(place: Place, reference: str, *more: str) -> str:
    """Approve by what is shown; gives what was said beside it."""
    shown = place.json("queue", "show", reference)
    words = ["approve", reference, "--reason", "x", "--evidence", shown["evidence_hash"]]
    ran = place.run(*words, "--policy", shown["policy_hash"], *more)
    assert ran.code == 0, ran.err
    return ran.err


def test_a_deployment_is_held_to_what_was_approved_beside_the_digest(decided: tuple[World, Place]) -> None:
    world, place = decided
    reference = world.reference(TAGS[0])
    shown = place.json("queue", "show", reference)
    words = ["approve", reference, "--reason", "x", "--evidence", shown["evidence_hash"], "--policy", "sha256:other"]
    other = place.run(*words)
    assert other.code != 0 and "policy changed since it was shown" in other.err
    assert "note:" not in approve(place, reference, "--environment", "lab")
    file = world.deployment(place, "kept", reference)
    refused = place.run("deploy", "apply", "-f", file, "--yes")
    assert refused.code == 3 and "approved for environment lab" in refused.err
    assert world.cluster.get(NAMESPACE, "kept") is None
    told = approve(place, reference, "--environment", "production", "--runtime", "vllm")
    assert "note: --runtime is vllm, but" in told and "is known to be of runtime nim" in told
    refused = place.run("deploy", "apply", "-f", file, "--yes")
    assert refused.code == 3 and "approved with runtime vllm" in refused.err
    approve(place, reference, "--environment", "production", "--runtime", "nim")
    assert place.json("deploy", "apply", "-f", file, "--yes")["changed"]
    shown = place.run("queue", "show", reference)
    assert "beside digest  weights not fixed, runtime nim, environment production" in shown.out
    revoked = place.run("revoke", reference, "--reason", "CVE", "--yes")
    assert revoked.code == 0 and f"robin/{NAMESPACE}/kept" in revoked.err and "returned to" in revoked.err


def test_break_glass_lets_it_run_is_told_everywhere_and_needs_no_approval(decided: tuple[World, Place]) -> None:
    world, place = decided
    reference = world.reference(TAGS[0])
    file = world.deployment(place, "urgent", reference)
    assert place.run("deploy", "apply", "-f", file, "--yes").code == 3
    until = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%MZ")
    broken = place.json(
        "break-glass", reference, "--reason", "it burns", "--ticket", "INC-7", "--until", until, "--yes"
    )
    assert broken["verdict"] == "break-glass"
    applied = place.run("deploy", "plan", "-f", file)
    assert applied.code == 0 and "break-glass of robin" in applied.out + applied.err
    assert place.json("deploy", "apply", "-f", file, "--yes")["changed"]
    assert place.json("images", "list", "--approved") == []
    listed = place.run("queue", "list")
    assert "BREAK-GLASS" in listed.err and "INC-7" in listed.err
    own = place.run("queue", "review", broken["id"][:12], "--reason", "fine")
    assert own.code == 3 and "yourself" in own.err
    too_long = place.run("break-glass", reference, "--reason", "x", "--ticket", "y", "--until", "2099-01-01", "--yes")
    assert too_long.code == 3 and "4h at most" in too_long.err


def test_comments_rejections_and_another_submission_and_policy(decided: tuple[World, Place]) -> None:
    world, place = decided
    reference = world.reference(TAGS[1])
    assert place.json("comment", reference, "--text", "whose is this?", "--ticket", "CHG-1")["ticket"] == "CHG-1"
    assert place.run("reject", reference, "--reason", "not needed", "--yes").code == 0
    assert place.run("queue", "submit", reference, "--reason", "needed now", "--yes").code == 0
    shown = place.json("queue", "show", reference)
    assert shown["state"] == "candidate" and shown["comments"][0]["text"] == "whose is this?"
    draft = place.folder / "stricter.toml"
    draft.write_text('[[policy.gate]]\nkind = "weights"\n')
    checked = place.run("policy", "check", "--against", draft)
    assert checked.code == 3 and "2 images would fail that pass now" in checked.err
    assert place.run("policy", "check").code == 0
    assert place.json("audit", "verify")["intact"]
