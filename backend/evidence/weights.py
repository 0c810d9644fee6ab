"""What fixes the weights that an image serves. Approving a digest approves no weights that come from elsewhere.

Sources: KServe's storage URIs (`hf://`, `s3://`, `gs://`, `pvc://`, `oci://`), the arguments and variables of vLLM,
SGLang, TGI and TEI (`--model`, `--revision`, `MODEL_ID`, `REVISION`), NIM's `NIM_MODEL_PROFILE`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from backend.evidence.compliance import ImageSettings
from backend.evidence.facts import ImageFacts
from backend.evidence.records import EvidenceKind, EvidenceRecord, Origin

FIXED: Final = "fixed"
NOT_FIXED: Final = "not fixed"

_ARTIFACTS: Final = {"modelpack": "ModelPack", "kitops": "KitOps", "docker-model": "Docker model"}
# A commit of Hugging Face's or another git; a branch or tag can be moved.
_COMMIT: Final = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?\Z")
_PROFILE: Final = re.compile(r"[0-9a-f]{64}\Z")
_HUB_NAME: Final = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*\Z")
_MODEL_ARGUMENTS: Final = ("--model", "--model-id", "--model-path", "--model_path")
_MODEL_VARIABLES: Final = ("STORAGE_URI", "MODEL_URI", "HF_MODEL_ID", "MODEL_ID", "MODEL_NAME_OR_PATH")
_REVISION_ARGUMENTS: Final = ("--revision",)
_REVISION_VARIABLES: Final = ("REVISION", "HF_REVISION", "MODEL_REVISION")


class Weights(NamedTuple):
    """What fixes weights.

    Attributes:
        fixed_by: image, modelpack, storage-uri, nim-profile; empty: nothing.
        name: what names them; may be told though nothing fixes them.
        summary: in a clause.
    """

    fixed_by: str
    name: str
    summary: str


def judge_weights(
    facts: ImageFacts, *, id: str, at: datetime, settings: Sequence[ImageSettings] = ()
) -> EvidenceRecord:
    """The evidence on weights that an image itself gives.

    Args:
        facts: of the image.
        id: for the record.
        at: now.
        settings: of its platforms.
    """
    found = _judge(facts, settings)
    return EvidenceRecord(
        id=id,
        digest=facts.digest,
        kind=EvidenceKind.WEIGHTS,
        origin=Origin.IMAGE,
        state=FIXED if found.fixed_by else NOT_FIXED,
        summary=found.summary,
        source="manifest and configuration of the image",
        collected_at=at,
        payload={
            "kind": facts.kind,
            "framework": facts.framework,
            "fixed_by": found.fixed_by,
            "name": found.name,
        },
    )


def of_uri(uri: str, revision: str = "") -> Weights:
    """What a storage URI fixes.

    Args:
        uri: as KServe takes it, or a model's name on the Hugging Face hub.
        revision: that is asked for beside it; empty: none.
    """
    named = f"hf://{uri}" if _HUB_NAME.match(uri) else uri
    scheme, _, rest = named.partition("://")
    if scheme == "hf":
        model, colon, inline = rest.partition(":")
        revision = revision or inline
        name = f"hf://{model}@{revision}" if revision else f"hf://{model}"
        if _COMMIT.match(revision):
            return Weights("storage-uri", name, f"by the commit that {name} names")
        why = f"the revision {revision[:60]!r} can be moved" if revision or colon else "no revision is named"
        return Weights("", name, f"fetched from hf://{model[:200]} at run time, and {why}")
    if scheme == "oci" and "@sha256:" in rest:
        return Weights("storage-uri", named, f"by the digest that {named[:200]} names")
    if "versionId=" in rest:
        return Weights("storage-uri", named, "by the version of the object that the storage URI names")
    if scheme != named:
        return Weights("", named, f"fetched from {named[:200]} at run time, whose content can be changed")
    return Weights("", uri, f"read from {uri[:200]} at run time; whether the image holds it cannot be told")


def _judge(facts: ImageFacts, settings: Sequence[ImageSettings]) -> Weights:
    if facts.kind in _ARTIFACTS:
        kind = _ARTIFACTS[facts.kind]
        return Weights("modelpack", facts.digest, f"by this digest: the weights are layers of the {kind} artifact")
    # What differs between platforms fixes nothing.
    told = {_told(each, facts.framework) for each in settings}
    if len(told) == 1 and (only := told.pop()) is not None:
        return only
    if facts.framework == "nim":
        return Weights("", "", "a NIM fetches the profile's weights at run time unless they are cached")
    if facts.type in {"", "generic"}:
        return Weights("", "", "the model is chosen at run time")
    return Weights("", "", "nothing in the image tells where its weights come from")


def _told(settings: ImageSettings, framework: str) -> Weights | None:
    environment = settings.environment
    if framework == "nim":
        profile = environment.get("NIM_MODEL_PROFILE", "")
        if _PROFILE.match(profile):
            return Weights("nim-profile", profile, f"by the NIM profile {profile[:12]}... that the image sets")
        return None
    model = _argument(settings.arguments, _MODEL_ARGUMENTS) or _variable(environment, _MODEL_VARIABLES)
    if not model:
        return None
    revision = _argument(settings.arguments, _REVISION_ARGUMENTS) or _variable(environment, _REVISION_VARIABLES)
    return of_uri(model, revision)


def _argument(arguments: Sequence[str], names: Sequence[str]) -> str:
    for position, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if name in names:
            if equals:
                return value
            return arguments[position + 1] if position + 1 < len(arguments) else ""
    return ""


def _variable(environment: Mapping[str, str], names: Sequence[str]) -> str:
    return next((environment[name] for name in names if environment.get(name)), "")
