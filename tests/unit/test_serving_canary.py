"""Canaries as each mode really does them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from backend.cluster.kserve_objects import ComponentStatus, InferenceService, TrafficTarget
from backend.cluster.resources import HTTP_ROUTES
from backend.core.errors import UsageError
from backend.serving.canary import (
    abort_patch,
    canary_of,
    is_held_back,
    next_step,
    promote_patch,
    with_share,
    without_share,
)
from backend.serving.deployment import parse
from tests.fakes.serving_objects import IMAGE, service

MODE = "serving.kserve.io/deploymentMode"
STEPS = parse(f"name: llama\nnamespace: llm-prod\nimage: {IMAGE}\nmode: Knative\ncanary: {{steps: [10, 50]}}\n")


def manifest(mode: str = "Knative", **predictor: Any) -> dict[str, Any]:
    metadata = {"name": "llama", "namespace": "llm-prod", "annotations": {MODE: mode}}
    return {"metadata": metadata, "spec": {"predictor": {"minReplicas": 1, **predictor}}}


def knative(percent: int | None, newest: str = "llama-2", stable: str = "llama-1") -> InferenceService:
    predictor = {"containers": [{"image": IMAGE}], **({} if percent is None else {"canaryTrafficPercent": percent})}
    made = service(ready="True", annotations={MODE: "Knative"}, predictor=predictor)
    component = ComponentStatus(
        latest_created_revision=newest,
        latest_ready_revision=newest,
        latest_rolledout_revision=stable,
        traffic=(TrafficTarget(revision_name=stable, percent=100 - (percent or 0)),),
    )
    assert made.status is not None
    status = msgspec.structs.replace(made.status, components={"predictor": component})
    return msgspec.structs.replace(made, status=status)


def test_knative_tells_its_revisions_and_their_shares() -> None:
    view = canary_of("prod", knative(10), STEPS)
    assert view.going_on and view.percent == 10 and "llama-2 gets 10 %, llama-1 the rest" in view.statement
    assert [(one.name, one.role, one.percent) for one in view.revisions] == [
        ("llama-2", "newest", 0), ("llama-1", "rolled out", 90),
    ]  # fmt: skip
    assert not canary_of("prod", knative(10, stable="llama-2"), None).going_on, "the same revision is no canary"


def test_steps_go_up_and_end_with_all_traffic() -> None:
    taken = [next_step(canary_of("prod", knative(percent), STEPS)) for percent in (0, 10, 50)]
    assert taken == [10, 50, None]


def test_promotion_and_abort_are_the_field_that_knative_reads() -> None:
    live, view = manifest(canaryTrafficPercent=10), canary_of("prod", knative(10), STEPS)
    assert promote_patch(live, view, None) == promote_patch(live, view, 100)
    whole = promote_patch(live, view, None)
    assert whole["spec"] == {"predictor": {"canaryTrafficPercent": None}}
    assert list(whole["metadata"]["annotations"].values()) == [None]
    assert promote_patch(live, view, 50) == {"spec": {"predictor": {"canaryTrafficPercent": 50}}}
    assert abort_patch(live, view) == {"spec": {"predictor": {"canaryTrafficPercent": 0}}}
    for wrong in (0, 101):
        with pytest.raises(UsageError, match="share"):
            promote_patch(live, view, wrong)


def test_standard_mode_says_that_it_splits_nothing() -> None:
    view = canary_of("prod", service(), None)
    assert not view.splits and "splits no traffic" in view.statement
    for patch in (
        lambda: promote_patch(manifest("Standard"), view, 10),
        lambda: abort_patch(manifest("Standard"), view),
    ):
        with pytest.raises(UsageError, match="splits no traffic"):
            patch()


def test_what_an_http_route_really_does_is_told() -> None:
    route = HTTP_ROUTES.items.decode(
        b'{"metadata": {"name": "llama"}, "spec": {"rules": [{"backendRefs": ['
        b'{"name": "llama-predictor", "weight": 90}, {"name": "llama-canary-predictor", "weight": 10}]}]}}'
    )
    view = canary_of("prod", service(), None, [route])
    assert view.splits and "llama-canary-predictor 10 %" in view.statement


def test_there_is_nothing_to_promote_without_a_canary() -> None:
    with pytest.raises(UsageError, match="there is no canary"):
        promote_patch(manifest(), canary_of("prod", knative(None), None), None)


def test_a_new_revision_begins_without_traffic_and_nothing_else_moves_a_share() -> None:
    live, changed = manifest(containers=[1]), manifest(containers=[2])
    held = with_share(changed, live, changed, proves=True)
    assert held is not None and is_held_back(held) and without_share(held) == changed
    assert with_share(changed, live, changed, proves=False) is None
    assert with_share(live, live, live, proves=True) is None, "no new revision"
    assert with_share(changed, None, changed, proves=True) is None, "the first has nobody to leave the traffic to"
    assert with_share(manifest("Standard", x=2), manifest("Standard"), manifest("Standard", x=2), proves=True) is None
    canary = manifest(containers=[1], canaryTrafficPercent=10)
    kept = with_share(live, canary, live, proves=True)
    assert kept is not None and kept["spec"]["predictor"]["canaryTrafficPercent"] == 10
