"""A deployment file to start from: what the image tells, and ordinary sizes for the rest."""

from __future__ import annotations

import re
from typing import Any, Final

from backend.evidence.facts import ImageFacts
from backend.serving.deployment import DeploymentFile

_BILLIONS: Final = re.compile(r"(?:^|[-_.])(\d{1,3}(?:\.\d)?)b(?:[-_.]|$)")
_BYTES_A_PARAMETER: Final = 2  # bfloat16, the precision that model servers load by default
_GPU_MEMORY_GIB: Final = 80
_ROOM_FOR_KV_CACHE: Final = 1.3


def draft_of(facts: ImageFacts, name: str, namespace: str) -> DeploymentFile:
    """A deployment of one replica.

    The number of GPUs is a suggestion: parameters, as the repository's name tells them, at two bytes each with room for
    a KV cache, on GPUs of 80 GiB, rounded up to a power of two; one where the name tells nothing.

    Raises:
        pydantic.ValidationError: the name or the namespace is none.
    """
    gpus = suggested_gpus(facts.repository)
    values: dict[str, Any] = {
        "name": name,
        "namespace": namespace,
        "image": facts.reference,
        "resources": {"gpu": gpus, "gpuResource": "nvidia.com/gpu", "cpu": str(8 * gpus), "memory": f"{48 * gpus}Gi"},
        "replicas": {"min": 1, "max": 1},
    }
    return DeploymentFile.model_validate(values)


def suggested_gpus(repository: str) -> int:
    """How many GPUs of 80 GiB a model of the size that the name tells wants: 1, 2, 4 or 8."""
    match = _BILLIONS.search(repository.rpartition("/")[2].lower())
    if match is None:
        return 1
    needed = float(match.group(1)) * _BYTES_A_PARAMETER * _ROOM_FOR_KV_CACHE / _GPU_MEMORY_GIB
    return next((count for count in (1, 2, 4) if needed <= count), 8)
