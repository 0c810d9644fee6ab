"""The commands that a plan prints do the same by kubectl, under the same manager and on the same fields."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest

from backend.cluster.status import FieldConflict
from backend.demo.resources import INFERENCE_SERVICES
from backend.serving.deployment import parse, to_yaml
from backend.serving.manifests import build
from backend.serving.plan import PlanInputs, Seen, Subject, kubectl
from backend.serving.yaml_lines import dump
from tests.fakes.demo_cluster import NAMESPACE, Cluster
from tests.integration import test_demo_cluster_kubectl as suite
from tests.integration.test_demo_cluster_kubectl import Kubectl

pytestmark = suite.pytestmark
cluster, start, by_kubectl = suite.cluster, suite.start, suite.kubectl
FILE = parse(f"name: chat\nnamespace: {NAMESPACE}\nimage: registry.example/vllm@sha256:{'4f' * 32}\n")
SUBJECT = Subject(namespace=NAMESPACE, name="chat", image=FILE.image, source=to_yaml(FILE))


def _commands(manifests: Path, manifest: dict[str, Any], **more: Any) -> list[list[str]]:
    claims = more.pop("claims", ())
    seen = Seen(manifest=manifest, live=None, answer=None, claims=claims)
    inputs = PlanInputs(context="prod", subject=SUBJECT, objects=(seen,), **more)
    told = [shlex.split(command) for command in kubectl(inputs)]
    # The tests' server is named by its address instead of a context.
    return [[str(manifests) if word == "manifests.yaml" else word for word in words[3:]] for words in told]


async def test_what_is_printed_applies_the_plan(cluster: Cluster, by_kubectl: Kubectl, tmp_path: Path) -> None:
    (manifest,) = build(FILE)
    file = tmp_path / "manifests.yaml"
    file.write_text(dump(manifest))
    difference, apply, get = _commands(file, manifest)
    assert get[-1] == "--watch"
    shown = await by_kubectl(*difference)
    assert shown.code == 1 and "+" in shown.output, shown.errors
    applied = await by_kubectl(*apply)
    assert applied.code == 0, applied.errors
    assert (await by_kubectl(*get[:-1])).code == 0
    live = cluster.store.get(INFERENCE_SERVICES, NAMESPACE, "chat")
    assert live is not None
    assert [(one["manager"], one["operation"]) for one in live["metadata"]["managedFields"]] == [("modelyard", "Apply")]
    assert (await by_kubectl(*difference)).code == 0


async def test_fields_that_were_named_are_taken_by_it_too(
    cluster: Cluster, by_kubectl: Kubectl, tmp_path: Path
) -> None:
    (manifest,) = build(FILE)
    file = tmp_path / "manifests.yaml"
    file.write_text(dump(manifest))
    _, apply, _ = _commands(file, manifest)
    assert (await by_kubectl(*apply)).code == 0
    path = f"/apis/serving.kserve.io/v1beta1/namespaces/{NAMESPACE}/inferenceservices/chat"
    edited = await cluster.merge(path, {"spec": {"predictor": {"timeout": 5}}}, fieldManager="other-tool")
    assert edited.status_code == 200
    assert "conflict" in (await by_kubectl(*apply)).errors
    claim = FieldConflict(".spec.predictor.timeout", "other-tool")
    _, forced, _ = _commands(file, manifest, claims=(claim,), take=(claim.field,))
    assert "--force-conflicts" in forced
    assert (await by_kubectl(*forced)).code == 0
    live = cluster.store.get(INFERENCE_SERVICES, NAMESPACE, "chat")
    assert live is not None and live["spec"]["predictor"]["timeout"] == 600


@pytest.mark.parametrize("subject", ["service", "runtime"])
def test_what_shall_go_is_deleted_by_name(subject: str) -> None:
    (manifest,) = build(FILE)
    inputs = PlanInputs(
        context="prod",
        subject=Subject(kind=subject, namespace=NAMESPACE, name="chat", image="", source=""),  # type: ignore[arg-type]
        objects=(Seen(manifest=manifest, live=manifest, answer=None, delete=True),),
    )
    assert any(" delete inferenceservice chat" in command for command in kubectl(inputs))
