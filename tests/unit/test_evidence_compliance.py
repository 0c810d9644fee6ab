"""What configurations say: user, ports, age, base image; and what fixes the weights."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.core.errors import MalformedDataError
from backend.evidence.compliance import ImageSettings, describe, read, read_all
from backend.evidence.weights import judge_weights, of_uri
from tests.fakes.curation import NOW, image
from tests.unit.test_evidence_reports import mutate

COMMIT = "ab" * 20


def configuration(**config: Any) -> dict[str, Any]:
    """A configuration blob as BuildKit writes it."""
    return {
        "architecture": "amd64",
        "os": "linux",
        "created": "2026-11-01T08:00:00.5Z",
        "config": {"Env": ["PATH=/bin"], "Labels": None, **config},
        "rootfs": {"type": "layers", "diff_ids": []},
        "history": [],
    }


def settings_of(**config: Any) -> ImageSettings:
    return read(json.dumps(configuration(**config)).encode())


@pytest.mark.parametrize(
    ("user", "root"), [("", True), ("0", True), ("root:root", True), ("0:0", True), ("1000", False), ("nim:nim", False)]
)
def test_who_a_container_runs_as_is_told(user: str, root: bool) -> None:
    assert settings_of(User=user).runs_as_root is root


async def test_platforms_are_told_together_and_the_worst_counts() -> None:
    blobs = [
        json.dumps({**configuration(User="1000", ExposedPorts={"8000/tcp": {}})}).encode(),
        json.dumps({**configuration(), "architecture": "arm64", "created": "2026-10-01T08:00:00Z"}).encode(),
        json.dumps({"descriptor": {"name": "a model"}}).encode(),
        b"{broken",
    ]
    summary, payload = describe(image(), await read_all(blobs))
    assert payload["users"] == ["1000", ""] and payload["root"] is True
    assert payload["ports"] == ["8000/tcp"] and payload["platforms"] == ["linux/amd64", "linux/arm64"]
    assert payload["created"].startswith("2026-10-01") and payload["size"] == 9_000_000_000
    assert "runs as 1000, root" in summary


def test_without_a_configuration_nothing_is_claimed_of_users_and_ports() -> None:
    _, payload = describe(image(size=None), ())
    assert not payload.keys() & {"users", "root", "ports", "created", "size"}


@pytest.mark.parametrize(
    ("facts", "base"),
    [
        ({"annotations": {"org.opencontainers.image.base.name": "ubuntu:24.04"}, "labels": {"x": "y"}},
         {"name": "ubuntu:24.04", "digest": "", "told_by": "annotation"}),
        ({"labels": {"org.opencontainers.image.base.digest": "sha256:1"}},
         {"name": "", "digest": "sha256:1", "told_by": "label"}),
        ({"labels": {"com.nvidia.nim.base_image": "nvcr.io/x:1"}},
         {"name": "nvcr.io/x:1", "digest": "", "told_by": "label com.nvidia.nim.base_image"}),
        ({}, {}),
    ],
)  # fmt: skip
def test_the_base_image_is_told_by_whom_it_is(facts: dict[str, Any], base: dict[str, str]) -> None:
    assert describe(image(**facts), ())[1]["base"] == base


@given(st.data())
@settings(max_examples=100)
def test_a_mutated_configuration_is_read_or_refused_and_nothing_else(data: st.DataObject) -> None:
    document = configuration(User="1000", ExposedPorts={"8000/tcp": {}}, Entrypoint=["vllm"], Cmd=None)
    mutate(document, data)
    try:
        found = read(json.dumps(document).encode())
    except MalformedDataError:
        return
    describe(image(), [found])


# ---------------------------------------------------------------- weights


@pytest.mark.parametrize(
    ("uri", "revision", "fixed_by", "name"),
    [
        ("meta/llama", COMMIT, "storage-uri", f"hf://meta/llama@{COMMIT}"),
        (f"hf://meta/llama:{COMMIT}", "", "storage-uri", f"hf://meta/llama@{COMMIT}"),
        ("hf://meta/llama", "main", "", "hf://meta/llama@main"),
        ("hf://meta/llama", "", "", "hf://meta/llama"),
        (f"oci://registry/x@sha256:{'1' * 64}", "", "storage-uri", f"oci://registry/x@sha256:{'1' * 64}"),
        ("oci://registry/x:1.0", "", "", "oci://registry/x:1.0"),
        ("s3://bucket/llama", "", "", "s3://bucket/llama"),
        ("s3://bucket/llama?versionId=abc", "", "storage-uri", "s3://bucket/llama?versionId=abc"),
        ("pvc://models/llama", "", "", "pvc://models/llama"),
        ("/models/llama", "", "", "/models/llama"),
    ],
)
def test_a_storage_uri_fixes_weights_only_where_nobody_can_change_them(
    uri: str, revision: str, fixed_by: str, name: str
) -> None:
    found = of_uri(uri, revision)
    assert (found.fixed_by, found.name) == (fixed_by, name) and found.summary


@pytest.mark.parametrize(
    ("framework", "config", "state", "fixed_by"),
    [
        ("vllm", {"Cmd": ["--model", "meta/llama", f"--revision={COMMIT}"]}, "fixed", "storage-uri"),
        ("vllm", {"Cmd": ["--model=meta/llama"]}, "not fixed", ""),
        ("vllm", {"Cmd": ["--model"]}, "not fixed", ""),
        ("tgi", {"Env": ["MODEL_ID=meta/llama", f"REVISION={COMMIT}"]}, "fixed", "storage-uri"),
        ("nim", {"Env": [f"NIM_MODEL_PROFILE={'1f' * 32}"]}, "fixed", "nim-profile"),
        ("nim", {"Env": ["NIM_MODEL_PROFILE=vllm-bf16-tp1"]}, "not fixed", ""),
    ],
)
def test_what_an_image_sets_itself_fixes_its_weights(
    framework: str, config: dict[str, Any], state: str, fixed_by: str
) -> None:
    record = judge_weights(image(framework=framework), id="x", at=NOW, settings=[settings_of(**config)])
    assert (record.state, record.payload["fixed_by"]) == (state, fixed_by)


def test_platforms_that_differ_fix_nothing() -> None:
    one = settings_of(Cmd=["--model", "meta/llama", "--revision", COMMIT])
    other = settings_of(Cmd=["--model", "meta/other", "--revision", COMMIT])
    assert judge_weights(image(framework="vllm"), id="x", at=NOW, settings=[one, other]).state == "not fixed"
