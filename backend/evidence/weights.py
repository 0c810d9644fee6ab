"""What fixes the weights that an image serves. Approving a digest approves no weights that come from elsewhere."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from backend.evidence.facts import ImageFacts
from backend.evidence.records import EvidenceKind, EvidenceRecord, Origin

FIXED: Final = "fixed"
NOT_FIXED: Final = "not fixed"

_ARTIFACTS: Final = {"modelpack": "ModelPack", "kitops": "KitOps", "docker-model": "Docker model"}


def judge_weights(facts: ImageFacts, *, id: str, at: datetime) -> EvidenceRecord:
    """The evidence on weights that an image itself gives.

    Args:
        facts: of the image.
        id: for the record.
        at: now.
    """
    state, summary = _judge(facts)
    return EvidenceRecord(
        id=id,
        digest=facts.digest,
        kind=EvidenceKind.WEIGHTS,
        origin=Origin.IMAGE,
        state=state,
        summary=summary,
        source="manifest and configuration of the image",
        collected_at=at,
        payload={"kind": facts.kind, "framework": facts.framework},
    )


def _judge(facts: ImageFacts) -> tuple[str, str]:
    if facts.kind in _ARTIFACTS:
        return FIXED, f"by this digest: the weights are layers of the {_ARTIFACTS[facts.kind]} artifact"
    if facts.framework == "nim":
        return NOT_FIXED, "a NIM fetches the profile's weights at run time unless they are cached"
    if facts.type in {"", "generic"}:
        return NOT_FIXED, "the model is chosen at run time"
    return NOT_FIXED, "nothing in the image tells where its weights come from"
