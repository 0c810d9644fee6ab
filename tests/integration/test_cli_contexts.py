"""Several clusters in one yard: each told apart, a name in two of them asked about, one that is away hides no other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.cli import Place
from tests.fakes.cli_world import NAMESPACE, World, running_world

TWO = '[[cluster]]\ncontext = "robin"\n[[cluster]]\ncontext = "arn:eks:1:cluster/{}"\n'


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with running_world() as world:
        yield world


@pytest.fixture
def place(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A yard of three contexts: two of the same cluster, and one that nothing answers for."""
    place = world.place(tmp_path, monkeypatch)
    kubeconfig = json.loads(world.cluster.kubeconfig())
    kubeconfig["clusters"].append({"name": "away", "cluster": {"server": "http://127.0.0.1:9"}})
    for name, cluster in (("east", "test"), ("away", "away")):
        context = {"cluster": cluster, "user": "operator"}
        kubeconfig["contexts"].append({"name": f"arn:eks:1:cluster/{name}", "context": context})
    (tmp_path / "kubeconfig").write_text(json.dumps(kubeconfig), encoding="utf-8")
    place.configure(place.text, place.yard)
    return place


def with_clusters(place: Place, second: str) -> None:
    """Configure a second cluster beside the first."""
    head = place.text[: place.text.index("[[cluster]]")]
    place.configure(head + TWO.format(second), place.yard)


def test_services_of_all_contexts_are_listed_and_an_ambiguous_name_is_asked_about(world: World, place: Place) -> None:
    world.deployed(place, "both")
    with_clusters(place, "east")
    listed = place.json("deploy", "status")
    both = [one["context"] for one in listed if one["name"] == "both"]
    assert both == ["arn:eks:1:cluster/east", "robin"]
    table = place.run("deploy", "status").out.splitlines()
    assert table[0].startswith("CONTEXT")

    for name in ("both", f"{NAMESPACE}/both"):
        asked = place.run("deploy", "stop", name, "--yes")
        assert asked.code == 2
        assert f"arn:eks:1:cluster/east/{NAMESPACE}/both, robin/{NAMESPACE}/both" in asked.error

    east = f"arn:eks:1:cluster/east/{NAMESPACE}/both"
    shown = place.json("deploy", "status", east)["service"]
    assert (shown["context"], shown["name"]) == ("arn:eks:1:cluster/east", "both")
    assert place.json("deploy", "stop", east, "--yes")["context"] == "arn:eks:1:cluster/east"
    assert [entry["object"] for entry in place.json("audit", "list", "--action", "deploy.stop")] == [east, east]

    alone = place.json("deploy", "start", "both", "--context", "robin", "--yes")
    assert alone["context"] == "robin"
    unknown = place.run("deploy", "status", f"nowhere/{NAMESPACE}/both")
    assert unknown.code == 5 and "the yard knows robin" in unknown.error
    for bad in ("/both", "a//both", "both/"):
        assert place.run("deploy", "status", bad).code == 2


def test_a_cluster_that_is_away_hides_no_other_and_is_told_of(world: World, place: Place) -> None:
    world.deployed(place, "here")
    with_clusters(place, "away")
    listed = place.run("deploy", "status", "-o", "json")
    assert listed.code == 1 and "arn:eks:1:cluster/away could not be read" in listed.error
    assert "here" in [one["name"] for one in listed.data]
    runs = place.run("deploy", "running", "-o", "json")
    assert runs.code == 1 and "arn:eks:1:cluster/away could not be read" in runs.error
    assert {(one["context"], one["name"]) for one in runs.data} >= {("robin", "here")}
    guessed = place.run("deploy", "stop", "here", "--yes")
    assert guessed.code == 6 and f"name robin/{NAMESPACE}/here" in guessed.error
    assert place.run("deploy", "stop", f"robin/{NAMESPACE}/here", "--yes").code == 0
    pruned = place.run("images", "prune", "--older-than", "90d", "--yes")
    assert pruned.code == 6 and not pruned.out
