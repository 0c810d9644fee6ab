"""Manifests and indexes: what is read, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.core.errors import DigestMismatchError, MalformedDataError
from backend.registry.manifests import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    digest_of,
    parse_manifest,
)
from tests.fakes.registry import image_manifest, index_manifest

CHILD = {"mediaType": OCI_MANIFEST, "digest": digest_of(b"child"), "size": 5}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NAMES = ("schemaVersion", "mediaType", "config", "layers", "manifests", "annotations", "subject")
FIELDS = st.fixed_dictionaries({}, optional=dict.fromkeys(NAMES, JSON))


def test_an_image_is_read() -> None:
    layer = {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": digest_of(b"layer"), "size": 7}
    raw = image_manifest(layers=[layer], annotations={"a": "b"}, subject=CHILD)
    manifest = parse_manifest(raw, OCI_MANIFEST, "x")
    assert manifest.digest == digest_of(raw)
    assert manifest.config is not None
    assert manifest.artifact_type == manifest.config.media_type
    assert [(each.digest, each.size) for each in manifest.layers] == [(layer["digest"], 7)]
    assert manifest.subject is not None
    assert manifest.subject.digest == CHILD["digest"]
    assert not manifest.is_index
    assert manifest.descriptor.size == len(raw)


def test_an_index_tells_images_from_what_attests_them() -> None:
    attestation = {
        **CHILD,
        "digest": digest_of(b"attestation"),
        "platform": {"os": "unknown", "architecture": "unknown"},
        "annotations": {
            "vnd.docker.reference.type": "attestation-manifest",
            "vnd.docker.reference.digest": CHILD["digest"],
        },
    }
    image = {**CHILD, "platform": {"os": "linux", "architecture": "arm64", "variant": "v8"}}
    manifest = parse_manifest(index_manifest(image, attestation), OCI_INDEX, "x")
    assert manifest.is_index
    assert [str(child.platform) for child in manifest.images] == ["linux/arm64/v8"]
    assert manifest.manifests[1].attests == CHILD["digest"]


def test_the_type_comes_from_whoever_tells_it() -> None:
    raw = image_manifest(mediaType=DOCKER_MANIFEST)
    assert parse_manifest(raw, "", "x").media_type == DOCKER_MANIFEST
    undeclared = json.loads(raw)
    del undeclared["mediaType"]
    assert parse_manifest(json.dumps(undeclared).encode(), OCI_MANIFEST, "x").media_type == OCI_MANIFEST


def test_absent_lists_written_as_null_are_empty() -> None:
    assert parse_manifest(image_manifest(layers=None, annotations=None), OCI_MANIFEST, "x").layers == ()


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (image_manifest(), OCI_INDEX),
        (image_manifest(), DOCKER_MANIFEST),
        (image_manifest(mediaType="application/vnd.docker.distribution.manifest.v1+json"), ""),
        (image_manifest(schemaVersion=1), OCI_MANIFEST),
        (image_manifest(config=None), OCI_MANIFEST),
        (image_manifest(manifests=[CHILD]), OCI_MANIFEST),
        (index_manifest(CHILD, layers=[CHILD]), OCI_INDEX),
        (index_manifest(CHILD, manifests=None), OCI_INDEX),
        (image_manifest(config={**CHILD, "digest": "sha256:../../etc"}), OCI_MANIFEST),
        (image_manifest(config={**CHILD, "size": -1}), OCI_MANIFEST),
        (image_manifest(config={**CHILD, "size": "5"}), OCI_MANIFEST),
        (index_manifest(mediaType=DOCKER_LIST), OCI_INDEX),
        (image_manifest()[:-10], OCI_MANIFEST),
        (b"[" * 100_000, OCI_MANIFEST),
        (b'{"x":' * 100_000, OCI_MANIFEST),
        (b"\xff\xfe", OCI_MANIFEST),
        (b"", OCI_MANIFEST),
        (b"<html></html>", ""),
    ],
)
def test_what_contradicts_itself_is_refused(raw: bytes, kind: str) -> None:
    with pytest.raises(MalformedDataError, match="manifest reg/a:b"):
        parse_manifest(raw, kind, "manifest reg/a:b")


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_other_bytes_than_the_digest_says_are_refused(algorithm: str) -> None:
    raw = image_manifest()
    digest = digest_of(raw, algorithm)
    assert parse_manifest(raw, OCI_MANIFEST, "x", digest).digest == digest
    with pytest.raises(DigestMismatchError):
        parse_manifest(raw + b" ", OCI_MANIFEST, "x", digest)


@given(st.binary(max_size=200) | FIELDS.map(lambda fields: json.dumps(fields).encode()))
def test_no_bytes_break_the_reader(raw: bytes) -> None:
    try:
        parse_manifest(raw, OCI_MANIFEST, "x")
    except MalformedDataError as error:
        assert error.what == "x"


@given(JSON)
def test_a_field_of_any_shape_is_read_or_refused(value: Any) -> None:
    for field in ("config", "layers", "annotations", "subject"):
        try:
            parse_manifest(image_manifest(**{field: value}), OCI_MANIFEST, "x")
        except MalformedDataError as error:
            assert error.what == "x"
