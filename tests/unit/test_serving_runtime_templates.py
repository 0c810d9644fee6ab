"""Templates of runtimes: those that come with the program, those of a folder, and what they make of an image."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend.cluster.kserve_objects import InferenceService, ServingRuntime
from backend.core.errors import NotFoundError, UsageError
from backend.demo.kubernetes.schemas import custom_schema
from backend.demo.kubernetes.validation import name_causes, pruned, schema_causes, typed_problems
from backend.demo.resources import SERVING_RUNTIMES
from backend.serving.engines import engine_of
from backend.serving.rows import Approval
from backend.serving.runtime_catalogue import BUILT_IN, catalogue, read_template
from backend.serving.runtime_templates import RuntimeRequest, RuntimeTemplate, runtime_of, same_content, template_view
from backend.serving.runtimes import runtime_notes, runtime_views
from tests.fakes.demo_cluster import shared

DIGEST = "sha256:" + "1" * 64
BUILT = catalogue(None)
KEYS = ("name", "version", "title", "formats", "ports", "port", "env", "probes", "mounts", "path", "secretKeyRef", "x")


def _request(**more: Any) -> RuntimeRequest:
    values: dict[str, Any] = {
        "template": "x", "image": f"registry.example/vllm-openai@{DIGEST}", "tag": "v0.27.1", "namespace": "models",
        **more,
    }  # fmt: skip
    return RuntimeRequest(**values)


def _template(**more: Any) -> RuntimeTemplate:
    values = {
        "name": "own", "version": "1", "title": "Own", "formats": [{"name": "own"}], "ports": [{"port": 8000}], **more
    }  # fmt: skip
    return RuntimeTemplate.model_validate(values)


@pytest.mark.parametrize("name", sorted(BUILT.templates))
def test_every_template_makes_a_runtime_that_the_schema_takes(name: str) -> None:
    template = BUILT.find(name)
    manifest = runtime_of(template, _request())
    schema = custom_schema(SERVING_RUNTIMES)
    assert list(typed_problems(schema, manifest)) == []
    assert list(schema_causes(schema, manifest)) == []
    assert pruned(schema, manifest)[1] == []
    assert list(name_causes(manifest["metadata"]["name"])) == []
    (container,) = manifest["spec"]["containers"]
    assert container["name"] == "kserve-container" and container["image"].endswith(DIGEST)
    assert container["livenessProbe"]["timeoutSeconds"] == 10
    startup = container["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] >= 1200
    assert {"name": "dshm", "mountPath": "/dev/shm"} in container["volumeMounts"]
    assert not any("value" in one for one in container.get("env", ()) if "KEY" in one["name"])
    assert not any(one["autoSelect"] for one in manifest["spec"]["supportedModelFormats"])
    if template.engine != "other":
        # An approval of an engine holds for the services of its runtimes, whatever the image is called.
        assert engine_of("registry.example/x", manifest["metadata"]["name"]).name == template.engine


def _manifests(file: str) -> list[dict[str, Any]]:
    path = shared("manifests") / file
    if not path.is_file():
        pytest.skip(f"the manifests are not at {path}")
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    ("file", "template", "beside"),
    [
        ("a-vllm-chat.yaml", "vllm-chat", {"imagePullSecrets"}),
        ("b-nim-llm.yaml", "nim", {"supportedModelFormats", "volumes", "containers"}),
        ("c-triton-trtllm.yaml", "triton-trtllm", set()),
    ],
)
def test_a_template_makes_what_a_real_server_accepted(file: str, template: str, beside: set[str]) -> None:
    given = next(one for one in _manifests(file) if "Runtime" in one["kind"])["spec"]
    image = given["containers"][0]["image"]
    made = runtime_of(BUILT.find(template), _request(image=image))["spec"]
    assert {key: value for key, value in made.items() if key not in beside} == {
        key: value for key, value in given.items() if key not in beside
    }
    theirs, ours = given["containers"][0], made["containers"][0]
    for key in set(theirs) - {"resources", "startupProbe"}:
        assert ours[key] == theirs[key], key


def test_another_content_has_another_name() -> None:
    template = BUILT.find("vllm-chat")
    name = runtime_of(template, _request())["metadata"]["name"]
    assert name.startswith("vllm-chat-0-27-1-")
    others = [
        runtime_of(template, _request(image=f"registry.example/vllm-openai@sha256:{'2' * 64}")),
        runtime_of(template, _request(pull_secrets=("mine",))),
        runtime_of(template.model_copy(update={"version": "2"}), _request()),
        runtime_of(template.model_copy(update={"shm": "8Gi"}), _request()),
    ]
    assert len({one["metadata"]["name"] for one in others} | {name}) == 5
    assert runtime_of(template, _request())["metadata"]["name"] == name
    assert runtime_of(template, _request(name="mine"))["metadata"]["name"] == "mine"


@given(st.text(max_size=80))
def test_any_tag_makes_a_name_that_kubernetes_takes(tag: str) -> None:
    name = runtime_of(BUILT.find("triton-trtllm"), _request(tag=tag))["metadata"]["name"]
    assert list(name_causes(name)) == []
    assert len(name) <= 63


def test_what_the_server_fills_in_is_no_other_content() -> None:
    manifest = runtime_of(BUILT.find("nim"), _request())
    live = yaml.safe_load(yaml.safe_dump(manifest))
    live["metadata"] |= {"uid": "u", "resourceVersion": "7"}
    live["spec"]["containers"][0]["terminationMessagePath"] = "/dev/log"
    assert same_content(live, manifest)
    live["spec"]["containers"][0]["image"] = "r/other@" + DIGEST
    assert not same_content(live, manifest)


def test_secrets_and_claims_are_put_where_the_template_has_a_place() -> None:
    made = runtime_of(
        BUILT.find("nim"), _request(secrets={"NGC_API_KEY": ("mine", "key")}, claims={"nim-cache": "weights"})
    )["spec"]
    assert {"secretKeyRef": {"name": "mine", "key": "key"}} in [
        one.get("valueFrom") for one in made["containers"][0]["env"]
    ]
    assert {"name": "nim-cache", "persistentVolumeClaim": {"claimName": "weights"}} in made["volumes"]


def test_templates_of_the_folder_are_read_and_wrong_ones_told_by_their_line(tmp_path: Path) -> None:
    folder = tmp_path / "runtimes"
    folder.mkdir()
    good = "name: mine\nversion: '1'\ntitle: Mine\nformats: [{name: mine}]\nports: [{port: 9000}]\n"
    (folder / "mine.yaml").write_text(good)
    (folder / "other.toml").write_text(
        'name = "other"\nversion = "1"\ntitle = "Other"\nports = [{ port = 80 }]\n[[formats]]\nname = "x"\n'
    )
    (folder / "typo.yaml").write_text(good.replace("ports:", "port:").replace("name: mine\n", "name: typo\n", 1))
    (folder / "typo2.toml").write_text('name = "t"\nversion = "1"\ntitel = "x"\n')
    (folder / "nim.yaml").write_text(good.replace("name: mine\n", "name: nim\n", 1))
    (folder / "bad.yaml").write_text("a: [")
    (folder / "notes.txt").write_text("no template")
    found = catalogue(tmp_path)
    assert {"mine", "other"} <= set(found.templates)
    assert found.templates["nim"][1] == BUILT_IN
    problems = {Path(one.what.partition(":")[0]).name: one for one in found.problems}
    assert set(problems) == {"typo.yaml", "typo2.toml", "nim.yaml", "bad.yaml"}
    assert problems["typo.yaml"].what.endswith(":5") and "did you mean 'ports'" in problems["typo.yaml"].action
    assert ":3" in problems["typo2.toml"].what
    assert "there already" in problems["nim.yaml"].why
    with pytest.raises(UsageError, match="port"):
        found.find("typo")
    with pytest.raises(NotFoundError):
        found.find("none")
    assert template_view(found.find("mine"), "mine.yaml").ports == (9000,)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"name": "Own"}, "lower-case"),
        ({"version": "a b"}, "label"),
        ({"formats": []}, "formats"),
        ({"ports": []}, "ports"),
        ({"ports": [{"port": 1}, {"port": 2}]}, "a name of its own"),
        ({"ports": [{"port": 1}, {"port": 1}]}, "twice"),
        ({"metrics": {"port": 9, "path": "/m"}}, "not among ports"),
        ({"probes": {"port": 9}}, "not among ports"),
        ({"env": [{"name": "A_TOKEN", "value": "x"}]}, "secretKeyRef"),
        ({"env": [{"name": "PYTHONPATH", "value": "x"}]}, "PYTHONPATH"),
        ({"protocols": ["v3"]}, "v1"),
        ({"shm": "much"}, "quantity"),
        ({"mounts": [{"name": "x", "path": "relative"}]}, "path"),
    ],
)
def test_a_wrong_template_is_refused_with_its_reason(wrong: dict[str, Any], told: str, tmp_path: Path) -> None:
    values = {"name": "own", "version": "1", "title": "Own", "formats": [{"name": "own"}], "ports": [{"port": 8000}]}
    file = tmp_path / "own.yaml"
    file.write_text(yaml.safe_dump({**values, **wrong}))
    with pytest.raises(UsageError, match=told):
        read_template(file)


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"name: \xff")
    with pytest.raises(UsageError, match="UTF-8"):
        read_template(tmp_path / "latin.yaml")
    with pytest.raises(UsageError):
        read_template(tmp_path / "none.yaml")
    assert catalogue(tmp_path / "nowhere").problems == ()


def test_without_pages_an_open_port_counts_as_health() -> None:
    (container,) = runtime_of(_template(), _request())["spec"]["containers"]
    assert container["readinessProbe"]["tcpSocket"] == {"port": 8000}


def _runtime(name: str, namespace: str = "", image: str = f"r.example/x@{DIGEST}", **labels: str) -> ServingRuntime:
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    return msgspec.convert({"metadata": metadata, "spec": {"containers": [{"image": image}]}}, ServingRuntime)


def _user(name: str, model: dict[str, Any], **status: str) -> InferenceService:
    metadata = {"name": name, "namespace": "models"}
    raw = {"metadata": metadata, "spec": {"predictor": {"model": model}}, "status": status}
    return msgspec.convert(raw, InferenceService)


def test_who_uses_a_runtime_is_told_by_name_or_by_what_kserve_chose() -> None:
    runtimes = [_runtime("a"), _runtime("a", "models"), _runtime("b")]
    services = [
        _user("names-a", {"runtime": "a"}),
        _user("chosen", {}, clusterServingRuntimeName="a"),
        _user("own", {}, servingRuntimeName="a"),
        _user("none", {}),
    ]
    used = {(one.namespace, one.name): one.used_by for one in runtime_views("prod", runtimes, services)}
    assert used == {("models", "a"): ("models/names-a", "models/own"), ("", "a"): ("models/chosen",), ("", "b"): ()}


def test_a_runtime_is_told_with_its_approval_and_what_to_know() -> None:
    recommended = "app.kubernetes.io"
    labels = {f"{recommended}/managed-by": "modelyard", f"{recommended}/name": "nim", f"{recommended}/version": "1"}
    runtimes = [_runtime("ours", "models", **labels), _runtime("theirs", image="r.example/x:latest")]
    ours, theirs = sorted(
        runtime_views("prod", runtimes, [_user("s", {"runtime": "ours"})], lambda _: Approval(False, "it is revoked")),
        key=lambda one: one.name,
    )
    assert ours.template == "nim 1" and theirs.template == ""
    assert (ours.approved, ours.approval_note) == (False, "it is revoked")
    assert theirs.approved is False and "not named by its digest" in theirs.approval_note
    assert any("pods of the service that uses it" in note for note in runtime_notes(ours))
    assert any("not made by Modelyard" in note for note in runtime_notes(theirs))


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=15,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.sampled_from([".yaml", ".toml"]), st.text(max_size=60) | _VALUES.map(yaml.safe_dump))
def test_any_text_is_a_template_or_refused(tmp_path: Path, ending: str, text: str) -> None:
    file = tmp_path / f"any{ending}"
    file.write_text(text, encoding="utf-8", errors="replace")
    with contextlib.suppress(UsageError):
        assert read_template(file).name
