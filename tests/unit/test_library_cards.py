"""What is told of models: documents, family, size and precision, words for the search; hostile input too."""

from __future__ import annotations

import gzip
import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.library.cards import LARGEST_CARD, card_layer, card_of
from backend.library.classification import classify
from backend.library.descriptions import Description, licence_of, read_description, search_words
from backend.library.model_properties import model_properties
from backend.registry.manifests import OCI_MANIFEST, Descriptor, Manifest, digest_of

DOC = "application/vnd.cncf.model.doc.v1.raw"


def layer(media_type: str, size: int = 10, **annotations: str) -> Descriptor:
    told = {f"org.opencontainers.image.{name}": value for name, value in annotations.items()}
    return Descriptor(media_type=media_type, digest=digest_of(media_type.encode()), size=size, annotations=told)


def manifest(*layers: Descriptor, **annotations: str) -> Manifest:
    return Manifest(raw=b"", digest=digest_of(b""), media_type=OCI_MANIFEST, layers=layers, annotations=annotations)


def archive(**files: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
    return buffer.getvalue()


def test_the_best_document_is_chosen() -> None:
    weights = layer("application/vnd.cncf.model.weight.v1.raw", title="README.md.safetensors")
    licence = layer("application/vnd.docker.ai.license")
    doc, readme = layer(DOC, title="notes.md"), layer("text/markdown", title="docs/README.md")
    assert card_layer(manifest(weights, licence, doc, readme)) == readme
    assert card_layer(manifest(weights, licence, doc)) == doc
    assert card_layer(manifest(licence)) == licence
    assert card_layer(manifest(weights)) is None
    assert card_layer(manifest(layer(DOC, size=LARGEST_CARD + 1), layer(DOC, size=-1))) is None


def test_documents_are_text_or_archives_of_it() -> None:
    assert card_of(b"# Llama", {}, {}) == "# Llama"
    packed = archive(**{"LICENSE": "mit", "notes.md": "notes", "a/README.md": "# read me"})
    assert card_of(packed, {}, {}) == card_of(gzip.compress(packed), {}, {}) == "# read me"
    assert card_of(archive(**{"a.md": "a", "b.txt": "b"}), {}, {}) == "a"
    told = {"org.opencontainers.image.description": "A model", "com.nvidia.nim.name": "x"}
    assert card_of(None, {}, told) == card_of(b"\x00\x01binary", told, told) == "description: A model\nname: x"
    assert card_of(None, {}, {}) == ""


def test_a_bomb_is_cut_off() -> None:
    bomb = gzip.compress(b"a" * (16 << 20))
    assert len(bomb) < LARGEST_CARD
    assert len(card_of(bomb, {}, {})) <= 1 << 18
    assert card_of(gzip.compress(archive(**{"README.md": "x" * 100}))[:-30], {}, {}) in {"", "x" * 100}


@given(st.binary(max_size=2000))
def test_any_bytes_give_some_text(data: bytes) -> None:
    assert isinstance(card_of(data, {}, {}), str)
    assert isinstance(card_of(b"\x1f\x8b" + data, {}, {}), str)
    assert isinstance(card_of(data[:257].ljust(257, b"\0") + b"ustar" + data, {}, {}), str)


@pytest.mark.parametrize(
    ("name", "family", "parameters", "precision"),
    [
        ("nim/meta/llama-3.1-8b-instruct", "llama", "8b", None),
        ("nim/mistralai/mixtral-8x7b-instruct-v01", "mixtral", "8x7b", None),
        ("qwen/qwen2.5-72b-awq", "qwen", "72b", "awq"),
        ("qwen/qwen3-30b-a3b-fp8", "qwen", "30b", "fp8"),
        ("nim/nvidia/nv-embedqa-e5-v5", "nv-embedqa", None, None),
        ("models/deepseek-r1-671b-nvfp4", "deepseek", "671b", "nvfp4"),
        ("ai/smollm2-135m-q4_k_m", "smollm", "135m", "q4_k_m"),
        ("vllm/vllm-openai", None, None, None),
        ("team/yield-forecast", None, None, None),
        ("team/70bottles", None, None, None),
    ],
)  # fmt: skip
def test_names_tell_family_size_and_precision(
    name: str, family: str | None, parameters: str | None, precision: str | None
) -> None:
    found = model_properties(Description(), name, ())
    for key, value in (("family", family), ("parameters", parameters), ("precision", precision)):
        assert (found[key].value if key in found else None) == value, key
        assert all(one.evidence and 0 < one.confidence < 1 for one in found.values())


def test_what_is_declared_counts_before_names() -> None:
    packed = read_description(
        b'{"descriptor": {"name": "x-70b", "family": "Llama"}, "config": {"paramSize": "8b", "precision": "bf16"}}', "x"
    )
    found = model_properties(packed, "team/qwen-1b-int4", ("q8_0",))
    assert {name: one.value for name, one in found.items()} == {
        "family": "llama", "parameters": "8b", "precision": "bf16",
    }  # fmt: skip
    docker = read_description(
        b'{"config": {"architecture": "llama", "parameters": "8.03 B", "quantization": "IQ2_XXS/Q4_K_M"}}', "x"
    )
    assert model_properties(docker, "ai/x", ())["parameters"].value == "8.03b"
    kit = read_description(b'{"package": {"license": "MIT"}, "model": {"name": "granite-3b", "license": ""}}', "x")
    assert licence_of(kit, {}) == "MIT" and classify(manifest(), kit, "a/b")["family"].value == "granite"


@pytest.mark.parametrize(
    "told",
    [
        b'{"config": {"User": 7, "ExposedPorts": ["80/tcp"], "Labels": {"a": {}}, "paramSize": [], "precision": {}}}',
        b'{"config": [], "descriptor": "x", "package": 4, "model": null}',
        b'{"config": {"ExposedPorts": {"8000/tcp": {}}, "User": "1000:1000", "Labels": null}}',
    ],
)  # fmt: skip
def test_fields_of_another_type_are_not_told(told: bytes) -> None:
    found = read_description(told, "x")
    assert (found.user, found.exposed_ports) in {("", ()), ("1000:1000", ("8000/tcp",))}
    assert model_properties(found, "a", ()) == {} and licence_of(found, {}) == ""


def test_thousands_of_labels_and_long_ones_stay_small() -> None:
    labels = {f"label-{number}": "word " * 200_000 for number in range(3)} | {f"k{n}": f"v{n}" for n in range(5000)}
    description = Description(labels=labels, model_name="Größe \ud800")
    words = search_words(description, {"org.opencontainers.image.title": "LLM Gateway"})
    assert words.startswith("grösse ") and "gateway" in words and len(words) <= 200
    words.encode()
    assert (
        search_words(Description(labels={"revision": "abc", "x": "2026-01-01T00:00:00Z", "y": "0a1b2c3d4e5f6"}), {})
        == ""
    )
