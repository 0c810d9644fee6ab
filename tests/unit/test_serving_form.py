"""The form's texts: what each field takes, and the reason told at the field that will not do."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.flows.forms import inside_address
from backend.serving import form_texts as texts
from backend.serving.deployment import parse
from backend.serving.form_fields import BY_ID, FIELDS, SECTIONS, check_form, closed_offers, values_of_text

BASE = (
    f"name: chat\nnamespace: models\nimage: r.example/vllm-openai@sha256:{'4f' * 32}\nhealth: {{startupSeconds: 99}}\n"
)


def _problems(**changed: str) -> dict[str, str]:
    values = values_of_text(BASE) | {key.replace("__", "."): value for key, value in changed.items()}
    return {problem.field: problem.why for problem in check_form(values, BASE).problems}


def test_every_field_has_a_place_in_a_section() -> None:
    assert {field.section for field in FIELDS} == set(SECTIONS)
    assert len(BY_ID) == len(FIELDS)


def test_every_value_of_a_closed_field_is_explained() -> None:
    for field in FIELDS:
        assert all(offer.note for offer in closed_offers(field)), field.id


def test_what_the_form_has_no_field_for_is_kept() -> None:
    base = BASE + "command: [serve]\n"
    checked = check_form(values_of_text(base) | {"replicas.min": "2", "resources.gpu": " 4 "}, base)
    made = parse(checked.deployment)
    assert (made.command, made.replicas.min, made.resources.gpu, made.health.startup_seconds) == (("serve",), 2, 4, 99)
    emptied = check_form(values_of_text(base) | {"health.startupSeconds": ""}, base)
    assert parse(emptied.deployment).health.startup_seconds == 1800


@pytest.mark.parametrize(
    ("changed", "field", "words"),
    [
        ({"name": ""}, "name", "missing"),
        ({"name": "Chat"}, "name", "lower-case"),
        ({"name": "n" * 47}, "name", "53 characters together"),
        ({"namespace": "a b"}, "namespace", "no dash at its ends"),
        ({"resources__gpu": "many"}, "resources.gpu", "whole number"),
        ({"resources__gpu": "65"}, "resources.gpu", "64 at most"),
        ({"resources__gpuResource": "nvidia.com/mig-x"}, "resources.gpuResource", "no MIG profile"),
        ({"resources__memory": "48 GB"}, "resources.memory", "quantity"),
        ({"resources__cpuLimit": "8"}, "resources.cpuLimit", "needs cpu"),
        ({"args": '"a'}, "args", "quotes do not match"),
        ({"env": "A"}, "env", "A=VALUE"),
        ({"env": "A=secret:x"}, "env", "A=secret:NAME/KEY"),
        ({"env": "API_KEY=abc"}, "env", "use secretKeyRef"),
        ({"env": "PYTHONPATH=/x"}, "env", "KServe refuses PYTHONPATH"),
        ({"nodeSelector": "zone"}, "nodeSelector", "zone=VALUE"),
        ({"nodeSelector": "a=1 a=2"}, "nodeSelector", "twice"),
        ({"tolerations": "=x"}, "tolerations", "KEY"),
        ({"topologySpread": "zone:x"}, "topologySpread", "zone:N"),
        ({"workers": "3"}, "workers", "NODES x GPUS"),
        ({"workers": "2 x 8"}, "workers", "by a runtime only"),
        ({"canary__steps": "50 10"}, "canary.steps", "rise"),
        ({"canary__steps": "half"}, "canary.steps", "whole numbers"),
        ({"canary__hold": "soon"}, "canary.hold", "duration"),
        ({"validation__errorRate": "2"}, "validation.errorRate", "1 at most"),
        ({"replicas__min": "3", "replicas__max": "2"}, "replicas.min", "greater than max"),
        ({"autoscaling__class": "kpa"}, "autoscaling.class", "one of"),
        ({"autoscaling__class": "keda"}, "autoscaling.class", "needs serverAddress"),
        ({"mode": "Knative", "strategy": "Recreate"}, "strategy", "outside Standard"),
        (
            {
                "autoscaling__class": "keda", "autoscaling__serverAddress": "http://p", "autoscaling__value": "4",
                "autoscaling__query": "sum(vllm:num_requests_running)",
            },
            "autoscaling.query",
            "counts every namespace",
        ),
    ],
)  # fmt: skip
def test_what_will_not_do_is_told_at_its_field(changed: dict[str, str], field: str, words: str) -> None:
    assert words in _problems(**changed).get(field, ""), _problems(**changed)


def test_several_problems_are_told_each_at_its_field() -> None:
    assert set(_problems(name="X", resources__gpu="x", args="'")) == {"name", "resources.gpu", "args"}


def test_cautions_come_with_a_whole_form() -> None:
    checked = check_form(values_of_text(BASE) | {"args": "--trust-remote-code"}, BASE)
    assert any("--trust-remote-code" in caution for caution in checked.cautions)
    assert any(caution.startswith("not fixed: weights") for caution in checked.cautions)


@given(st.dictionaries(st.sampled_from([field.id for field in FIELDS]), st.text(max_size=20), max_size=5))
def test_no_text_breaks_the_form(changed: dict[str, str]) -> None:
    checked = check_form(values_of_text(BASE) | changed, BASE)
    if not checked.problems:
        parse(checked.deployment)


_WORD = st.text(max_size=8)
_KEY = st.from_regex(r"[a-z]([a-z.-]{0,6}[a-z])?(/[a-z]{1,4})?", fullmatch=True)


@given(st.lists(_WORD, max_size=4))
def test_words_read_back_the_same(words: list[str]) -> None:
    assert texts.WORDS.read(texts.WORDS.write(words)) == words


@given(st.lists(st.fixed_dictionaries({"name": _KEY, "value": _WORD | st.sampled_from(["secret:a/b", "text:x"])})))
def test_variables_read_back_the_same(variables: list[dict[str, Any]]) -> None:
    assert texts.VARIABLES.read(texts.VARIABLES.write(variables)) == variables


@given(
    st.lists(
        st.one_of(
            st.fixed_dictionaries({"key": _KEY}),
            st.fixed_dictionaries({"key": _KEY, "operator": st.just("Equal"), "value": st.sampled_from(["a", "b-c"])}),
            st.fixed_dictionaries({"effect": st.sampled_from(["NoSchedule", "NoExecute", "PreferNoSchedule"])}),
        )
    )
)  # fmt: skip
def test_tolerations_read_back_the_same(tolerations: list[dict[str, Any]]) -> None:
    assert texts.TOLERATIONS.read(texts.TOLERATIONS.write(tolerations)) == tolerations


@given(
    st.lists(
        st.fixed_dictionaries(
            {"topologyKey": _KEY},
            optional={"maxSkew": st.integers(2, 9), "whenUnsatisfiable": st.just("DoNotSchedule")},
        )
    )
)
def test_spreads_read_back_the_same(spread: list[dict[str, Any]]) -> None:
    assert texts.SPREAD.read(texts.SPREAD.write(spread)) == spread


@pytest.mark.parametrize(
    ("service", "address"),
    [
        ("monitoring/prometheus:9090", "http://prometheus.monitoring.svc:9090"),
        ("monitoring/https:thanos:10902", "https://thanos.monitoring.svc:10902"),
        ("monitoring/prometheus:web", ""),
        ("", ""),
    ],
)
def test_prometheus_is_offered_by_its_address_inside_the_cluster(service: str, address: str) -> None:
    assert inside_address(service) == address
