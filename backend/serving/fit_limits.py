"""What a namespace's quotas and Kueue's queues say of a deployment's pods. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from backend.cluster.capacity_objects import ClusterQueue, Flavor, LocalQueue
from backend.cluster.objects import condition_of
from backend.cluster.platform_objects import ResourceQuota
from backend.serving.deployment import DeploymentFile
from backend.telemetry.fit_inputs import amounts_of
from backend.telemetry.fit_types import PODS, Amounts, Ask, Tenant
from backend.telemetry.fit_words import amount_text

#: Scopes that count no pod of a model server: they end by themselves, or ask for nothing.
_OTHER_SCOPES: Final = frozenset({"Terminating", "BestEffort"})


def quota_refusals(
    deployment: DeploymentFile, ask: Ask, quotas: Iterable[ResourceQuota], present: Sequence[Tenant] = ()
) -> tuple[str, ...]:
    """What each quota of the namespace says against the pods, a clause each.

    Args:
        present: the pods that these replace; what they hold is given back.
    """
    wanted = _limits(deployment, ask)
    told = []
    for quota in quotas:
        if not _counts(quota, deployment):
            continue
        status = quota.status
        hard = amounts_of((status.hard if status else None) or quota.spec.hard, floor=True)
        used = amounts_of(status.used if status else None)
        for name, limit in hard.items():
            key, asked = _asked(name, wanted, ask)
            if not asked:
                continue
            freed = sum(tenant.amounts.get(key, 0) for tenant in present)
            left = limit - used.get(name, 0) + (freed if name.startswith("requests.") or name == PODS else 0)
            if asked > left:
                told.append(
                    f"quota {quota.metadata.name} leaves {amount_text(key, max(0, left))} of {amount_text(key, limit)}"
                    f" ({name}), and {amount_text(key, asked)} are asked for"
                )
    return tuple(told)


def queue_refusal(
    deployment: DeploymentFile,
    ask: Ask,
    queues: Iterable[LocalQueue],
    cluster_queues: Iterable[ClusterQueue],
    present: Sequence[Tenant] = (),
) -> str:
    """What the Kueue queue that the file names says against the pods, a clause; empty: nothing, or it names none."""
    if not deployment.queue:
        return ""
    name = deployment.queue
    local = next(
        (each for each in queues if each.metadata.name == name and each.metadata.namespace == deployment.namespace),
        None,
    )
    if local is None:
        return f"the namespace has no queue {name}"
    above = next((each for each in cluster_queues if each.metadata.name == local.spec.cluster_queue), None)
    if above is None:
        return f"queue {name} feeds the cluster queue {local.spec.cluster_queue}, which cannot be seen"
    for what, stopped in ((f"queue {name}", local.spec.stop_policy), (above.metadata.name, above.spec.stop_policy)):
        if stopped in {"Hold", "HoldAndDrain"}:
            return f"{what} is on hold"
    active = condition_of((above.status.conditions if above.status else None), "Active")
    if active is not None and active.status == "False":
        return f"cluster queue {above.metadata.name} admits nothing: {active.message or active.reason}"
    waiting = above.status.pending_workloads if above.status else 0
    for key, amount in ask.amounts.items():
        left = _left(above, key)
        if left is None:
            continue
        left += sum(tenant.amounts.get(key, 0) for tenant in present)
        if amount * ask.pods > left:
            cohort = above.spec.cohort_name or above.spec.cohort
            more = f"; what its cohort {cohort} could lend is not counted" if cohort else ""
            ahead = f", and {waiting} wait there already" if waiting else ""
            return (
                f"queue {name} has {amount_text(key, max(0, left))} left in cluster queue {above.metadata.name}, and"
                f" {amount_text(key, amount * ask.pods)} are asked for{ahead}{more}"
            )
    return ""


# ------------------------------------------------------------ inside


def _asked(name: str, limits: Amounts, ask: Ask) -> tuple[str, int]:
    """The resource that a quota's key counts, and how much of it the pods ask for."""
    if name.startswith("limits."):
        key = name.removeprefix("limits.")
        return key, limits.get(key, 0) * ask.pods
    key = name.removeprefix("requests.").removeprefix("count/")
    return key, ask.amounts.get(key, 0) * ask.pods


def _limits(deployment: DeploymentFile, ask: Ask) -> Amounts:
    resources = deployment.resources
    above: Mapping[str, Any] = {"cpu": resources.cpu_limit, "memory": resources.memory_limit}
    return {**ask.amounts, **amounts_of({key: value for key, value in above.items() if value})}


def _counts(quota: ResourceQuota, deployment: DeploymentFile) -> bool:
    """Whether a quota counts such pods, by its scopes; one whose scope cannot be told here is left out."""
    scopes = set(quota.spec.scopes or ())
    selected = (quota.spec.scope_selector or {}).get("matchExpressions") or ()
    for entry in selected if isinstance(selected, list) else ():
        if not isinstance(entry, Mapping):
            continue
        values, operator = entry.get("values") or (), entry.get("operator")
        if entry.get("scopeName") != "PriorityClass":
            scopes.add(str(entry.get("scopeName")))
        elif (
            (operator == "In" and deployment.priority_class not in values)
            or (operator == "NotIn" and deployment.priority_class in values)
            or (operator == "Exists" and not deployment.priority_class)
            or (operator == "DoesNotExist" and deployment.priority_class)
        ):
            return False
    return not scopes & _OTHER_SCOPES and "CrossNamespacePodAffinity" not in scopes


def _left(queue: ClusterQueue, key: str) -> int | None:
    """What a cluster queue has left of a resource in the flavour that has most; None: it does not count it."""
    used = _by_flavor((queue.status.flavors_reservation or queue.status.flavors_usage) if queue.status else None, key)
    found = []
    for group in queue.spec.resource_groups or ():
        if group.covered_resources is not None and key not in group.covered_resources:
            continue
        for flavor in group.flavors or ():
            for amount in flavor.resources or ():
                if amount.name == key and amount.nominal_quota is not None:
                    nominal = amounts_of({key: amount.nominal_quota}, floor=True).get(key, 0)
                    found.append(nominal - used.get(flavor.name, 0))
    return max(found, default=None)


def _by_flavor(flavors: Sequence[Flavor] | None, key: str) -> dict[str, int]:
    return {
        flavor.name: amounts_of({key: amount.total}).get(key, 0)
        for flavor in flavors or ()
        for amount in flavor.resources or ()
        if amount.name == key and amount.total is not None
    }
