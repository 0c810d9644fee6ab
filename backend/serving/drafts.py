"""A first deployment file for an image, for a person to read and correct before it is planned. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from pydantic import ValidationError

from backend.cluster.kserve_objects import ServingRuntime
from backend.serving.cautions import LONG_STREAM
from backend.serving.deployment import DeploymentFile, explained
from backend.serving.deployment_fields import MAX_NAME, MAX_NAME_AND_NAMESPACE
from backend.serving.engines import OTHER, VLLM
from backend.serving.model_size import model_size
from backend.serving.runtime_fit import ServedImage, engine_name, runtime_fits
from backend.serving.suggestions import GpuType, gpus_needed

_NOT_NAME: Final = re.compile(r"[^a-z0-9]+")
#: Where no cluster tells which GPUs it has.
_COMMON_GPU: Final = GpuType(product="GPU", memory=80 << 30)
_MOST_GPUS: Final = 8
#: Types of the library that vLLM serves with its pooling runner.
_POOLING: Final = frozenset({"embedding", "reranking"})


def draft(
    image: str,
    *,
    namespace: str,
    name: str = "",
    runtimes: Iterable[ServingRuntime] = (),
    served: ServedImage | None = None,
    gpus: int | None = None,
) -> DeploymentFile:
    """A deployment of an image with one replica.

    Args:
        image: `host/repository@digest`.
        name: of the service; empty: made from the repository's.
        runtimes: of the namespace and the cluster; one that suits the image is named, else it brings its own
            containers.
        served: the image as the library classifies it; None: by its name alone.
        gpus: as many as this; None: as `suggested_gpus` tells.

    Raises:
        UsageError: the image, name or namespace cannot be deployed.
    """
    served = served or ServedImage(image=image)
    engine = engine_name(served)
    fits = runtime_fits(served, namespace, runtimes) if engine != OTHER.name else ()
    gpus = suggested_gpus(image) if gpus is None else gpus
    values = {
        "name": name or name_for(image, namespace),
        "namespace": namespace,
        "image": image,
        "runtime": fits[0].name if fits and not fits[0].wrong else "",
        "modelFormat": fits[0].formats[0] if fits and not fits[0].wrong and fits[0].formats else "",
        "resources": {"gpu": gpus, "cpu": str(8 * max(1, gpus)), "memory": f"{48 * max(1, gpus)}Gi"},
        "args": ["--runner=pooling"] if engine == VLLM.name and served.type in _POOLING else [],
        "terminationGraceSeconds": LONG_STREAM,
    }
    try:
        return DeploymentFile.model_validate(values)
    except ValidationError as error:
        raise explained(error, f"draft for {image}", {}) from error


def suggested_gpus(image: str) -> int:
    """How many GPUs of 80 GiB a model of the size that the repository's name tells wants: 1, 2, 4 or 8.

    As `backend.serving.suggestions` counts; 1 where the name tells nothing.
    """
    size = model_size(names=(_last_part(image),))
    return 1 if size is None else min(_MOST_GPUS, gpus_needed(size, _COMMON_GPU))


def name_for(image: str, namespace: str) -> str:
    """A name that KServe takes, from the last part of an image's repository."""
    name = _NOT_NAME.sub("-", _last_part(image).lower()).strip("-")
    if not name[:1].isalpha():
        name = f"model-{name}".strip("-")
    longest = max(1, min(MAX_NAME, MAX_NAME_AND_NAMESPACE - len(namespace)))
    return name[:longest].rstrip("-")


def _last_part(image: str) -> str:
    """The last part of an image's repository, without tag and digest."""
    return image.partition("@")[0].rpartition("/")[2].partition(":")[0]
