"""The demo registry's content: the same for the same seed and day, true in every digest and size, signed as it says."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from hypothesis import given
from hypothesis import strategies as st

from backend.demo.catalogue_layers import LARGE, UBUNTU_2404
from backend.demo.images import PASSING, SERVED, UNAPPROVED, DemoImages, build_images
from backend.demo.images_artifacts import HOSTILE, LIAR, UNREADABLE_TAGS
from backend.demo.images_oci import OCI_INDEX, Repository, blob_size, digest_of, read_blob
from backend.demo.images_signing import BUNDLE, DSSE, SIMPLE_SIGNING
from backend.demo.images_streams import Stream, tar_of

NOW = datetime(2026, 3, 4, 17, 30, tzinfo=UTC)
SIGNATURE = "dev.cosignproject.cosign/signature"


@pytest.fixture(scope="module")
def images() -> DemoImages:
    return build_images(7, NOW)


def content(repository: Repository, digest: str) -> bytes:
    blob = repository.blobs[digest]
    return b"".join(read_blob(blob, 0, blob_size(blob)))


def manifest(repository: Repository, digest: str) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(repository.manifests[digest].body)
    return decoded


def descriptors(value: object) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if {"mediaType", "digest", "size"} <= value.keys():
            yield value
        for member in value.values():
            yield from descriptors(member)
    elif isinstance(value, list):
        for member in value:
            yield from descriptors(member)


def verifies(pem: str, signature: str, signed: bytes) -> bool:
    key = load_pem_public_key(pem.encode())
    assert isinstance(key, EllipticCurvePublicKey)
    try:
        key.verify(base64.b64decode(signature), signed, ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def opened(pem: str, envelope: dict[str, Any]) -> dict[str, Any] | None:
    """The statement in a DSSE envelope, None when the signature does not hold."""
    payload, kind = base64.b64decode(envelope["payload"]), envelope["payloadType"].encode()
    encoding = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
    statement: dict[str, Any] = json.loads(payload)
    return statement if verifies(pem, envelope["signatures"][0]["sig"], encoding) else None


def statements(images: DemoImages, repository: Repository, digest: str, pem: str) -> list[dict[str, Any]]:
    """What the key `pem` attested or signed of an image, in either form."""
    envelopes = []
    tagged = repository.tags.get(digest.replace(":", "-") + ".att")
    for layer in manifest(repository, tagged)["layers"] if tagged else ():
        assert layer["mediaType"] == DSSE
        envelopes.append(json.loads(content(repository, layer["digest"])))
    for referrer in repository.referrers.get(digest, ()):
        if referrer["artifactType"] == BUNDLE:
            layer = manifest(repository, referrer["digest"])["layers"][0]
            envelopes.append(json.loads(content(repository, layer["digest"]))["dsseEnvelope"])
    return [statement for envelope in envelopes if (statement := opened(pem, envelope))]


def signed(images: DemoImages, name: str, tag: str, pem: str) -> bool:
    """Whether the key `pem` signed this very digest."""
    repository = images.repositories[name]
    digest = images.digest(name, tag)
    tagged = repository.tags.get(digest.replace(":", "-") + ".sig")
    for layer in manifest(repository, tagged)["layers"] if tagged else ():
        assert layer["mediaType"] == SIMPLE_SIGNING
        payload = content(repository, layer["digest"])
        named = json.loads(payload)["critical"]["image"]["docker-manifest-digest"]
        if named == digest and verifies(pem, layer["annotations"][SIGNATURE], payload):
            return True
    return any(
        statement["predicateType"] == "https://sigstore.dev/cosign/sign/v1"
        and "sha256:" + statement["subject"][0]["digest"]["sha256"] == digest
        for statement in statements(images, repository, digest, pem)
    )


def reports(images: DemoImages, name: str, tag: str) -> list[dict[str, Any]]:
    repository = images.repositories[name]
    found = statements(images, repository, images.digest(name, tag), images.public_key_pem)
    return [each["predicate"] for each in found if "vuln" in each["predicateType"]]


def severities(report: dict[str, Any]) -> list[str]:
    results = report["scanner"]["result"]["Results"]
    return [finding["Severity"] for result in results for finding in result["Vulnerabilities"] or ()]


def test_same_seed_and_day_give_the_same_bytes(images: DemoImages) -> None:
    again = build_images(7, NOW.replace(hour=1))
    assert again == images


def test_images_keep_their_digests_from_day_to_day_and_reports_are_dated_anew(images: DemoImages) -> None:
    later = build_images(7, NOW + timedelta(days=40))
    for name, repository in images.repositories.items():
        for tag in (tag for tag in repository.tags if not tag.startswith("sha256-")):
            assert later.digest(name, tag) == images.digest(name, tag)
    name, tag = PASSING[0]
    assert later.repositories[name].referrers != images.repositories[name].referrers


def test_another_seed_gives_other_digests_and_another_key(images: DemoImages) -> None:
    other = build_images(8, NOW)
    assert other.public_key_pem != images.public_key_pem
    assert other.digest(*SERVED[0]) != images.digest(*SERVED[0])


def test_holds_some_forty_repositories_and_four_hundred_tags(images: DemoImages) -> None:
    tags = [tag for each in images.repositories.values() for tag in each.tags if not tag.startswith("sha256-")]
    assert 40 <= len(images.repositories) <= 48
    assert 370 <= len(tags) <= 430


def test_every_declared_digest_and_size_is_true(images: DemoImages) -> None:
    for repository in images.repositories.values():
        for digest, stored in repository.manifests.items():
            if repository.name != LIAR:
                assert digest_of(stored.body) == digest
            decoded = json.loads(stored.body)
            assert decoded["mediaType"] == stored.media_type
            for each in descriptors(decoded):
                if each["digest"] in repository.manifests:
                    assert each["size"] == len(repository.manifests[each["digest"]].body)
                else:
                    assert each["size"] == blob_size(repository.blobs[each["digest"]])
        for digest, blob in repository.blobs.items():
            assert digest_of(blob) == digest if isinstance(blob, bytes) else blob in LARGE


@pytest.mark.parametrize("stream", [each for each in LARGE if each.size < 50_000_000], ids=lambda each: each.path)
def test_a_generated_layer_has_the_digest_and_size_that_it_declares(stream: Stream) -> None:
    sum_of = hashlib.sha256()
    length = 0
    for piece in stream.read(0, stream.size):
        sum_of.update(piece)
        length += len(piece)
    assert ("sha256:" + sum_of.hexdigest(), length) == (stream.digest, stream.size)


@given(st.data())
def test_any_part_of_a_stream_is_the_same_as_in_the_whole(data: st.DataObject) -> None:
    stream = data.draw(st.sampled_from([Stream("a/b", 700 * 512, ""), Stream("a.gguf", 300 * 512, "", tar=False)]))
    whole = b"".join(stream.read(0, stream.size))
    assert len(whole) == stream.size
    start = data.draw(st.integers(0, stream.size))
    stop = data.draw(st.integers(start, stream.size))
    assert b"".join(stream.read(start, stop)) == whole[start:stop]


def test_layers_are_true_tar_archives() -> None:
    with tarfile.open(fileobj=io.BytesIO(b"".join(UBUNTU_2404.read(0, UBUNTU_2404.size)))) as archive:
        assert [(each.name, each.size) for each in archive] == [(UBUNTU_2404.path, UBUNTU_2404.body)]
    with tarfile.open(fileobj=io.BytesIO(tar_of("etc/x", b"hello"))) as archive:
        member = archive.extractfile("etc/x")
        assert member is not None and member.read() == b"hello"


def test_every_tag_but_the_unreadable_ones_has_a_manifest(images: DemoImages) -> None:
    missing = {
        (name, tag)
        for name, repository in images.repositories.items()
        for tag, digest in repository.tags.items()
        if digest not in repository.manifests
    }
    assert missing == {(HOSTILE.repository, tag) for tag in UNREADABLE_TAGS}


def test_indexes_tie_their_attestations_to_the_images(images: DemoImages) -> None:
    name, tag = "vllm/vllm-openai", "v0.27.1"
    repository = images.repositories[name]
    index = manifest(repository, images.digest(name, tag))
    assert index["mediaType"] == OCI_INDEX
    platforms = [each["platform"]["architecture"] for each in index["manifests"]]
    assert platforms == ["amd64", "arm64", "unknown", "unknown"]
    described = [each["annotations"]["vnd.docker.reference.digest"] for each in index["manifests"][2:]]
    assert described == [each["digest"] for each in index["manifests"][:2]]


@pytest.mark.parametrize(("name", "tag"), PASSING)
def test_passing_images_are_signed_scanned_lately_and_licensed(images: DemoImages, name: str, tag: str) -> None:
    assert signed(images, name, tag, images.public_key_pem)
    (report,) = reports(images, name, tag)
    found = severities(report)
    assert found.count("CRITICAL") == 0 and found.count("HIGH") <= 5
    age = NOW - datetime.fromisoformat(report["metadata"]["scanFinishedOn"])
    assert timedelta(0) < age < timedelta(days=2)


def test_bad_evidence_is_as_bad_as_the_catalogue_says(images: DemoImages) -> None:
    own, foreign = images.public_key_pem, images.foreign_key_pem
    mistral = "nim/mistralai/mistral-7b-instruct-v0.3"
    assert not signed(images, mistral, "1.8.0", own) and signed(images, mistral, "1.8.0", foreign)
    nemotron = "nim/nvidia/llama-3.3-nemotron-super-49b-v1"
    assert not signed(images, nemotron, "1.8.6", own), "replayed"
    assert not signed(images, "nim/nvidia/llama-3.1-nemotron-nano-8b-v1", "1.8.3", own), "unsigned"
    assert not reports(images, "nim/microsoft/phi-3-mini-4k-instruct", "1.8.0"), "attestation by another key"
    assert not reports(images, "nim/deepseek-ai/deepseek-r1-distill-llama-8b", "1.8.4"), "never scanned"
    (critical,) = reports(images, "nim/meta/llama-3.3-70b-instruct", "1.8.2")
    assert severities(critical).count("CRITICAL") == 2
    (stale,) = reports(images, "nim/meta/llama-3.1-8b-instruct", "1.3.3")
    assert NOW - datetime.fromisoformat(stale["metadata"]["scanFinishedOn"]) > timedelta(days=7)


def test_reports_name_the_digest_that_they_are_about(images: DemoImages) -> None:
    name, tag = PASSING[0]
    (report,) = reports(images, name, tag)
    (bound,) = report["scanner"]["result"]["Metadata"]["RepoDigests"]
    assert bound.endswith("@" + images.digest(name, tag))


def test_a_tag_moves_and_a_tag_appears(images: DemoImages) -> None:
    moved, arriving = images.changes
    before, after = images.tags(moved.repository, 0), images.tags(moved.repository, moved.after)
    assert before[moved.tag] != after[moved.tag] == moved.digest
    assert arriving.tag not in images.tags(arriving.repository, arriving.after - 1)
    assert images.tags(arriving.repository, arriving.after)[arriving.tag] == arriving.digest
    for change in images.changes:
        assert change.digest in images.repositories[change.repository].manifests
        assert change.digest in images.repositories[change.repository].referrers


def test_what_the_cluster_runs_is_served_and_one_of_it_has_no_evidence(images: DemoImages) -> None:
    assert len({images.digest(*each) for each in SERVED}) == len(SERVED)
    assert not signed(images, *UNAPPROVED, images.public_key_pem)
    assert not reports(images, *UNAPPROVED)


def test_hostile_text_is_there_to_be_survived(images: DemoImages) -> None:
    repository = images.repositories[HOSTILE.repository]
    config = manifest(repository, repository.tags["1.0.0"])["config"]
    labels = json.loads(content(repository, config["digest"]))["config"]["Labels"]
    text = "".join(labels.values()) + "".join(repository.tags)
    assert "\x1b" in text and "\u202e" in text and "[bold red]" in text
    assert any(len(tag) == 128 for tag in repository.tags)
    titles = [
        finding["Title"]
        for report in reports(images, HOSTILE.repository, "1.0.0")
        for result in report["scanner"]["result"]["Results"]
        for finding in result["Vulnerabilities"] or ()
    ]
    assert any("\x1b[" in title for title in titles)
    lying = images.repositories[LIAR]
    digest = lying.tags["1.0.0"]
    assert digest_of(lying.manifests[digest].body) != digest
