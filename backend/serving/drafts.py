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
from backend.serving.engines import OTHER, Engine, engine_of
from backend.serving.manifests import RuntimeInfo
from backend.serving.model_size import model_size
from backend.serving.runtimes import find_runtime
from backend.serving.suggestions import GpuType, gpus_needed

_NOT_NAME: Final = re.compile(r"[^a-z0-9]+")
#: Where no cluster tells which GPUs it has.
_COMMON_GPU: Final = GpuType(product="GPU", memory=80 << 30)
_MOST_GPUS: Final = 8


def draft(image: str, *, namespace: str, name: str = "", runtimes: Iterable[ServingRuntime] = ()) -> DeploymentFile:
    """A deployment of an image with one replica, on as many GPUs as `suggested_gpus` tells.

    Args:
        image: `host/repository@digest`.
        name: of the service; empty: made from the repository's.
        runtimes: of the namespace and the cluster; one of the image's engine is named, else the image brings its own
            containers.

    Raises:
        UsageError: the image, name or namespace cannot be deployed.
    """
    chosen = runtime_for(engine_of(image), namespace, runtimes)
    gpus = suggested_gpus(image)
    values = {
        "name": name or name_for(image, namespace),
        "namespace": namespace,
        "image": image,
        "runtime": chosen.name if chosen else "",
        "resources": {"gpu": gpus, "cpu": str(8 * gpus), "memory": f"{48 * gpus}Gi"},
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


def runtime_for(engine: Engine, namespace: str, runtimes: Iterable[ServingRuntime]) -> RuntimeInfo | None:
    """A runtime of that engine that the namespace may use, its own before the cluster's, the highest name first."""
    if engine is OTHER:
        return None
    listed = [
        runtime
        for runtime in runtimes
        if runtime.metadata.namespace in {"", namespace}
        and not runtime.spec.disabled
        and any(engine_of(container.image, runtime.metadata.name) is engine for container in runtime.spec.containers)
    ]
    if not listed:
        return None
    best = max(listed, key=lambda runtime: (bool(runtime.metadata.namespace), runtime.metadata.name))
    return find_runtime(best.metadata.name, namespace, listed)


def _last_part(image: str) -> str:
    """The last part of an image's repository, without tag and digest."""
    return image.partition("@")[0].rpartition("/")[2].partition(":")[0]
