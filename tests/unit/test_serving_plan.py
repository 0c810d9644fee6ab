"""Plans: what is shown of a change, how long replicas will be missing, and when a plan is stale. Small changes too."""

from __future__ import annotations

import copy
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.core.diffs import difference
from backend.core.errors import UsageError
from backend.core.views import PlanView
from backend.serving.actions import scale_patch, start_patch, stop_patch
from backend.serving.deployment import parse, to_yaml
from backend.serving.display import display_yaml, wanted_yaml
from backend.serving.manifests import build
from backend.serving.plan import PlanInputs, Seen, Subject, outage, plan_of

DIGEST = "sha256:" + "4f" * 32
FILE = parse(f"name: chat\nnamespace: models\nimage: registry.example/vllm@{DIGEST}\nresources: {{gpu: 1}}\n")
SUBJECT = Subject(namespace=FILE.namespace, name=FILE.name, image=FILE.image, source=to_yaml(FILE))


def _live(manifest: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    """The manifest as the API gives it back."""
    live = copy.deepcopy(manifest)
    live["metadata"] |= {
        "uid": "u1",
        "resourceVersion": "7",
        "generation": 1,
        "creationTimestamp": "2026-11-20T12:00:00Z",
        "managedFields": [{"manager": "modelyard", "operation": "Apply"}],
        **metadata,
    }
    live["status"] = {"url": "http://x"}
    return live


def _plan(live: dict[str, Any] | None, answer: dict[str, Any] | None = None, **more: Any) -> PlanView:
    (manifest,) = build(FILE)
    seen = Seen(manifest=manifest, live=live, answer=answer if answer is not None else _live(manifest))
    return plan_of(PlanInputs(context="prod", subject=SUBJECT, objects=(seen,), **more))


def _changed(live: dict[str, Any], **predictor: Any) -> dict[str, Any]:
    changed = copy.deepcopy(live)
    changed["spec"]["predictor"] |= predictor
    return changed


def test_a_plan_to_create_shows_the_whole_object_without_what_the_server_adds() -> None:
    plan = _plan(None)
    (planned,) = plan.objects
    assert planned.action == "create"
    text = "\n".join(line.text for line in planned.diff)
    assert "kserve-container" in text
    for noise in ("managedFields", "uid:", "resourceVersion", "creationTimestamp", "generation", "status:"):
        assert noise not in text
    assert plan.changes
    assert plan.outage == "Nothing serves under this name yet, so nothing goes missing."


def test_an_unchanged_object_has_no_diff() -> None:
    (manifest,) = build(FILE)
    plan = _plan(_live(manifest), _live(manifest, resourceVersion="9", generation=2))
    assert plan.objects[0].action == "unchanged"
    assert plan.objects[0].diff == ()
    assert not plan.changes
    assert plan.objects[0].resource_version == "7"


def test_an_update_shows_the_lines_that_change_with_some_around_them() -> None:
    (manifest,) = build(FILE)
    plan = _plan(_live(manifest), _live(_changed(manifest, timeout=30)))
    marked = [(line.mark, line.text.strip()) for line in plan.objects[0].diff if line.mark != " "]
    assert marked == [("-", "timeout: 600"), ("+", "timeout: 30")]
    assert any(line.mark == " " for line in plan.objects[0].diff)


def test_a_secret_in_somebody_elses_object_is_not_shown_and_its_change_still_counts() -> None:
    def with_token(value: str) -> dict[str, Any]:
        (manifest,) = build(FILE)
        manifest["spec"]["predictor"]["containers"][0]["env"] = [{"name": "HF_TOKEN", "value": value}]
        return _live(manifest)

    plan = _plan(with_token("hf_old_secret"), with_token("hf_new_secret"))
    assert plan.objects[0].action == "update"
    assert "secret" not in "\n".join(line.text for line in plan.objects[0].diff)
    assert "hf_old_secret" not in display_yaml(with_token("hf_old_secret"))


def test_the_id_holds_as_long_as_what_was_seen_does() -> None:
    (manifest,) = build(FILE)
    first = _plan(_live(manifest)).id
    assert _plan(_live(manifest, resourceVersion="99")).id == first
    assert _plan(_live(manifest) | {"status": {"url": "http://y"}}).id == first
    different = [
        _plan(None),
        _plan(_live(manifest, uid="u2")),
        _plan(_live(manifest, generation=2)),
        _plan(_live(manifest, labels={"a": "b"})),
        _plan(_live(manifest), refusals=("no",)),
        _plan(_live(manifest), _live(_changed(manifest, timeout=1))),
    ]
    assert len({plan.id for plan in different} | {first}) == len(different) + 1


def test_the_commands_that_would_do_the_same_are_quoted() -> None:
    plan = plan_of(
        PlanInputs(
            context="prod; rm -rf /",
            subject=SUBJECT,
            objects=(Seen(manifest=build(FILE)[0], live=None, answer=None),),
        )
    )
    assert all("--context 'prod; rm -rf /' -n models" in command for command in plan.kubectl)
    assert any("--server-side --field-manager=modelyard" in command for command in plan.kubectl)


def _service(replicas: int, strategy: dict[str, Any], **predictor: Any) -> dict[str, Any]:
    return {"spec": {"predictor": {"minReplicas": replicas, "deploymentStrategy": strategy, **predictor}}}


RECREATE = {"type": "Recreate"}
IN_TURN = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (_service(1, RECREATE, a=1), _service(1, RECREATE, a=2), "The one replica stops before a new one starts"),
        (_service(3, RECREATE, a=1), _service(3, RECREATE, a=2), "All 3 replicas stop"),
        (_service(3, IN_TURN, a=1), _service(3, IN_TURN, a=2), "1 of 3 is missing"),
        (_service(1, IN_TURN, a=1), _service(1, IN_TURN, a=2), "the only one is missing"),
        (_service(2, {}, a=1), _service(2, {}, a=2), "without a free GPU"),
        (_service(0, RECREATE, a=1), _service(1, RECREATE, a=2), "no replicas now"),
        (_service(1, RECREATE), _service(1, RECREATE, timeout=5), "No replica restarts"),
        (_service(3, IN_TURN), _service(1, RECREATE), "2 of 3 replicas stop"),
        (_service(1, RECREATE), _service(3, IN_TURN), "2 more start"),
        (
            _service(1, RECREATE, a=1) | {"metadata": {"annotations": {"serving.kserve.io/stop": "true"}}},
            _service(1, RECREATE, a=2),
            "is stopped",
        ),
    ],
)
def test_an_outage_is_told_before_it_happens(before: dict[str, Any], after: dict[str, Any], words: str) -> None:
    assert words in outage(before, after, timedelta(seconds=200))


def test_an_outage_tells_how_long_where_that_is_known() -> None:
    before, after = _service(1, RECREATE, a=1), _service(1, RECREATE, a=2)
    assert "the last took 3 min 20 s" in outage(before, after, timedelta(seconds=200))
    assert "not known" in outage(before, after, None)


@given(st.lists(st.sampled_from("abc"), max_size=12), st.lists(st.sampled_from("abc"), max_size=12))
def test_a_diff_holds_every_line_that_went_and_came(old: list[str], new: list[str]) -> None:
    lines = difference("\n".join(old), "\n".join(new))
    removed = [line.text for line in lines if line.mark == "-"]
    added = [line.text for line in lines if line.mark == "+"]
    assert len(new) - len(old) == len(added) - len(removed)
    if old == new:
        assert lines == ()


def test_the_order_of_keys_is_no_difference() -> None:
    assert wanted_yaml({"b": {"y": 1, "x": 2}, "a": 1}) == wanted_yaml({"a": 1, "b": {"x": 2, "y": 1}})


def _with_class(name: str, **predictor: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": "x",
            "namespace": "y",
            "annotations": {"serving.kserve.io/deploymentMode": "Standard", "serving.kserve.io/autoscalerClass": name},
        },
        "spec": {"predictor": predictor},
    }


def test_scaling_by_hand_is_left_to_the_autoscaler_where_there_is_one() -> None:
    assert scale_patch(_with_class("none"), 2) == {"spec": {"predictor": {"minReplicas": 2}}}
    assert scale_patch(_with_class("none", maxReplicas=3), 5)["spec"]["predictor"]["maxReplicas"] == 5
    for name in ("hpa", "keda", "external"):
        with pytest.raises(UsageError, match=name):
            scale_patch(_with_class(name), 2)
    with pytest.raises(UsageError):
        scale_patch(_with_class("none"), -1)
    knative = _with_class("none", maxReplicas=2)
    knative["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] = "Knative"
    with pytest.raises(UsageError, match="above maxReplicas"):
        scale_patch(knative, 3)


def test_stopping_and_starting_undo_each_other() -> None:
    assert stop_patch() == {"metadata": {"annotations": {"serving.kserve.io/stop": "true"}}}
    assert start_patch() == {"metadata": {"annotations": {"serving.kserve.io/stop": None}}}


def test_an_outage_is_told_by_earlier_starts_of_the_image_where_there_were_several() -> None:
    before, after = _service(1, RECREATE, a=1), _service(1, RECREATE, a=2)
    assert "about 3 min 20 s, by 4 earlier starts of this image" in outage(before, after, timedelta(seconds=200), 4)
    assert "the last took 3 min 20 s" in outage(before, after, timedelta(seconds=200), 1)
