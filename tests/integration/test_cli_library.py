"""`images`: found by terms, corrected, given parents, and pruned, on a real registry and a cluster that runs them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from backend.core.ports import SystemClock
from tests.fakes.cli import Place
from tests.fakes.cli_world import NIM, TAGS, World, running_world


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, Place]]:
    """A yard with two images, one approved and run by a service."""
    folder = tmp_path_factory.mktemp("library")
    with pytest.MonkeyPatch.context() as patch, running_world() as world:
        patch.setenv("HOME", str(folder))
        place = world.place(folder, patch)
        world.deployed(place, "chat", TAGS[0])
        yield world, place


def found(place: Place, query: str) -> list[str]:
    return [image["tag"] for image in place.json("images", "list", "--filter", query)]


@pytest.fixture(autouse=True)
def kubeconfig(held: tuple[World, Place], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(held[1].folder.parent / "kubeconfig"))


def test_terms_find_what_they_say(held: tuple[World, Place]) -> None:
    _, place = held
    newest, oldest = TAGS[1], TAGS[0]
    assert found(place, "") == found(place, "llama registry:local new:1d") == [newest, oldest]
    assert found(place, "approved:yes") == found(place, "running:yes") == found(place, f"tag:{oldest}") == [oldest]
    assert found(place, "-approved:yes state:candidate") == found(place, "running:no") == [newest]
    assert found(place, "size:>100TB") == []


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("typ:chat", "write type:"),
        ("registry:lokal", "it has local"),
        ("size:9", "size:<20GB"),
        ("state:x", "candidate"),
    ],
)
def test_a_filter_that_is_not_understood_says_what_to_write(held: tuple[World, Place], query: str, told: str) -> None:
    refused = held[1].run("images", "list", "--filter", query)
    assert refused.code == 2 and told in refused.error and not refused.out


def test_corrections_and_parents_are_shown_and_kept(held: tuple[World, Place]) -> None:
    world, place = held
    reference, other = world.reference(TAGS[1]), world.reference(TAGS[0])
    shown = place.json("images", "correct", reference, "--type", "Moderation", "--family", "guard", "--reason", "card")
    assert (shown["type"], shown["family"]) == ("moderation", "guard")
    place.json("sync")
    assert found(place, "type:moderation family:guard") == [TAGS[1]]
    shown = place.json("images", "parent", reference, "--parent", other, "--relation", "fine-tuned", "--note", "lora")
    assert [(one["reference"], one["relation"]) for one in shown["lineage"]["parents"]] == [(other, "fine-tuned")]
    assert shown["lineage"]["predecessor"].startswith(f"{world.registry.host}/{NIM}:{TAGS[0]}@sha256:")
    assert place.json("images", "show", other)["lineage"]["children"] == [reference]
    circle = place.run("images", "parent", other, "--parent", reference)
    assert circle.code == 2 and "itself" in circle.error
    text = place.run("images", "show", reference).out
    assert "robin: card" in text and "fine-tuned from" in text
    gone = place.json("images", "parent", reference, "--parent", other, "--remove")
    assert gone["lineage"]["parents"] == []
    assert place.run("images", "parent", reference, "--parent", other, "--remove").code == 5
    assert place.json("images", "correct", reference, "--type", "", "--reason", "no")["type"] != "moderation"
    assert place.run("images", "correct", reference, "--reason", "x").code == 2
    actions = [entry["action"] for entry in place.json("audit", "list")]
    assert actions.count("library.correct") == 3 and actions.count("library.parent") == 2


def test_the_services_that_run_an_image_are_told(held: tuple[World, Place]) -> None:
    world, place = held
    assert place.json("images", "show", world.reference(TAGS[0]))["lineage"]["running"] == ["robin/llm-prod/chat"]
    assert place.json("images", "show", world.reference(TAGS[1]))["lineage"]["running"] == []


def test_pruning_tells_what_it_removes_and_why_it_keeps(
    held: tuple[World, Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    world, place = held
    assert place.run("images", "prune", "--older-than", "tomorrow", "--dry-run").code == 2
    shown = place.json("queue", "show", world.reference(TAGS[1]))
    assert place.run(
        "reject", world.reference(TAGS[1]), "--reason", "old", "--evidence", shown["evidence_hash"], "--yes"
    ).code == 0  # fmt: skip
    for tag in TAGS:
        world.registry.remove_tag(NIM, tag)
    place.run("sync")
    monkeypatch.setattr(SystemClock, "now", lambda _: datetime.now(UTC) + timedelta(days=100))
    planned = place.json("images", "prune", "--older-than", "90d", "--dry-run")
    assert planned["dry_run"] and [one["digest"] for one in planned["removed"]] == [world.digests[TAGS[1]]]
    assert [one["reason"] for one in planned["kept"]] == ["robin/llm-prod/chat uses it"]
    assert len(place.json("images", "list")) == 2
    refused = place.run("images", "prune", "--older-than", "90d")
    assert refused.code == 2 and "--yes" in refused.error
    done: dict[str, Any] = place.json("images", "prune", "--older-than", "90d", "--yes")
    assert [one["digest"] for one in done["removed"]] == [world.digests[TAGS[1]]]
    assert [image["digest"] for image in place.json("images", "list")] == [world.digests[TAGS[0]]]
    assert place.json("images", "history", world.reference(TAGS[0]))[0]["change"] == "gone"
    assert place.json("audit", "verify")["intact"]
    assert place.json("audit", "list", "--limit", "1")[0]["action"] == "library.prune"


# ---------------------------------------------------------------- without a cluster, and with several


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A yard without a registry, in a home without a kubeconfig."""
    monkeypatch.delenv("KUBECONFIG")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return Place(tmp_path / "alone")


def test_pruning_without_any_cluster_says_that_none_was_asked(alone: Place) -> None:
    planned = alone.run("images", "prune", "--older-than", "90d", "--dry-run", "-o", "json")
    assert planned.code == 0 and planned.data["asked_cluster"] is False and "no cluster was asked" in planned.err
    done = alone.run("images", "prune", "--older-than", "90d", "--yes")
    assert done.code == 0 and done.err.count("no cluster was asked") == 1


@pytest.mark.parametrize("broken", ["malformed", "not there", "default", "configured"])
def test_pruning_is_refused_where_a_cluster_is_named_and_does_not_tell(
    alone: Place, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    kubeconfig = alone.folder / "kubeconfig"
    if broken == "malformed":
        kubeconfig.write_text("clusters: [", encoding="utf-8")
    if broken in ("malformed", "not there"):
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    elif broken == "default":
        default = Path.home() / ".kube" / "config"
        default.parent.mkdir(parents=True)
        default.write_text("{}", encoding="utf-8")
    else:
        alone.configure('[[cluster]]\ncontext = "one"\n')
    for words in (["--dry-run"], ["--yes"]):
        refused = alone.run("images", "prune", "--older-than", "90d", *words)
        assert refused.code in (2, 6) and not refused.out


def test_all_of_several_clusters_are_asked_before_images_are_pruned(
    held: tuple[World, Place], alone: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(held[1].folder.parent / "kubeconfig"))
    alone.configure('[[cluster]]\ncontext = "robin"\n[[cluster]]\ncontext = "operator"\n')
    assert alone.run("images", "prune", "--older-than", "90d", "--yes").code == 0
    one = alone.run("images", "prune", "--older-than", "90d", "--yes", "--context", "robin")
    assert one.code == 3 and "--context asks for one of 2 clusters" in one.error
    names = {check["name"] for check in json.loads(alone.run("doctor", "-o", "json").out)}
    assert {"robin: cluster", "operator: cluster"} <= names
    alone.configure('[[cluster]]\ncontext = "robin"\n[[cluster]]\ncontext = "other"\n')
    refused = alone.run("images", "prune", "--older-than", "90d", "--yes")
    assert refused.code == 2 and "no context 'other'" in refused.error and not refused.out


def test_without_a_cluster_the_doctor_warns_and_what_runs_cannot_be_asked(alone: Place) -> None:
    checks = {check["name"]: check for check in alone.json("doctor")}
    assert (checks["cluster"]["state"], checks["cluster"]["detail"]) == ("warning", "no cluster is configured")
    asked = alone.run("images", "list", "--filter", "running:yes")
    assert asked.code == 6 and "no cluster could be asked" in asked.error
