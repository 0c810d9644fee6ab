"""Plans that meet others in the cluster, and applies that are cut off, by commands on the demo's Kubernetes API."""

from __future__ import annotations

import asyncio
import os
import platform
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from backend.cluster.client import ClusterClient
from backend.config import load_configuration
from backend.core.errors import ConflictError
from backend.demo.resources import INFERENCE_SERVICES, RESOURCE_QUOTAS, SERVICE_ACCOUNTS
from backend.flows import applying
from backend.flows.applying import Recipe
from backend.serving.plan import Subject
from backend.serving.planner import Wanted
from backend.yard import Yard, YardOptions
from tests.fakes.cli import Place
from tests.fakes.cli_world import NAMESPACE, World, running_world
from tests.integration.test_cli_deploy import edit, ledger


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with running_world() as world:
        yield world


@pytest.fixture
def place(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return world.place(tmp_path, monkeypatch)


def predictor(world: World, name: str) -> dict[str, Any]:
    service = world.cluster.get(NAMESPACE, name)
    assert service is not None
    found: dict[str, Any] = service["spec"]["predictor"]
    return found


# ---------------------------------------------------------------- what others own, and what is needed


def test_a_field_of_another_tool_is_taken_only_by_its_name(world: World, place: Place) -> None:
    world.deployed(place, "taken")
    edit(world, "taken", {"predictor": {"minReplicas": 3, "timeout": 30}})
    file = world.deployment(place, "taken", world.reference("1.3.0"), replicas="{min: 2, max: 2}")
    plan = place.run("deploy", "plan", "-f", file, "-o", "json")
    assert plan.code == 4
    assert {(one["field"], one["manager"], one["taken"]) for one in plan.data["fields"]} == {
        (".spec.predictor.minReplicas", "other-tool", False),
        (".spec.predictor.timeout", "other-tool", False),
    }
    # What would come of it is shown although it is refused.
    assert any(line["mark"] == "-" and "minReplicas: 3" in line["text"] for line in plan.data["objects"][0]["diff"])
    one_of_two = place.run("deploy", "apply", "-f", file, "--yes", "--take", ".spec.predictor.minReplicas")
    assert one_of_two.code == 4 and "timeout" in one_of_two.error
    assert predictor(world, "taken")["minReplicas"] == 3
    named = ["--take", "spec.predictor.minReplicas", "--take", ".spec.predictor.timeout"]
    told = place.run("deploy", "plan", "-f", file, *named)
    assert told.code == 0 and "--force-conflicts" in told.out and "taken" in told.out
    assert place.json("deploy", "apply", "-f", file, "--yes", *named)["changed"]
    assert predictor(world, "taken")["minReplicas"] == 2
    again = place.json("deploy", "plan", "-f", file, *named)
    assert any("is not taken: nobody else manages it" in text for text in again["warnings"])
    done = [entry for entry in place.json("audit", "list", "--action", "deploy.apply") if entry["outcome"] == "done"]
    assert done[0]["detail"]["take"] == [".spec.predictor.minReplicas", ".spec.predictor.timeout"]
    assert len(done[0]["detail"]["decisions"]) == 1


def test_what_argo_cd_keeps_gets_a_file_and_no_apply(world: World, place: Place) -> None:
    world.deployed(place, "argo")

    def owned(store: Any) -> None:
        live = store.get(INFERENCE_SERVICES, NAMESPACE, "argo")
        live["metadata"]["annotations"] |= {"argocd.argoproj.io/tracking-id": "a:b:c/d", "team": "nlp"}
        store.put(INFERENCE_SERVICES, live, manager="argocd-controller")

    world.cluster.do(owned)
    file = world.deployment(place, "argo", world.reference("1.3.0"), timeout="77")
    plan = place.run("deploy", "plan", "-f", file, "-o", "json")
    assert plan.code == 3 and plan.data["owner"] == "Argo CD" and "Argo CD" in plan.error
    applied = place.run("deploy", "apply", "-f", file, "--yes", "--take", ".spec.predictor.timeout")
    assert applied.code == 3 and "--gitops" in applied.error
    assert predictor(world, "argo")["timeout"] == 600
    written = place.folder / "argo-out.yaml"
    assert place.run("deploy", "plan", "-f", file, "--gitops", written).code == 3
    text = written.read_text()
    assert "timeout: 77" in text and "team: nlp" in text
    for noise in ("tracking-id", "resourceVersion", "managedFields", "status:", "uid:"):
        assert noise not in text
    assert place.run("deploy", "plan", "-f", file, "--gitops", place.folder / "no" / "such.yaml").code == 2
    assert place.run("deploy", "plan", "-f", file, "--gitops", "-").out.startswith("apiVersion:")


def test_what_pods_need_is_looked_for(world: World, place: Place) -> None:
    reference = world.approved(place, "1.3.0")

    def surroundings(store: Any) -> None:
        hard = {"requests.nvidia.com/gpu": "0", "pods": "100"}
        status = {"hard": hard, "used": {"requests.nvidia.com/gpu": "0"}}
        metadata = {"name": "gpus", "namespace": NAMESPACE}
        store.put(RESOURCE_QUOTAS, {"metadata": metadata, "spec": {"hard": hard}, "status": status})
        account = {"metadata": {"name": "llm", "namespace": NAMESPACE}, "imagePullSecrets": [{"name": "by-account"}]}
        store.put(SERVICE_ACCOUNTS, account)

    world.cluster.do(surroundings)
    try:
        env = "[{name: HF_TOKEN, secretKeyRef: {name: hf, key: token}}]"
        more = {"env": env, "serviceAccount": "llm", "imagePullSecrets": "[registry]"}
        file = world.deployment(place, "needs", reference, **more)
        plan = place.json("deploy", "plan", "-f", file)
        states = {one["about"]: one["state"] for one in plan["checks"]}
        assert states["secret hf"] == states["secret registry"] == states["secret by-account"] == "missing"
        assert states["service account llm"] == "ok"
        # Nothing fixes the weights of this file, and its approval names none.
        assert states["weights"] == "unknown"
        assert states["quota gpus: requests.nvidia.com/gpu"] == "short"
        assert states["quota gpus: pods"] == "ok"
        # Who may not look at secrets is told so, and nothing is guessed.
        seen = place.json("deploy", "plan", "-f", file, "--context", "operator")
        assert {one["about"]: one["state"] for one in seen["checks"]}["secret hf"] == "unknown"
    finally:
        world.cluster.do(lambda store: store.delete(RESOURCE_QUOTAS, NAMESPACE, "gpus"))


def test_lines_that_do_not_change_fold(world: World, place: Place) -> None:
    world.deployed(place, "folded")
    file = world.deployment(place, "folded", world.reference("1.3.0"), timeout="61")
    folded = place.run("deploy", "plan", "-f", file).out
    assert "lines unchanged" in folded and "  - " in folded and "  + " in folded
    full = place.run("deploy", "plan", "-f", file, "--full").out
    assert "lines unchanged" not in full and len(full.splitlines()) > len(folded.splitlines())


def test_what_runs_is_written_as_a_file_whoever_applied_it(world: World, place: Place) -> None:
    file = world.deployment(place, "exported", world.approved(place, "1.3.0"), timeout="99", onFailure="rollback")
    assert place.json("deploy", "apply", "-f", file, "--yes")["changed"]
    exported = place.run("deploy", "export", "exported")
    assert exported.code == 0 and exported.err == ""
    written = yaml.safe_load(exported.out)
    assert {"timeout": 99, "onFailure": "rollback"}.items() <= written.items()

    foreign = _service("foreign", world.reference("1.3.0"), 600)
    foreign["spec"]["predictor"]["containers"][0]["env"] = [{"name": "HF_TOKEN", "value": "hf_plain"}]
    foreign["metadata"]["annotations"]["team"] = "nlp"
    world.cluster.do(lambda store: store.put(INFERENCE_SERVICES, foreign, manager="kubectl"))
    told = place.run("deploy", "export", "foreign")
    assert told.code == 0 and yaml.safe_load(told.out)["name"] == "foreign"
    for words in ("team: nlp", "HF_TOKEN", "startupProbe"):
        assert words in told.err
    assert "hf_plain" not in told.out + told.err
    out = place.folder / "foreign.yaml"
    assert place.run("deploy", "export", "foreign", "--gitops", out).code == 0
    assert yaml.safe_load(out.read_text())["metadata"]["annotations"]["team"] == "nlp"

    tagged = _service("tagged", f"{world.registry.host}/nim:1.0", 600)
    world.cluster.do(lambda store: store.put(INFERENCE_SERVICES, tagged, manager="kubectl"))
    refused = place.run("deploy", "export", "tagged")
    assert refused.code == 3 and "digest" in refused.error and "--gitops" in refused.error
    assert place.run("deploy", "export", "no-such").code == 5


# ---------------------------------------------------------------- cut off


class _CutError(BaseException):
    """The program ends here."""


def _service(name: str, image: str, timeout: int) -> dict[str, Any]:
    mode = {"serving.kserve.io/deploymentMode": "Standard", "serving.kserve.io/autoscalerClass": "none"}
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": name, "namespace": NAMESPACE, "annotations": mode},
        "spec": {
            "predictor": {
                "minReplicas": 1,
                "timeout": timeout,
                "deploymentStrategy": {"type": "Recreate"},
                "containers": [{"name": "kserve-container", "image": image}],
            }
        },
    }


async def _opened(place: Place) -> Yard:
    return await Yard.open(await asyncio.to_thread(load_configuration, place.config), YardOptions())


async def _pair(yard: Yard, name: str, image: str, seconds: int = 600) -> None:
    """Apply two objects by one plan."""
    manifests = (_service(name, image, seconds), _service(f"{name}-2", image, seconds))
    source = f"name: {name}\nnamespace: {NAMESPACE}\nimage: {image}\n"
    subject = Subject(namespace=NAMESPACE, name=name, image=image, source=source)

    async def wanted(_: ClusterClient) -> Wanted:
        return Wanted(subject=subject, manifests=manifests)

    async def policy(_: ClusterClient) -> None:
        return

    recipe = Recipe(context="", mutation="deploy.apply", wanted=wanted, policy=policy)
    await yard._applier.apply(await yard._applier.plan(recipe), recipe)


def _cut_at(step: str, patch: pytest.MonkeyPatch) -> None:
    """Let the program end at a step of an apply; it is then known to be gone."""
    patch.setattr(applying, "this_process", lambda: f"{platform.node()} {2**22 - 7}")

    async def ends(*_: Any, **__: Any) -> Any:
        raise _CutError

    if step == "before the intent":
        patch.setattr(applying, "begin", ends)
    elif step == "after the intent":
        patch.setattr(applying, "carry_out", ends)
    elif step == "after the first object":
        original = ClusterClient._apply_one
        count: list[int] = []

        async def one(self: ClusterClient, application: Any) -> Any:
            count.append(1)
            if len(count) > 1:
                raise _CutError
            return await original(self, application)

        patch.setattr(ClusterClient, "_apply_one", one)
    elif step == "after the last object":
        carry_out = applying.carry_out

        async def all_of_it(*words: Any) -> Any:
            await carry_out(*words)
            raise _CutError

        patch.setattr(applying, "carry_out", all_of_it)
    elif step == "before the completion":
        patch.setattr(applying, "complete", ends)


STEPS = [
    "before the intent",
    "after the intent",
    "after the first object",
    "after the last object",
    "before the completion",
]
TOLD = {"after the intent": "0 of 2 objects were applied", "after the first object": "1 of 2 objects were applied"}


@pytest.mark.parametrize(
    ("step", "choice"),
    [(step, choice) for step in STEPS for choice in (("complete", "undo", "leave") if step in TOLD else ("none",))],
)
async def test_an_apply_that_was_cut_off_is_found_and_settled(
    world: World, place: Place, step: str, choice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"cut{STEPS.index(step)}{choice[0]}"
    image = await asyncio.to_thread(world.approved, place, "1.3.0")
    yard = await _opened(place)
    with monkeypatch.context() as patch:
        _cut_at(step, patch)
        with pytest.raises(_CutError):
            await _pair(yard, name, image)
    await yard.close()

    yard = await _opened(place)
    try:
        found = await yard.deployments.cut_off()
        if step not in TOLD:
            # Nothing was begun, or all of it came about: there is nothing to choose.
            assert found == []
            held = await yard.deployments.snapshots(NAMESPACE, name)
            assert len(held) == (0 if step == "before the intent" else 1)
            return
        (cut,) = found
        assert cut.told == TOLD[step] and cut.name == name
        if choice == "leave":
            await yard.deployments.leave(cut.id)
        else:
            plan = await yard.deployments.settle_plan(cut.id, undo=choice == "undo")
            assert plan.settles == cut.id and not plan.refusals
            await yard.deployments.apply(plan)
        there = [world.cluster.get(NAMESPACE, one) is not None for one in (name, f"{name}-2")]
        first = step == "after the first object" and choice != "undo"
        assert there == ([True, True] if choice == "complete" else [first, False])
        assert await yard.deployments.cut_off() == []
        held = await yard.deployments.snapshots(NAMESPACE, name)
        assert [one.id for one in held] == ([cut.id] if choice == "complete" else [])
        entries = await yard.audit.entries(limit=1)
        assert (entries[0].action, entries[0].outcome) == ("deploy.settle", "done")
    finally:
        await yard.close()


async def test_what_an_apply_changed_returns_to_the_snapshot_before(
    world: World, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = await asyncio.to_thread(world.approved, place, "1.3.0")
    yard = await _opened(place)
    await _pair(yard, "back", image)
    with monkeypatch.context() as patch:
        _cut_at("after the first object", patch)
        with pytest.raises(_CutError):
            await _pair(yard, "back", image, seconds=99)
    assert predictor(world, "back")["timeout"] == 99
    try:
        (cut,) = await yard.deployments.cut_off()
        assert "snapshot" in cut.undo
        plan = await yard.deployments.settle_plan(cut.id[:8], undo=True)
        assert [one.action for one in plan.objects] == ["update", "unchanged"]
        # Somebody writes it between plan and apply: theirs is not taken.
        await asyncio.to_thread(edit, world, "back", {"predictor": {"timeout": 98}})
        with pytest.raises(ConflictError):
            await yard.deployments.apply(plan)
        await asyncio.to_thread(edit, world, "back", {"predictor": {"timeout": 600}})
        again = await yard.deployments.settle_plan(cut.id, undo=True)
        assert not (await yard.deployments.apply(again)).changed
        assert await yard.deployments.cut_off() == []
    finally:
        await yard.close()


def test_a_later_apply_of_the_same_takes_the_place_of_one_that_was_cut_off(
    world: World, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = world.deployment(place, "later", world.approved(place, "1.3.0"))
    with monkeypatch.context() as patch:
        _cut_at("after the intent", patch)
        with pytest.raises(_CutError):
            place.run("deploy", "apply", "-f", file, "--yes")
    listed = place.json("deploy", "settle")
    assert [(one["name"], one["told"]) for one in listed] == [("later", "nothing was applied")]
    assert "deploy settle" in place.run("deploy", "status").err
    assert place.json("deploy", "apply", "-f", file, "--yes")["changed"]
    assert place.json("deploy", "settle") == []
    assert len(place.json("deploy", "snapshots", "later")[0]["decisions"]) == 1
    assert place.run("deploy", "settle", "later", "--complete", "--yes").code == 5
    assert place.run("deploy", "settle", "later", "--complete", "--undo").code == 2
    assert place.run("deploy", "settle", "--undo").code == 2


def test_an_apply_to_a_cluster_that_is_not_known_any_more_can_be_left(
    world: World, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = world.deployment(place, "moved", world.approved(place, "1.3.0"))
    with monkeypatch.context() as patch:
        _cut_at("after the intent", patch)
        with pytest.raises(_CutError):
            place.run("deploy", "apply", "-f", file, "--yes")
    there = ["--context", "mira"]
    (cut,) = place.json("deploy", "settle", *there)
    assert "cannot be told" in cut["told"] and cut["objects"][0]["state"] == "unknown"
    assert place.run("deploy", "status", *there).code == 0
    assert place.run("deploy", "settle", "moved", "--complete", "--yes", *there).code == 5
    assert place.run("deploy", "settle", "moved", "--leave", "--yes").code == 0
    assert place.json("deploy", "settle") == []


def _killing(process: Callable[[], subprocess.Popen[str]], at: int, name: str) -> Callable[[str, str], None]:
    """Kill a process when its request number `at` that patches a service comes, which is not answered then."""
    seen: list[int] = []

    def hook(method: str, path: str) -> None:
        if method == "PATCH" and path.endswith(f"/{name}"):
            seen.append(1)
            if len(seen) == at:
                os.kill(process().pid, signal.SIGKILL)
                process().wait()
                raise ConnectionAbortedError

    return hook


@pytest.mark.parametrize("choice", ["--complete", "--undo"])
def test_an_apply_that_was_killed_is_settled_by_commands(world: World, place: Place, choice: str) -> None:
    name = f"killed{choice[2:]}"
    file = world.deployment(place, name, world.approved(place, "1.3.0"))
    started: list[subprocess.Popen[str]] = []
    # The plan's dry run, that of the plan made anew before it is applied, and then the apply itself.
    world.cluster.on_request = _killing(lambda: started[0], 3, name)
    try:
        started.append(place.start("deploy", "apply", "-f", file, "--yes"))
        assert started[0].wait(timeout=60) == -signal.SIGKILL
    finally:
        world.cluster.on_request = None
        for stream in (started[0].stdout, started[0].stderr):
            if stream is not None:
                stream.close()
    assert world.cluster.get(NAMESPACE, name) is None
    (cut,) = place.json("deploy", "settle")
    assert cut["name"] == name and cut["objects"][0]["state"] == "absent"
    assert name in place.run("deploy", "settle", name).out
    settled = place.run("deploy", "settle", name, choice, "--yes", "-o", "json")
    assert settled.code == 0, settled.err
    assert (world.cluster.get(NAMESPACE, name) is not None) == (choice == "--complete")
    assert place.json("deploy", "settle") == []
    assert ledger(place, "deploy.settle") == ["started", "done"]
    assert place.json("audit", "verify")["intact"]
