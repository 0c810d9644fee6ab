"""From a decision to an endpoint by commands: plan, apply, follow, change, return, on the demo's Kubernetes API."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from backend.demo.resources import INFERENCE_SERVICES
from tests.fakes.cli import Place
from tests.fakes.cli_world import NAMESPACE, World, running_world, until_serving

PLAN_KEYS = {
    "id", "context", "namespace", "name", "image", "objects", "gates", "refusals", "warnings", "outage", "not_fixed",
    "kubectl", "manifests", "deployment", "conflicts", "subject", "fields", "take", "checks", "owner", "decisions",
    "settles", "undoes",
    "fit",
}  # fmt: skip
APPLIED_KEYS = {"context", "namespace", "name", "changed", "objects", "snapshot", "resource_version", "validation"}


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with running_world() as world:
        yield world


@pytest.fixture
def place(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return world.place(tmp_path, monkeypatch)


def ledger(place: Place, action: str) -> list[str]:
    """How what the ledger names so ended, oldest first."""
    return [entry["outcome"] for entry in place.json("audit", "list", "--action", action)][::-1]


def edit(world: World, name: str, spec: dict[str, Any]) -> None:
    """Change a service as another tool does, which owns the fields then."""
    path = f"/apis/serving.kserve.io/v1beta1/namespaces/{NAMESPACE}/inferenceservices/{name}?fieldManager=other-tool"
    request = urllib.request.Request(
        world.cluster.url + path,
        data=json.dumps({"spec": spec}).encode(),
        method="PATCH",
        headers={
            "Authorization": f"Bearer {world.cluster.tokens['admin']}",
            "Content-Type": "application/merge-patch+json",
        },
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200


def image_of(world: World, name: str) -> str:
    service = world.cluster.get(NAMESPACE, name)
    assert service is not None
    image: str = service["spec"]["predictor"]["containers"][0]["image"]
    return image


def test_from_plan_to_serving_to_deleted(world: World, place: Place) -> None:
    reference = world.approved(place, "1.3.0")
    file = world.deployment(place, "chat", reference)
    plan = place.json("deploy", "plan", "-f", file)
    assert set(plan) == PLAN_KEYS and plan["refusals"] == []
    assert [(each["action"], each["kind"], each["name"]) for each in plan["objects"]] == [
        ("create", "InferenceService", "chat")
    ]
    assert world.cluster.get(NAMESPACE, "chat") is None

    unconfirmed = place.run("deploy", "apply", "-f", file)
    assert unconfirmed.code == 2 and "--yes" in unconfirmed.error and "InferenceService" in unconfirmed.err
    assert world.cluster.get(NAMESPACE, "chat") is None
    applied = place.run("deploy", "apply", "-f", "-", "--yes", "-o", "json", stdin=file.read_text())
    assert applied.code == 0 and set(applied.data) == APPLIED_KEYS and applied.data["changed"]
    assert image_of(world, "chat") == reference
    unchanged = place.run("deploy", "apply", "-f", file, "--yes", "-o", "json")
    assert unchanged.code == 0 and not unchanged.data["changed"]

    until_serving(place, "chat")
    (row,) = [row for row in place.json("deploy", "status") if row["name"] == "chat"]
    assert (row["verdict"], row["ready_replicas"], row["approved"], row["images"]) == ("serving", 1, True, [reference])
    assert place.json("deploy", "status", f"{NAMESPACE}/chat")["pods"][0]["ready"]
    gpus = place.json("gpu")
    assert len(gpus) == 32 and [gpu["source"] for gpu in gpus if gpu["service"] == "chat"] == ["dcgm"]

    exported = place.run("deploy", "export", "chat")
    (place.folder / "exported.yaml").write_text(exported.out)
    assert not place.json("deploy", "apply", "-f", place.folder / "exported.yaml", "--yes")["changed"]
    for words in (["scale", "chat", "2"], ["stop", "chat"], ["start", "chat"], ["delete", "chat"]):
        asked = place.run("deploy", *words)
        assert asked.code == 2 and "--yes" in asked.error
        done = place.json("deploy", *words, "--yes")
        assert done["changed"] and set(done) == APPLIED_KEYS
    assert world.cluster.get(NAMESPACE, "chat") is None
    assert place.run("deploy", "status", "chat").code == 5
    assert place.run("deploy", "stop", "chat", "--yes").code == 5
    assert ledger(place, "deploy.delete") == ["started", "done"]
    assert place.json("audit", "verify")["intact"]


def test_an_image_that_is_not_approved_is_planned_and_not_applied(world: World, place: Place) -> None:
    place.json("sync")
    file = world.deployment(place, "unapproved", world.reference("1.3.0"))
    plan = place.run("deploy", "plan", "-f", file, "-o", "json")
    assert plan.code == 3 and "approved" in plan.error and plan.data["refusals"]
    assert ledger(place, "deploy.plan") == ["refused"]
    refused = place.run("deploy", "apply", "-f", file, "--yes")
    assert refused.code == 3 and "approved" in refused.error
    assert world.cluster.get(NAMESPACE, "unapproved") is None
    assert ledger(place, "deploy.apply") == ["refused"]
    never_seen = f"{world.registry.host}/nim/other@sha256:{'a' * 64}"
    assert place.run("deploy", "apply", "-f", world.deployment(place, "other", never_seen), "--yes").code == 3


def test_a_revoked_image_is_not_started_again(world: World, place: Place) -> None:
    world.deployed(place, "revoked")
    place.json("deploy", "stop", "revoked", "--yes")
    assert place.run("revoke", world.reference("1.3.0"), "--reason", "a CVE", "--yes").code == 0
    started = place.run("deploy", "start", "revoked", "--yes")
    assert started.code == 3 and "revoked" in started.error
    assert place.json("deploy", "status", "revoked")["service"]["approved"] is False
    assert ledger(place, "deploy.start") == ["refused"]


def test_a_field_of_another_tool_is_a_conflict(world: World, place: Place) -> None:
    world.deployed(place, "contested")
    edit(world, "contested", {"predictor": {"minReplicas": 3}})
    file = world.deployment(place, "contested", world.reference("1.3.0"), replicas="{min: 2, max: 4}")
    plan = place.run("deploy", "plan", "-f", file, "-o", "json")
    assert plan.code == 4 and plan.data["conflicts"] == plan.data["refusals"] != []
    conflict = place.run("deploy", "apply", "-f", file, "--yes")
    assert conflict.code == 4 and "minReplicas" in conflict.error and "other-tool" in conflict.error
    assert ledger(place, "deploy.apply") == ["started", "done", "refused"]
    service = world.cluster.get(NAMESPACE, "contested")
    assert service is not None and service["spec"]["predictor"]["minReplicas"] == 3
    # What runs is exported, whoever made it so.
    exported = place.run("deploy", "export", "contested")
    assert exported.code == 0 and yaml.safe_load(exported.out)["replicas"]["min"] == 3


def test_what_a_controller_tells_meanwhile_is_no_conflict_and_another_edit_is(world: World, place: Place) -> None:
    """A service that is starting has its status written again and again between our reading and our writing."""
    world.deployed(place, "busy")
    moves = iter(["status", "status", "nothing", "edit"])

    def meddle(method: str, path: str) -> None:
        if method not in ("PATCH", "DELETE") or not path.endswith("/busy"):
            return
        store = world.cluster.store
        live = store.get(INFERENCE_SERVICES, NAMESPACE, "busy")
        assert live is not None
        match next(moves, "nothing"):
            case "status":
                store.patch_status(INFERENCE_SERVICES, NAMESPACE, "busy", {"seen": live["metadata"]["resourceVersion"]})
            case "edit":
                live["metadata"].setdefault("labels", {})["team"] = "other"
                store.put(INFERENCE_SERVICES, live, manager="other-tool")

    world.cluster.on_request = meddle
    try:
        scaled = place.run("deploy", "scale", "busy", "2", "--yes")
        assert scaled.code == 0, scaled.err
        deleted = place.run("deploy", "delete", "busy", "--yes")
        assert deleted.code == 4, deleted.err
    finally:
        world.cluster.on_request = None
    assert world.cluster.get(NAMESPACE, "busy") is not None
    assert ledger(place, "deploy.delete") == ["started", "refused"]


def test_a_service_goes_back_to_what_is_still_approved(world: World, place: Place) -> None:
    first = world.deployed(place, "returning", "1.3.0")
    assert place.run("deploy", "rollback", "returning", "--yes").code == 5
    second = world.deployed(place, "returning", "1.4.0")
    assert image_of(world, "returning") == world.reference("1.4.0")
    snapshots = place.json("deploy", "snapshots", "returning")
    assert [snapshot["id"] for snapshot in snapshots] == [second, first]
    assert all(snapshot["still_approved"] for snapshot in snapshots)
    assert place.run("deploy", "rollback", "returning", "--to", "0" * 32, "--yes").code == 5
    assert place.run("deploy", "rollback", "returning").code == 2
    rolled = place.json("deploy", "rollback", "returning", "--yes")
    assert rolled["changed"] and image_of(world, "returning") == world.reference("1.3.0")
    assert ledger(place, "deploy.rollback") == ["started", "done"]
    assert place.run("revoke", world.reference("1.4.0"), "--reason", "a CVE", "--yes").code == 0
    revoked = place.run("deploy", "rollback", "returning", "--to", second, "--yes")
    assert revoked.code == 3 and "revoked" in revoked.error
    assert image_of(world, "returning") == world.reference("1.3.0")


def test_who_may_not_in_the_cluster_may_not_here(world: World, place: Place) -> None:
    world.deployed(place, "guarded")
    for words in (["stop", "guarded"], ["delete", "guarded"]):
        denied = place.run("deploy", *words, "--yes", "--context", "mira")
        assert denied.code == 3 and "guarded" in denied.error
    file = world.deployment(place, "guarded2", world.reference("1.3.0"))
    assert place.run("deploy", "apply", "-f", file, "--yes", "--context", "mira").code == 3
    assert world.cluster.get(NAMESPACE, "guarded2") is None
    assert ledger(place, "deploy.delete") == ["refused"]


def test_runtimes_are_listed(world: World, place: Place) -> None:
    listed = place.run("runtimes", "list", "-o", "json")
    assert {runtime["name"] for runtime in listed.data} == {"nim-1.8", "triton-25.06", "vllm-0.27"}
    assert listed.err == "3 runtimes\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name: Chat\nnamespace: llm-prod\nimage: IMAGE\n", ":1"),
        ("name: chat\nnamespace: llm-prod\nimage: IMAGE\nreplica: {min: 1}\n", "replicas"),
        ("name: chat\nnamespace: llm-prod\nimage: r/nim:1\n", "digest"),
        ("name: [\n", "YAML"),
        ("", "deployment file"),
    ],
)
def test_a_wrong_deployment_file_is_wrong_use(world: World, place: Place, text: str, told: str) -> None:
    file = place.folder / "wrong.yaml"
    file.write_text(text.replace("IMAGE", world.reference("1.3.0")))
    for verb in ("plan", "apply"):
        wrong = place.run("deploy", verb, "-f", file, "--yes")
        assert wrong.code == 2 and told in wrong.error
    assert place.run("deploy", "plan", "-f", place.folder / "none.yaml").code == 2
