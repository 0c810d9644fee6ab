"""A deployment file as a fit check asks for it, and what came of it as views. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Final

from backend.cluster.objects import Toleration
from backend.cluster.platform_objects import PriorityClass
from backend.core.views import FitNodeView, FitView, RoomView
from backend.serving.deployment import DeploymentFile
from backend.serving.deployment_fields import MIG_PREFIX
from backend.serving.manifests import gpu_taint
from backend.serving.model_size import ModelSize
from backend.serving.suggestions import GpuType, per_gpu
from backend.telemetry.fit_inputs import amounts_of
from backend.telemetry.fit_types import PODS, UNIT, Ask, Fit, Host, Spread, Tenant, gpus_of, memory_of
from backend.telemetry.fit_words import gib

_MOST_NODES: Final = 12
#: Kubernetes' own priority of pods whose class is not told.
_NO_PRIORITY: Final = 0


def ask_of(
    deployment: DeploymentFile, *, priorities: Iterable[PriorityClass] = (), size: ModelSize | None = None
) -> Ask:
    """The pods of all replicas, as the scheduler will see them.

    Args:
        priorities: the cluster's PriorityClasses.
        size: of the model; None: what its GPUs have to hold is not known.
    """
    resources = deployment.resources
    asked = {"cpu": resources.cpu, "memory": resources.memory, "ephemeral-storage": resources.ephemeral_storage}
    amounts = amounts_of({key: value for key, value in asked.items() if value}) | {PODS: UNIT}
    tolerations = [
        Toleration(key=each.key, operator=each.operator, value=each.value, effect=each.effect)
        for each in deployment.tolerations
    ]
    if resources.gpu:
        amounts[resources.gpu_resource] = resources.gpu * UNIT
        tolerations.append(Toleration(key=gpu_taint(deployment), operator="Exists", effect="NoSchedule"))
    known = {each.metadata.name: each for each in priorities}
    chosen = known.get(deployment.priority_class)
    if chosen is None and not deployment.priority_class:
        chosen = next((each for each in known.values() if each.global_default), None)
    return Ask(
        pods=_replicas(deployment) * deployment.pods_per_replica,
        amounts=amounts,
        resource=resources.gpu_resource if resources.gpu else "",
        node_selector=dict(deployment.node_selector),
        tolerations=tuple(tolerations),
        spread=tuple(
            Spread(key=each.topology_key, skew=each.max_skew)
            for each in deployment.topology_spread
            if each.when_unsatisfiable == "DoNotSchedule"
        ),
        priority=chosen.value if chosen is not None else _NO_PRIORITY,
        preempts=chosen is None or chosen.preemption_policy != "Never",
        gpu_memory=per_gpu(deployment, size) if size is not None and resources.gpu else None,
        replaces=f"{deployment.namespace}/{deployment.name}" if replaces_in_place(deployment) else "",
    )


def replaces_in_place(deployment: DeploymentFile) -> bool:
    """Whether the pods that serve now go before new ones come; a revision of Knative starts beside the old one."""
    return deployment.mode == "Standard"


def _replicas(deployment: DeploymentFile) -> int:
    """Those that run without load; of what wakes from zero the first."""
    if deployment.replicas.min:
        return deployment.replicas.min
    return 0 if deployment.mode == "Standard" and deployment.autoscaling.class_ == "none" else 1


def gpu_type(ask: Ask, hosts: Sequence[Host]) -> GpuType | None:
    """The GPUs that the pods would get: of the nodes that may take them, the type with the least memory.

    None where no node with such GPUs tells how much memory they have.
    """
    open_ = [host for host in hosts if host.ready and host.allocatable.get(ask.resource)]
    selected = [
        host for host in open_ if all(host.labels.get(key) == value for key, value in ask.node_selector.items())
    ]
    sized = [(memory, host) for host in selected or open_ if (memory := memory_of(ask.resource, host.gpu_memory))]
    if not sized:
        return None
    memory, least = min(sized, key=lambda pair: (pair[0], pair[1].name))
    alike = [host for size, host in sized if size == memory]
    profile = ask.resource.removeprefix(MIG_PREFIX) if ask.resource.startswith(MIG_PREFIX) else ""
    return GpuType(
        product=f"MIG {profile}" if profile else least.product or "GPU",
        memory=memory,
        compute=_compute(least),
        per_node=max(host.allocatable[ask.resource] // UNIT for host in alike),
    )


def _compute(host: Host) -> tuple[int, int] | None:
    """By the labels of NVIDIA's feature discovery."""
    major, minor = (host.labels.get(f"nvidia.com/gpu.compute.{part}", "") for part in ("major", "minor"))
    if not major.isdecimal() or len(major) > 3:
        return None
    return int(major), int(minor) if minor.isdecimal() and len(minor) < 4 else 0


def fit_view(
    found: Fit,
    *,
    size: ModelSize | None,
    quota: Sequence[str] = (),
    queue: str = "",
    notes: Sequence[str] = (),
) -> FitView:
    """What came of a check, with what quotas and queues say against it."""
    ask = found.ask
    goes = found.preempted or found.leaving
    verdict = "now" if found.now else "never" if found.never else "preempts" if found.preempted else "waits"
    sentence = found.sentence
    if verdict == "now" and (quota or queue):
        verdict, sentence = "waits", f"the nodes have room, but {(*quota, queue)[0]}"
    return FitView(
        verdict=verdict,
        pods=ask.pods,
        fitting=found.fitting,
        sentence=sentence,
        nodes=tuple(
            FitNodeView(
                name=place.host.name,
                product=place.host.product,
                gpus=place.host.allocatable.get(ask.resource, 0) // UNIT,
                free=max(0, place.host.free.get(ask.resource, 0) // UNIT),
                pods=place.pods,
                barred=place.barred,
            )
            for place in sorted(found.places, key=lambda place: (-place.pods, bool(place.barred), place.host.name))
            if not ask.resource or place.host.allocatable.get(ask.resource)
        )[:_MOST_NODES],
        goes=_rooms(goes, ask),
        by_itself=bool(found.preempted),
        quota=tuple(quota),
        queue=queue,
        memory=_memory(ask, size),
        notes=tuple(notes),
    )


def _memory(ask: Ask, size: ModelSize | None) -> str:
    if size is None or ask.gpu_memory is None:
        return ""
    told = f"{size.parameters / 1e9:.3g} billion parameters of {size.precision} take {gib(size.weights)}"
    return f"{told}: each GPU has to have {gib(ask.gpu_memory)} at least"


def _rooms(goes: Sequence[Tenant], ask: Ask) -> tuple[RoomView, ...]:
    """Pods that go, by service, in the order in which they were chosen."""
    groups: dict[tuple[str, str, bool], list[Tenant]] = {}
    for tenant in goes:
        groups.setdefault((tenant.namespace, tenant.service or tenant.pod, bool(tenant.service)), []).append(tenant)
    return tuple(
        RoomView(
            namespace=namespace,
            name=name,
            service=service,
            pods=len(members),
            gpus=sum(gpus_of(each.amounts) for each in members),
            nodes=tuple(sorted({each.node for each in members})),
            reason=_reason(members, ask),
        )
        for (namespace, name, service), members in groups.items()
    )


def _reason(members: Sequence[Tenant], ask: Ask) -> str:
    idle = [each.idle for each in members if each.idle is not None]
    told = f"priority {max(each.priority for each in members)}"
    if max(each.priority for each in members) < ask.priority:
        told += f", below {ask.priority}"
    return f"idle {_spoken(min(idle))}, {told}" if len(idle) == len(members) else told


def _spoken(lasting: timedelta) -> str:
    minutes = int(lasting.total_seconds() // 60)
    if minutes < 120:
        return f"for {minutes} min" if minutes else "just now"
    return f"for {minutes // 60} h" if minutes < 2880 else f"for {minutes // 1440} d"
