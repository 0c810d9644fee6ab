"""Whether a deployment fits and what would suit it, by command and by the form, on the demo's Kubernetes API."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from backend.config import load_configuration
from backend.core.errors import NotFoundError
from backend.yard import Yard, YardOptions
from tests.fakes.cli import Place
from tests.fakes.cli_world import NAMESPACE, TAGS, World, running_world

_T = TypeVar("_T")


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with running_world() as world:
        yield world


@pytest.fixture
def place(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return world.place(tmp_path, monkeypatch)


def in_yard(place: Place, work: Callable[[Yard], Awaitable[_T]]) -> _T:
    configuration = load_configuration(place.config)

    async def run() -> _T:
        yard = await Yard.open(configuration, YardOptions(read_only=True))
        try:
            return await work(yard)
        finally:
            await yard.close()

    return asyncio.run(run())


def test_the_command_tells_where_it_would_run_and_what_keeps_it(world: World, place: Place) -> None:
    reference = world.approved(place, TAGS[0])
    fits = place.json("deploy", "fit", "-f", world.deployment(place, "chat", reference))
    assert (fits["fit"]["verdict"], fits["fit"]["pods"]) == ("now", 1)
    assert {node["name"] for node in fits["fit"]["nodes"]} == {"gpu-01", "gpu-02", "gpu-03", "gpu-04"}
    assert "8 billion parameters of bf16 take 15 GiB" in fits["fit"]["memory"]
    large = place.folder / "large.yaml"
    large.write_text(
        f"name: chat\nnamespace: {NAMESPACE}\nimage: {reference}\nresources: {{gpu: 9}}\n", encoding="utf-8"
    )
    much = place.json("deploy", "fit", "-f", large)
    assert much["fit"]["verdict"] == "never"
    assert much["fit"]["sentence"] == "9 GPUs: no node has more than 8 in all"
    told = place.run("deploy", "fit", "-f", world.deployment(place, "chat", reference, replicas="{min: 40}"))
    assert told.code == 0
    by_image = place.json("deploy", "fit", "--image", reference)
    assert by_image["fit"]["verdict"] == "now"
    assert place.run("deploy", "fit").code == 2
    assert told.out.startswith("estimate: 32 of 40 pods fit; the next waits: 1 GPU: none free")


def test_a_plan_tells_the_estimate_and_refuses_another_environment(world: World, place: Place) -> None:
    reference = world.approved(place, TAGS[0])
    plan = place.json("deploy", "plan", "-f", world.deployment(place, "chat", reference))
    assert plan["fit"]["sentence"].startswith("it would run now, on gpu-01, gpu-02")
    told = place.run("deploy", "plan", "-f", world.deployment(place, "chat", reference, environment="staging"))
    assert told.code == 3
    assert "for environment staging" in told.err
    assert "estimate: it would run now" in told.out


def test_a_file_that_is_wrong_is_refused_with_its_line(world: World, place: Place) -> None:
    file = place.folder / "wrong.yaml"
    file.write_text("name: chat\nnamespace: x\nimage: a.b/c\n", encoding="utf-8")
    told = place.run("deploy", "fit", "-f", file)
    assert told.code == 2
    assert ":3" in told.err


def test_the_form_offers_what_the_cluster_has_and_takes_suggestions_over(world: World, place: Place) -> None:
    reference = world.approved(place, TAGS[0])

    async def work(yard: Yard) -> None:
        form = await yard.forms.open(reference)
        offers = {field.id: field for field in form.fields}
        assert form.values["namespace"] == NAMESPACE
        assert [(each.value, each.wrong) for each in offers["runtime"].offers][:2] == [("nim-1.8", ""), ("custom", "")]
        triton = next(each for each in offers["runtime"].offers if each.value == "triton-25.06")
        assert triton.wrong == "it is disabled, and KServe will not use it"
        assert offers["mode"].closed
        assert any(each.note == "32 of 32 free" for each in offers["resources.gpuResource"].offers)
        assert any(each.value.startswith("nvidia.com/gpu.product=") for each in offers["nodeSelector"].offers)
        checked = yard.forms.check({**form.values, "name": "chat"}, form.deployment)
        assert checked.problems == ()
        wrong = yard.forms.check({**form.values, "name": "Chat"}, form.deployment)
        assert [problem.field for problem in wrong.problems] == ["name"]
        plan = await yard.deployments.plan(checked.deployment)
        assert plan.refusals == ()
        advice = await yard.forms.advice(checked.deployment)
        assert advice.fit.verdict == "now"
        length = next(each for each in advice.suggestions if each.id == "max-length")
        taken = await yard.forms.take(checked.deployment, "max-length")
        again = await yard.forms.of_file(taken)
        assert again.values["env"] == f"NIM_MAX_MODEL_LEN={length.value}"
        with pytest.raises(NotFoundError):
            await yard.forms.take(taken, "max-length")

    in_yard(place, work)


def test_where_there_are_several_clusters_the_form_asks_which(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = world.place(tmp_path, monkeypatch)
    reference = world.approved(place, TAGS[0])
    kubeconfig = json.loads(world.cluster.kubeconfig())
    kubeconfig["contexts"].append({"name": "east", "context": {"cluster": "test", "user": "operator"}})
    (tmp_path / "kubeconfig").write_text(json.dumps(kubeconfig), encoding="utf-8")
    head = place.text[: place.text.index("[[cluster]]")]
    place.configure(f'{head}[[cluster]]\ncontext = "robin"\n[[cluster]]\ncontext = "east"\n', place.yard)

    async def work(yard: Yard) -> None:
        form = await yard.forms.open(reference, context="east")
        assert (form.fields[0].id, [each.value for each in form.fields[0].offers]) == ("context", ["robin", "east"])
        assert (form.context, form.values["context"]) == ("east", "east")
        checked = yard.forms.check(form.values, form.deployment)
        assert checked.problems == ()
        assert (await yard.forms.advice(checked.deployment, context=form.context)).fit.verdict == "now"

    in_yard(place, work)
