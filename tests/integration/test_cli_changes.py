"""What changed, by commands: ours, others' edits with their fields, tags, and nodes, in one list."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from backend.demo.resources import EVENTS
from backend.flows import recent
from tests.fakes.cli import Place
from tests.fakes.cli_world import NAMESPACE, World, running_world, until_serving
from tests.integration.test_cli_deploy import edit


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with running_world() as world:
        yield world


@pytest.fixture
def place(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return world.place(tmp_path, monkeypatch)


def rows(place: Place, *words: str) -> list[tuple[str, str, str]]:
    return [(one["actor"], one["what"], one["detail"]) for one in place.json("deploy", "changes", *words)]


def test_one_list_of_what_we_and_others_changed(world: World, place: Place) -> None:
    world.deployed(place, "watched")
    place.json("deploy", "scale", "watched", "2", "--yes")
    edit(world, "watched", {"predictor": {"minReplicas": 3}})
    found = rows(place, "watched")
    assert found[0] == ("other-tool", "edited", "minReplicas 1 > 3")
    assert ("robin", "scale", "1 > 2 replicas") in found
    assert any(what == "apply" and detail.startswith("first apply of") for _, what, detail in found)
    assert any(what == "approve" for _, what, _ in found)
    assert rows(place, "watched") == found, "what was seen once is kept once"
    everything = rows(place)
    assert any(what.startswith("tag") or what.endswith("tags new") for _, what, _ in everything)


def test_an_apply_says_what_it_changed(world: World, place: Place) -> None:
    reference = world.approved(place, "1.3.0")
    for length in ("8192", "131072"):
        file = world.deployment(place, "argued", reference, args=f'["--max-model-len={length}"]')
        place.json("deploy", "apply", "-f", file, "--yes")
    assert rows(place, "argued")[0] == ("robin", "apply", "args --max-model-len=8192 > --max-model-len=131072")


def test_what_is_applied_again_over_others_is_no_first_apply_and_a_refusal_says_why(
    world: World, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recent, "_SAME_APPLY", timedelta(0))
    file = world.deployment(place, "again", world.approved(place, "1.3.0"))
    place.json("deploy", "apply", "-f", file, "--yes")
    edit(world, "again", {"predictor": {"minReplicas": 3}})
    refused = place.run("deploy", "apply", "-f", file, "--yes")
    assert refused.code == 4 and "--take .spec.predictor.minReplicas" in refused.error
    assert place.json("deploy", "apply", "-f", file, "--take", "spec.predictor.minReplicas", "--yes")["changed"]
    found = rows(place, "again")
    assert found[0][2].startswith("as it was applied before, over what others wrote since")
    assert any(what == "apply refused" and "managed by" in detail for _, what, detail in found)


def test_a_node_that_failed_stands_in_the_list(world: World, place: Place) -> None:
    place.json("sync")
    event: dict[str, Any] = {
        "apiVersion": "v1", "kind": "Event", "type": "Warning", "reason": "NodeNotReady",
        "message": "kubelet is silent", "metadata": {"name": "gpu-01.1", "namespace": "default"},
        "involvedObject": {"kind": "Node", "name": "gpu-01"}, "count": 1,
    }  # fmt: skip
    world.cluster.do(lambda store: store.put(EVENTS, event))
    assert ("gpu-01", "NodeNotReady", "kubelet is silent") in rows(place)


def test_since_is_a_duration_or_a_time(place: Place) -> None:
    assert [one["kind"] for one in place.json("deploy", "changes", "--since", "1d")].count("apply") == 0
    for wrong in ("soon", "-1h", "2999-01-01"):
        assert place.run("deploy", "changes", "--since", wrong).code == 2
    assert place.run("deploy", "changes", "absent", "-n", NAMESPACE, "-o", "json").data == []


def test_what_runs_is_held_to_what_was_approved_and_applied(world: World, place: Place) -> None:
    world.deployed(place, "held")
    until_serving(place, "held")

    def states() -> dict[str, str]:
        return {one["state"]: one["detail"] for one in place.json("deploy", "running") if one["name"] == "held"}

    assert set(states()) == {"approved"}
    edit(world, "held", {"predictor": {"minReplicas": 1, "maxReplicas": 3}})
    assert set(states()) == {"approved", "edited"}
    edit(world, "held", {"predictor": {"minReplicas": 2}})
    assert states()["drifted"] == "minReplicas 1 > 2 since it was applied, by other-tool"
    assert place.run("revoke", world.reference("1.3.0"), "--reason", "a CVE", "--yes").code == 0
    assert set(states()) == {"revoked", "drifted"}
    listed = place.run("deploy", "running", "--state", "revoked", "-o", "csv")
    head, *lines = listed.out.splitlines()
    assert head.startswith("context,namespace,name,state") and any(",held,revoked," in line for line in lines)
    assert place.run("deploy", "running", "--state", "odd").code == 2
