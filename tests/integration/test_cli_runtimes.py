"""Serving runtimes by commands: listed, shown, compared, and installed through the gate."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.demo.resources import SERVING_RUNTIMES
from tests.fakes.cli import Place
from tests.fakes.cli_world import NAMESPACE, World, running_world
from tests.integration.test_cli_deploy import ledger


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with running_world() as world:
        yield world


@pytest.fixture
def place(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return world.place(tmp_path, monkeypatch)


def test_a_runtime_is_installed_of_an_approved_image_and_used(world: World, place: Place) -> None:
    reference = world.approved(place, "1.3.0")
    words = ["nim", "--image", reference, "-n", NAMESPACE]
    plan = place.json("runtimes", "plan", *words)
    assert plan["subject"] == "runtime" and plan["refusals"] == [] and len(plan["decisions"]) == 1
    name = plan["name"]
    assert name.startswith("nim-1-3-0-")
    states = {one["about"]: one["state"] for one in plan["checks"]}
    assert states == {"secret ngc-secret": "ok", "secret nvidia-nim-secrets": "ok"}
    unconfirmed = place.run("runtimes", "install", *words)
    assert unconfirmed.code == 2 and "--yes" in unconfirmed.error and "ServingRuntime" in unconfirmed.err
    assert world.cluster.get(NAMESPACE, name, SERVING_RUNTIMES) is None
    installed = place.run("runtimes", "install", *words, "--yes")
    assert installed.code == 0, installed.err
    assert f"installed ServingRuntime {NAMESPACE}/{name}" in installed.out
    assert not place.json("runtimes", "install", *words, "--yes")["changed"]
    assert ledger(place, "runtime.apply") == ["started", "done", "started", "done"]

    file = world.deployment(place, "by-runtime", reference, runtime=name)
    assert place.json("deploy", "apply", "-f", file, "--yes")["changed"]
    (listed,) = [one for one in place.json("runtimes", "list") if one["name"] == name]
    assert listed["approved"] is True and listed["template"] == "nim 1"
    assert listed["used_by"] == [f"{NAMESPACE}/by-runtime"]
    shown = place.run("runtimes", "show", f"{NAMESPACE}/{name}")
    assert "editing it starts the pods of the service that uses it anew" in shown.out and "NGC_API_KEY" in shown.out
    # Snapshots of services are theirs alone.
    assert place.json("deploy", "snapshots", "by-runtime") != []
    different = place.run("runtimes", "diff", f"{NAMESPACE}/{name}", "(cluster)/nim-1.8")
    assert different.code == 0 and "  - " in different.out and "  + " in different.out
    assert place.run("runtimes", "diff", name, name).out == "they have the same content\n"


def test_a_runtime_is_never_changed_under_its_name(world: World, place: Place) -> None:
    first, second = world.approved(place, "1.3.0"), world.approved(place, "1.4.0")
    words = ["nim", "-n", NAMESPACE, "--name", "fixed", "--yes"]
    assert place.run("runtimes", "install", "--image", first, *words).code == 0
    refused = place.run("runtimes", "install", "--image", second, *words)
    assert refused.code == 3 and "another content" in refused.error
    runtime = world.cluster.get(NAMESPACE, "fixed", SERVING_RUNTIMES)
    assert runtime is not None and runtime["spec"]["containers"][0]["image"] == first
    given = ["--secret", "NGC_API_KEY=mine/key", "--claim", "nim-cache=weights", "--pull-secret", "mine"]
    third = place.json("runtimes", "install", "nim", "--image", first, "-n", NAMESPACE, *given, "--yes")
    assert third["name"] != "fixed" and third["changed"]


def test_an_image_that_is_not_approved_makes_no_runtime(world: World, place: Place) -> None:
    place.json("sync")
    words = ["nim", "--image", world.reference("1.4.0"), "-n", NAMESPACE]
    plan = place.run("runtimes", "plan", *words, "-o", "json")
    assert plan.code == 3 and "not approved" in plan.error
    assert place.run("runtimes", "install", *words, "--yes").code == 3
    assert ledger(place, "runtime.apply") == ["refused"]


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["runtimes", "plan", "no-such", "--image", "IMAGE", "-n", NAMESPACE], 5, "vllm-chat"),
        (["runtimes", "plan", "nim", "--image", "local/none:1", "-n", NAMESPACE], 5, "none"),
        (["runtimes", "plan", "nim", "--image", "IMAGE", "-n", NAMESPACE, "--secret", "X=a/b"], 2, "NGC_API_KEY"),
        (
            ["runtimes", "plan", "nim", "--image", "IMAGE", "-n", NAMESPACE, "--secret", "NGC_API_KEY=a"],
            2,
            "no key",
        ),
        (["runtimes", "plan", "nim", "--image", "IMAGE", "-n", NAMESPACE, "--claim", "nim-cache"], 2, "NAME=VALUE"),
        (["runtimes", "plan", "nim", "--image", "IMAGE", "-n", NAMESPACE, "--name", "No Name"], 3, "name"),
        (["runtimes", "show", "no-such"], 5, "runtimes list"),
        (["runtimes", "diff", "nim-1.8", "no-such"], 5, "no-such"),
    ],
)
def test_what_is_wrong_is_told(world: World, place: Place, words: list[str], code: int, told: str) -> None:
    reference = world.approved(place, "1.3.0")
    ran = place.run(*[reference if word == "IMAGE" else word for word in words])
    assert ran.code == code and told in ran.error


def test_templates_of_the_configuration_are_listed_and_wrong_ones_told(world: World, place: Place) -> None:
    listed = place.json("runtimes", "catalogue")
    assert {"vllm-chat", "vllm-embedding", "vllm-reranking", "nim", "triton-trtllm", "sglang", "tgi", "container"} == {
        one["name"] for one in listed
    }
    folder = place.folder / "runtimes"
    folder.mkdir()
    (folder / "mine.yaml").write_text(
        "name: mine\nversion: '2'\ntitle: Mine\nformats: [{name: mine}]\nports: [{port: 9000}]\n"
    )
    (folder / "typo.yaml").write_text("name: typo\nversion: '1'\ntitel: Typo\n")
    ran = place.run("runtimes", "catalogue", "-o", "json")
    assert ran.code == 2 and "typo.yaml:3" in ran.error and "did you mean 'title'" in ran.error
    checks = {one["name"]: one for one in place.run("doctor", "-o", "json").data}
    assert "typo.yaml:3" in checks["runtime template"]["detail"] and checks["runtime templates"]["state"] == "ok"
    assert [one["source"] for one in ran.data if one["name"] == "mine"] == [str(folder / "mine.yaml")]
    reference = world.approved(place, "1.3.0")
    plan = place.json("runtimes", "plan", "mine", "--image", reference, "-n", NAMESPACE)
    assert plan["name"].startswith("mine-1-3-0-")
