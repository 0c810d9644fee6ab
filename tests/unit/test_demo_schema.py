"""The schema that the demo's cluster ships is what the released CRDs say."""

from __future__ import annotations

import pytest

from backend.demo.kubernetes.schemas import custom_columns, custom_schema
from backend.demo.resources import CLUSTER_SERVING_RUNTIMES, INFERENCE_SERVICES, KSERVE_RESOURCES, SERVING_RUNTIMES
from backend.demo.schema.generate import TARGET, generate, main
from tests.fakes.demo_cluster import shared


def test_the_shipped_schema_is_the_generated_one() -> None:
    crds = shared("crds")
    if not crds.is_dir():
        pytest.skip(f"the CRDs are not at {crds}")
    assert generate(crds) == TARGET.read_bytes()


def test_it_is_small() -> None:
    assert TARGET.stat().st_size < 150_000


def test_every_kind_of_kserve_has_a_schema() -> None:
    for resource in KSERVE_RESOURCES:
        assert "spec" in custom_schema(resource).properties
        assert custom_columns(resource)[-1].name in ("Age", "URLs")


def test_lists_and_maps_merge_as_the_crds_say() -> None:
    predictor = custom_schema(INFERENCE_SERVICES).properties["spec"].properties["predictor"]
    assert predictor.properties["containers"].list == "atomic"
    environment = predictor.properties["model"].properties["env"]
    assert (environment.list, environment.keys) == ("map", ("name",))
    reference = environment.element().properties["valueFrom"].properties["secretKeyRef"]
    assert (reference.map, reference.required) == ("atomic", ("key",))


def test_equal_schemas_are_one() -> None:
    one, other = (
        custom_schema(resource).properties["spec"] for resource in (SERVING_RUNTIMES, CLUSTER_SERVING_RUNTIMES)
    )
    assert one is other


def test_the_generator_says_how_it_is_called(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "usage" in capsys.readouterr().err
