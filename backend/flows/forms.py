"""The form that a deployment is written in: what may stand in its fields, what is wrong with them, what would suit."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import msgspec
import yaml

from backend.cluster.client import ClusterClient
from backend.cluster.kserve_objects import ServingRuntime
from backend.cluster.reader import Look, Sight
from backend.cluster.resources import (
    CLUSTER_SERVING_RUNTIMES,
    LOCAL_QUEUES,
    NAMESPACES,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVING_RUNTIMES,
    Resource,
)
from backend.core.errors import NotFoundError, UsageError
from backend.core.text import sanitise
from backend.core.views import AdviceView, FormCheckView, FormFieldView, FormView, ImageView, OfferView
from backend.flows.fit import Fits, Ground
from backend.flows.foundation import Foundation
from backend.flows.lookup import Lookup
from backend.serving.deployment import DeploymentFile, parse, to_yaml
from backend.serving.deployment_fields import MIG_PREFIX, OWN_CONTAINERS
from backend.serving.drafts import draft, name_for
from backend.serving.fit_ask import ask_of, gpu_type
from backend.serving.form_fields import FIELDS, check_form, closed_offers, values_of
from backend.serving.queries import keda_query
from backend.serving.runtime_fit import ServedImage, holds_no_server, runtime_fits
from backend.serving.suggestions import gpus_needed, suggest, taken
from backend.telemetry.fit_types import UNIT, WHOLE_GPU

#: The field that is none of the file's: the cluster.
CONTEXT: Final = "context"
_MOST_OFFERS: Final = 200
_MOST_NAMES: Final = 5
_OWN_TAINTS: Final = ("nvidia.com/", "node.kubernetes.io/")
_LABELS: Final = ("nvidia.com/gpu.product", "topology.kubernetes.io/zone")


class _Offered(msgspec.Struct, frozen=True):
    """What a field is offered, or why nothing is."""

    offers: tuple[OfferView, ...] = ()
    unlisted: str = ""
    hint: str = ""


_NOTHING: Final = _Offered()


class Forms:
    """Opens forms and looks at what is written in them."""

    def __init__(self, foundation: Foundation, lookup: Lookup, fits: Fits) -> None:
        self._foundation = foundation
        self._lookup = lookup
        self._fits = fits

    async def open(self, reference: str, *, name: str = "", namespace: str = "", context: str = "") -> FormView:
        """A form for an image of the library, with a first draft in it.

        Args:
            name: of the service; empty: made from the image's. namespace: empty: the first that is known.

        Raises:
            NotFoundError: the library has no such image. UnreachableError: the cluster does not answer.
        """
        image = await self._lookup.image(reference)
        client = await self._foundation.clusters.client(context)
        namespaces = await self._namespaces(client)
        namespace = namespace or (namespaces.offers[0].value if namespaces.offers else "default")
        runtimes, ground = await asyncio.gather(self._runtimes(client, namespace), self._fits.ground(client))
        made = draft(
            image.reference,
            namespace=namespace,
            name=name or name_for(image.reference, namespace),
            runtimes=runtimes,
            served=_served(image),
        )
        return await self._view(client, _served(image), await self._sized(made, ground))

    async def of_file(self, text: str, *, context: str = "") -> FormView:
        """A form with a deployment file in it, and what its namespace and runtime offer.

        Raises:
            UsageError: the file is wrong; names the line. UnreachableError: the cluster does not answer.
        """
        deployment = await asyncio.to_thread(parse, text)
        client = await self._foundation.clusters.client(context)
        try:
            served = _served(await self._lookup.image(deployment.image))
        except (NotFoundError, UsageError):
            # What runs need not be in the library; its image's name tells something all the same.
            served = ServedImage(image=deployment.image)
        return await self._view(client, served, deployment)

    def check(self, values: Mapping[str, str], base: str) -> FormCheckView:
        """What becomes of a form's values; asks nobody, so that it can be looked at while somebody types.

        Args:
            base: the deployment file that the form was opened on, YAML.
        """
        return check_form(values, base)

    async def advice(self, deployment: str, *, context: str = "") -> AdviceView:
        """Where a deployment file's pods would run now, and what would suit it: estimates.

        Raises:
            UsageError: the file is wrong. UnreachableError: the cluster does not answer.
        """
        return await self._fits.of_file(deployment, context=context)

    async def take(self, deployment: str, suggestion: str, *, context: str = "") -> str:
        """A deployment file with a suggestion taken over, YAML.

        Args:
            suggestion: its id.

        Raises:
            NotFoundError: that is not suggested any more.
        """
        file = await asyncio.to_thread(parse, deployment)
        ground = await self._fits.ground(await self._foundation.clusters.client(context))
        size = await self._fits.size_of(file)
        ask = ask_of(file, priorities=ground.priorities, size=size)
        for one in suggest(file, size, gpu_type(ask, ground.hosts) if ask.resource else None):
            if one.id == suggestion:
                return yaml.safe_dump(taken(yaml.safe_load(to_yaml(file)), one), sort_keys=False)
        raise NotFoundError(f"suggestion {suggestion}", "it is not suggested for the file as it is", "look again")

    # ------------------------------------------------------------ inside

    def _contexts(self) -> tuple[FormFieldView, ...]:
        """The field that says which cluster, where there are several."""
        links = self._foundation.clusters.links
        if not self._foundation.clusters.several:
            return ()
        offers = tuple(OfferView(value=link.context) for link in links)
        return (FormFieldView(id=CONTEXT, section=FIELDS[0].section, label="Cluster", closed=True, offers=offers),)

    async def _view(self, client: ClusterClient, served: ServedImage, made: DeploymentFile) -> FormView:
        """A form with a deployment in it."""
        offered = await self._offered(client, made, served)
        return FormView(
            context=client.context,
            reference=made.image,
            fields=(
                *self._contexts(),
                *(
                    FormFieldView(
                        id=field.id,
                        section=field.section,
                        label=field.label,
                        hint="; ".join(part for part in (field.hint, offered.get(field.id, _NOTHING).hint) if part),
                        closed=bool(field.closed),
                        offers=closed_offers(field) or _printable(offered.get(field.id, _NOTHING).offers),
                        unlisted=offered.get(field.id, _NOTHING).unlisted,
                    )
                    for field in FIELDS
                ),
            ),
            values={**values_of(made), **({CONTEXT: client.context} if self._foundation.clusters.several else {})},
            deployment=to_yaml(made),
        )

    async def _sized(self, made: DeploymentFile, ground: Ground) -> DeploymentFile:
        """The draft with as many GPUs as hold the model on the GPUs that the cluster has."""
        size = await self._fits.size_of(made)
        gpu = gpu_type(ask_of(made), ground.hosts)
        if size is None or gpu is None:
            return made
        count = min(gpus_needed(size, gpu), gpu.per_node)
        resources = made.resources.model_copy(update={"gpu": count})
        return made.model_copy(update={"resources": resources})

    async def _namespaces(self, client: ClusterClient) -> _Offered:
        configured = self._foundation.clusters.link(client.context).namespaces
        if configured:
            return _Offered(tuple(OfferView(value=name) for name in configured))
        return _names(await client.look(NAMESPACES))

    async def _runtimes(self, client: ClusterClient, namespace: str) -> tuple[ServingRuntime, ...]:
        found = await asyncio.gather(client.look(SERVING_RUNTIMES, namespace), client.look(CLUSTER_SERVING_RUNTIMES))
        return tuple(runtime for look in found for runtime in look.objects)

    async def _offered(self, client: ClusterClient, made: DeploymentFile, served: ServedImage) -> dict[str, _Offered]:
        ground, runtimes, namespaces, accounts, queues, secrets = await asyncio.gather(
            self._fits.ground(client),
            self._runtimes(client, made.namespace),
            self._namespaces(client),
            self._listed(client, SERVICE_ACCOUNTS, made.namespace),
            self._listed(client, LOCAL_QUEUES, made.namespace),
            self._listed(client, SECRETS, made.namespace),
        )
        fits = runtime_fits(served, made.namespace, runtimes, several_nodes=made.workers is not None)
        own = OfferView(value=OWN_CONTAINERS, note="the image brings its own", wrong=holds_no_server(served))
        formats = dict.fromkeys(name for fit in fits if fit.name == made.runtime for name in fit.formats)
        environment = self._foundation.policy.environment_of(client.context, made.namespace)
        return {
            "namespace": namespaces,
            "runtime": _Offered(
                (
                    *(
                        OfferView(value=fit.name, note=f"serves {', '.join(fit.formats)}", wrong=fit.wrong)
                        for fit in fits
                        if not fit.wrong
                    ),
                    own,
                    *(OfferView(value=fit.name, wrong=fit.wrong) for fit in fits if fit.wrong),
                )
            ),
            "modelFormat": _Offered(tuple(OfferView(value=name) for name in formats)),
            "environment": _Offered((OfferView(value=environment, note="by policy"),) if environment else ()),
            "priorityClass": _Offered(
                tuple(
                    OfferView(value=each.metadata.name, note=f"{each.value}")
                    for each in sorted(ground.priorities, key=lambda each: (-each.value, each.metadata.name))
                    if not each.metadata.name.startswith("system-")
                )
            ),
            "queue": queues,
            "serviceAccount": accounts,
            "imagePullSecrets": secrets,
            "resources.gpuResource": _Offered(_gpu_resources(ground)),
            "nodeSelector": _Offered(_selectors(ground)),
            "tolerations": _Offered(offered_taints(ground)),
            "topologySpread": _Offered(tuple(OfferView(value=key) for key in _spread_keys(ground))),
            "autoscaling.serverAddress": _Offered(self._prometheus(client.context)),
            "autoscaling.query": _Offered(
                (OfferView(value=keda_query(made), note="what runs and waits at this service alone"),)
            ),
            "env": _Offered(hint=_secret_names(secrets)),
        }

    def _prometheus(self, context: str) -> tuple[OfferView, ...]:
        """The Prometheus that telemetry reads through the API server, by its address inside the cluster."""
        primary = context == self._foundation.clusters.primary.context
        return tuple(
            OfferView(value=address, note="of [telemetry]")
            for table in self._foundation.configuration.settings.telemetry.prometheus
            if (table.context == context or (primary and not table.context))
            and (address := inside_address(table.service))
        )

    async def _listed(self, client: ClusterClient, resource: Resource[Any], namespace: str) -> _Offered:
        return _names(await client.look(resource, namespace))


def _names(look: Look[Any]) -> _Offered:
    if look.sight is Sight.FORBIDDEN:
        return _Offered(unlisted=look.why)
    names = sorted(each.metadata.name for each in look.objects)
    return _Offered(tuple(OfferView(value=name) for name in names[:_MOST_OFFERS]))


def inside_address(service: str) -> str:
    """`NAMESPACE/[https:]NAME:PORT` as pods of the cluster reach it; empty where the port is told by name."""
    namespace, _, rest = service.partition("/")
    *scheme, name, port = rest.split(":") if rest.count(":") else ("", "")
    return f"{scheme[0] if scheme else 'http'}://{name}.{namespace}.svc:{port}" if port.isdecimal() else ""


def _printable(offers: tuple[OfferView, ...]) -> tuple[OfferView, ...]:
    """Without names that would reach a terminal as anything but text; no API server gives such names out."""
    return tuple(offer for offer in offers if sanitise(offer.value) == offer.value)


def _secret_names(secrets: _Offered) -> str:
    """The first few secrets that a variable may name."""
    names = [offer.value for offer in secrets.offers]
    more = "…" if len(names) > _MOST_NAMES else ""
    return f"secrets: {', '.join(names[:_MOST_NAMES])}{more}" if names else ""


def _served(image: ImageView) -> ServedImage:
    return ServedImage(image=image.reference, kind=image.kind, framework=image.framework, type=image.type)


def _gpu_resources(ground: Ground) -> tuple[OfferView, ...]:
    """GPU and MIG resources that nodes have, with what is free of them."""
    found: dict[str, tuple[int, int]] = {}
    for host in ground.hosts:
        for key, amount in host.allocatable.items():
            if amount and (key == WHOLE_GPU or key.startswith(MIG_PREFIX)):
                total, free = found.get(key, (0, 0))
                found[key] = (total + amount // UNIT, free + max(0, host.free.get(key, 0)) // UNIT)
    return tuple(OfferView(value=key, note=f"{free} of {total} free") for key, (total, free) in sorted(found.items()))


def _selectors(ground: Ground) -> tuple[OfferView, ...]:
    """Labels that tell GPU types and zones apart, with how many nodes have them."""
    counts: dict[str, int] = {}
    for host in ground.hosts:
        for label in _LABELS:
            if value := host.labels.get(label):
                counts[f"{label}={value}"] = counts.get(f"{label}={value}", 0) + 1
    return tuple(
        OfferView(value=told, note=f"{count} node{'' if count == 1 else 's'}") for told, count in sorted(counts.items())
    )


def offered_taints(ground: Ground) -> tuple[OfferView, ...]:
    """Taints that keep pods from nodes, but for those of GPUs, which are tolerated by themselves, and of sick nodes."""
    counts: dict[str, int] = {}
    for host in ground.hosts:
        for taint in host.taints:
            if taint.effect in {"NoSchedule", "NoExecute"} and not taint.key.startswith(_OWN_TAINTS):
                told = f"{taint.key}{f'={taint.value}' if taint.value else ''}:{taint.effect}"
                counts[told] = counts.get(told, 0) + 1
    return tuple(
        OfferView(value=told, note=f"{count} node{'' if count == 1 else 's'}") for told, count in sorted(counts.items())
    )


def _spread_keys(ground: Ground) -> list[str]:
    known = {key for host in ground.hosts for key in host.labels}
    return [key for key in ("topology.kubernetes.io/zone", "kubernetes.io/hostname") if key in known]
