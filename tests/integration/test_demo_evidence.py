"""The demo's registry as the product sees it: client, readers of evidence and gates agree with the catalogue."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from backend.core.errors import DigestMismatchError, NotFoundError
from backend.core.ports import RandomIds, SystemClock
from backend.core.settings import SecretReference
from backend.core.views import EvidenceValue
from backend.curation import gates
from backend.curation.config import PolicyConfig
from backend.curation.policy import Policy, load_policy
from backend.demo.images import PASSING, UNAPPROVED, DemoImages, build_images
from backend.demo.images_artifacts import HOSTILE, LIAR, UNREADABLE_TAGS
from backend.evidence.collect import collect
from backend.evidence.facts import ImageFacts
from backend.evidence.keys import parse_public_key
from backend.evidence.records import EvidenceKind, EvidenceRecord
from backend.evidence.vex import excused, overlaid
from backend.library.classification import classify
from backend.library.descriptions import LARGEST_CONFIG, read_description
from backend.registry.client import RegistryClient
from backend.registry.config import RegistryConfig
from backend.registry.credentials import Credentials
from tests.fakes.demo_registry import PASSWORD, USERNAME, running_registry

PASS, FAIL, STALE, NOT_MEASURED = (
    EvidenceValue.PASS,
    EvidenceValue.FAIL,
    EvidenceValue.STALE,
    EvidenceValue.NOT_MEASURED,
)


@pytest.fixture(scope="module")
def images() -> DemoImages:
    return build_images(7)


@pytest.fixture
async def client(images: DemoImages, tmp_path: Path) -> AsyncIterator[RegistryClient]:
    (tmp_path / "password").write_text(PASSWORD)
    async with running_registry(images, throttle_every=97) as registry:
        config = RegistryConfig(
            name="demo",
            url=str(registry.client.base_url).rstrip("/"),
            insecure=True,
            username=USERNAME,
            password=SecretReference(file=Path("password")),
        )
        opened = RegistryClient(config, credentials=Credentials(tmp_path), clock=SystemClock())
        yield opened
        await opened.close()


@pytest.fixture
def policy(images: DemoImages, tmp_path: Path) -> Policy:
    (tmp_path / "demo.pub").write_text(images.public_key_pem)
    config = PolicyConfig.model_validate(
        {
            "gate": [
                {"kind": "signature", "keys": ["demo.pub"]},
                {"kind": "vulnerabilities", "max_critical": 0, "max_high": 5, "max_age": "7d"},
                {"kind": "licence", "allow": ["Apache-2.0", "MIT", "LicenseRef-NVIDIA-*", "LicenseRef-Llama-*"]},
            ]
        }
    )
    return load_policy(config, [], tmp_path)


async def collected(
    client: RegistryClient, images: DemoImages, repository: str, tag: str
) -> dict[EvidenceKind, EvidenceRecord]:
    """The evidence on an image under all keys of the demo, the last of each kind."""
    pairs = {"demo": images.public_key_pem, **images.further_keys}
    keys = [parse_public_key(pem.encode(), name) for name, pem in pairs.items()]
    manifest = await client.manifest(repository, tag)
    facts = ImageFacts(digest=manifest.digest, registry="demo", host=client.config.host, repository=repository)
    records = await collect(client, facts, manifest, keys=keys, clock=SystemClock(), ids=RandomIds())
    return {record.kind: record for record in overlaid(records)}


async def judged(client: RegistryClient, policy: Policy, repository: str, tag: str) -> list[EvidenceValue]:
    """What the gates say: signature, vulnerabilities, licence."""
    manifest = await client.manifest(repository, tag)
    facts = ImageFacts(digest=manifest.digest, registry="demo", host=client.config.host, repository=repository)
    clock = SystemClock()
    records = await collect(client, facts, manifest, keys=policy.keys, clock=clock, ids=RandomIds())
    return [view.value for view in gates.evaluate(policy, facts, records, clock.now())]


async def test_passing_images_pass_every_gate(client: RegistryClient, policy: Policy) -> None:
    for repository, tag in PASSING:
        assert await judged(client, policy, repository, tag) == [PASS, PASS, PASS], (repository, tag)


@pytest.mark.parametrize(
    ("repository", "tag", "values"),
    [
        ("nim/meta/llama-3.3-70b-instruct", "1.8.2", [PASS, FAIL, PASS]),
        ("nim/mistralai/mixtral-8x7b-instruct-v01", "1.8.4", [PASS, FAIL, PASS]),
        ("nim/meta/llama-3.1-8b-instruct", "1.3.3", [PASS, STALE, PASS]),
        ("nim/nvidia/llama-3.1-nemotron-nano-8b-v1", "1.8.3", [FAIL, PASS, PASS]),
        ("nim/mistralai/mistral-7b-instruct-v0.3", "1.8.0", [FAIL, NOT_MEASURED, NOT_MEASURED]),
        ("nim/nvidia/llama-3.3-nemotron-super-49b-v1", "1.8.6", [FAIL, PASS, PASS]),
        ("nim/microsoft/phi-3-mini-4k-instruct", "1.8.0", [PASS, NOT_MEASURED, NOT_MEASURED]),
        ("nim/deepseek-ai/deepseek-r1-distill-llama-8b", "1.8.4", [PASS, NOT_MEASURED, PASS]),
        ("community/ocr-legacy", "0.9.2", [PASS, PASS, FAIL]),
        (*UNAPPROVED, [FAIL, NOT_MEASURED, NOT_MEASURED]),
    ],
)
async def test_other_images_fail_as_the_catalogue_says(
    client: RegistryClient, policy: Policy, repository: str, tag: str, values: list[EvidenceValue]
) -> None:
    assert await judged(client, policy, repository, tag) == values


@pytest.mark.parametrize(
    ("repository", "tag", "state", "told"),
    [
        ("lmsysorg/sglang", "v0.5.6", "verified", "key vendor"),
        ("huggingface/text-embeddings-inference", "1.8.2", "verified", "key release"),
        ("nvidia/tensorrt-llm/release", "1.1.0", "present", "Notation"),
        ("kserve/huggingfaceserver", "v0.16.0-gpu", "present", "keyless"),
    ],
)
async def test_signatures_of_every_kind_are_there(
    client: RegistryClient, images: DemoImages, repository: str, tag: str, state: str, told: str
) -> None:
    record = (await collected(client, images, repository, tag))[EvidenceKind.SIGNATURE]
    assert record.state == state and told in record.summary


async def test_reports_of_other_forms_benchmarks_and_provenance_are_there(
    client: RegistryClient, images: DemoImages
) -> None:
    grype = await collected(client, images, "nvidia/tensorrt-llm/release", "1.1.0")
    assert grype[EvidenceKind.VULNERABILITIES].source.startswith("Grype 0.104.0")
    assert grype[EvidenceKind.VULNERABILITIES].database_at is not None
    components = await collected(client, images, "vllm/vllm-openai", "v0.27.0")
    assert components[EvidenceKind.VULNERABILITIES].payload["counts"]["high"] == 3
    assert components[EvidenceKind.SBOM].packages and components[EvidenceKind.PROVENANCE].state == "read"
    measured = await collected(client, images, *PASSING[0])
    assert measured[EvidenceKind.BENCHMARK].payload["metrics"]["ttft_p95"]["value"] == 0.184
    excused_ = await collected(client, images, "nim/baidu/paddleocr", "1.4.0")
    report = excused_[EvidenceKind.VULNERABILITIES]
    assert report.payload["counts"]["high"] == 11 and excused_[EvidenceKind.VEX].key
    assert excused(report.payload, {excused_[EvidenceKind.VEX].key})["high"] == 8
    nobody = await collected(client, images, "nvidia/tritonserver", "25.06-trtllm-python-py3")
    assert nobody[EvidenceKind.VULNERABILITIES].findings[0].vex and not nobody[EvidenceKind.VEX].vouched


@pytest.mark.parametrize(
    ("repository", "tag", "kind", "framework", "purpose"),
    [
        ("nim/meta/llama-3.1-8b-instruct", "1.8.4", "image", "nim", "chat"),
        ("nim/nvidia/nv-embedqa-e5-v5", "1.6.1", "image", "nim", "embedding"),
        ("nim/nvidia/llama-3.2-nv-rerankqa-1b-v2", "1.8.0", "image", "nim", "reranking"),
        ("nim/baidu/paddleocr", "1.4.0", "image", "nim", "ocr"),
        ("nim/meta/llama-3.2-11b-vision-instruct", "1.2.0", "image", "nim", "vision"),
        ("nim/nvidia/llama-3.1-nemoguard-8b-content-safety", "1.10.1", "image", "nim", "moderation"),
        ("vllm/vllm-openai", "v0.27.1", "image", "vllm", "generic"),
        ("lmsysorg/sglang", "v0.5.6", "image", "sglang", "generic"),
        ("huggingface/text-generation-inference", "3.3.6", "image", "tgi", "generic"),
        ("models/llama-3.1-8b-instruct", "v1.2", "modelpack", None, "chat"),
        ("kitops/gemma-3-4b-it", "1.1.0", "kitops", None, None),
        ("ai/smollm2", "1.7B-Q4_K_M", "docker-model", None, None),
    ],
)
async def test_images_are_recognised_for_what_they_are(
    client: RegistryClient, repository: str, tag: str, kind: str, framework: str | None, purpose: str | None
) -> None:
    manifest = await client.manifest(repository, tag)
    if manifest.is_index:
        manifest = await client.manifest(repository, manifest.images[0].digest)
    assert manifest.config is not None
    config = await client.blob(repository, manifest.config.digest, manifest.config.size, LARGEST_CONFIG)
    found = classify(manifest, read_description(config, repository), repository, [tag])
    assert found["kind"].value == kind
    assert framework is None or found["framework"].value == framework
    assert purpose is None or found["type"].value == purpose


async def test_what_means_harm_is_told_and_stops_nothing(
    client: RegistryClient, policy: Policy, images: DemoImages
) -> None:
    assert set(await client.tags(HOSTILE.repository)) >= {"1.0.0", UNREADABLE_TAGS[1]}
    with pytest.raises(NotFoundError):
        await client.manifest(HOSTILE.repository, UNREADABLE_TAGS[1])
    with pytest.raises(DigestMismatchError):
        await client.manifest(LIAR, images.digest(LIAR, "1.0.0"))
    assert await judged(client, policy, HOSTILE.repository, "1.0.0") == [PASS, FAIL, PASS]
