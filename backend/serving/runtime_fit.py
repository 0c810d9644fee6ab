"""Which runtimes can serve an image, and why the others cannot. Pure."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from backend.cluster.kserve_objects import ServingRuntime
from backend.serving.engines import NIM, OTHER, SGLANG, TGI, TRITON, VLLM, engine_of

#: Artifacts that hold weights and no server.
_MODEL_KINDS = frozenset({"modelpack", "kitops", "docker-model"})
#: What each engine serves of the library's types; an engine that is not listed is not judged by type.
_TYPES = {
    TGI.name: frozenset({"chat", "completion", "vision"}),
}
_ENGINES = frozenset({NIM.name, VLLM.name, TRITON.name, SGLANG.name, TGI.name})
_UNTOLD = frozenset({"", "unknown", "generic"})


class ServedImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image as the library classifies it; empty where it does not tell.

    Attributes:
        kind: image, index, modelpack, kitops, docker-model, artifact. framework: nim, vllm, ... or unknown.
        type: chat, embedding, ....
    """

    image: str
    kind: str = ""
    framework: str = ""
    type: str = ""


class RuntimeFit(msgspec.Struct, frozen=True, kw_only=True):
    """A runtime that a service of a namespace may name.

    Attributes:
        formats: that it serves. wrong: why it does not suit; empty: it does.
    """

    name: str
    namespace: str
    formats: tuple[str, ...]
    wrong: str = ""


def runtime_fits(
    image: ServedImage, namespace: str, runtimes: Iterable[ServingRuntime], *, several_nodes: bool = False
) -> tuple[RuntimeFit, ...]:
    """The runtimes of a namespace and the cluster, those that suit first; a namespace's own hides the cluster's."""
    seen: dict[str, ServingRuntime] = {}
    for runtime in runtimes:
        if runtime.metadata.namespace in {"", namespace} and (
            runtime.metadata.namespace or runtime.metadata.name not in seen
        ):
            seen[runtime.metadata.name] = runtime
    fits = [
        RuntimeFit(
            name=name,
            namespace=runtime.metadata.namespace,
            formats=tuple(each.name for each in runtime.spec.supported_model_formats or () if each.name),
            wrong=why_not(image, runtime, several_nodes=several_nodes),
        )
        for name, runtime in seen.items()
    ]
    # The highest name is the newest version; a namespace's own is meant for it.
    fits.sort(key=lambda fit: (bool(fit.namespace), fit.name), reverse=True)
    return tuple(sorted(fits, key=lambda fit: bool(fit.wrong)))


def why_not(image: ServedImage, runtime: ServingRuntime, *, several_nodes: bool = False) -> str:
    """Why a runtime does not serve an image, in a clause; empty when it does."""
    if why := holds_no_server(image):
        return why
    if runtime.spec.disabled:
        return "it is disabled, and KServe will not use it"
    if several_nodes and runtime.spec.worker_spec is None:
        return "it has no workerSpec, which a replica over several nodes needs"
    # The image of the service takes the place of the runtime's, under the runtime's command, arguments and probes.
    wanted = engine_name(image)
    offered = {engine_of(container.image, runtime.metadata.name).name for container in runtime.spec.containers}
    if wanted != OTHER.name and wanted not in offered:
        told = " and ".join(sorted(offered - {OTHER.name}))
        return f"it starts {told}, and the image is {wanted}" if told else f"it does not tell that it starts {wanted}"
    if wanted == OTHER.name and offered - {OTHER.name}:
        return f"it starts {' and '.join(sorted(offered))}, and nothing tells that the image is that"
    types = _TYPES.get(wanted)
    if types is not None and image.type not in types | _UNTOLD:
        return f"{wanted} does not serve models for {image.type}"
    return ""


def holds_no_server(image: ServedImage) -> str:
    """That an image cannot be served by itself; empty when it can."""
    if image.kind in _MODEL_KINDS:
        return "it holds weights and no server: name it in model.storageUri as oci://, beside a server's image"
    return ""


def engine_name(image: ServedImage) -> str:
    """What an image runs: by the library's classification where it knows the framework, else by the image's name."""
    return image.framework if image.framework in _ENGINES else engine_of(image.image).name
