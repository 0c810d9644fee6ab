"""Which digests a service names and which it really runs. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from backend.cluster.kserve_objects import Component, InferenceService
from backend.cluster.objects import Container, Pod
from backend.core.references import is_digest


class Digests(msgspec.Struct, frozen=True, kw_only=True):
    """Digests of a service's images.

    Attributes:
        images: that the InferenceService names. named: their digests.
        running: by its pods' specs and by what their container runtimes report.
        unpinned: images that are named by tag alone.
    """

    images: tuple[str, ...]
    named: frozenset[str]
    running: frozenset[str]
    unpinned: tuple[str, ...]

    @property
    def known(self) -> frozenset[str]:
        """All of them."""
        return self.named | self.running


def running_digests(
    service: InferenceService, pods: Iterable[Pod], aliases: Mapping[str, str] | None = None
) -> Digests:
    """The digests that a service names and runs.

    Args:
        aliases: a platform manifest's or config's digest to the digest that the library knows it by. Container
            runtimes report an image by its index, its platform's manifest or its config.
    """
    known = aliases or {}
    images = named_images(service)
    named = {known.get(digest, digest) for image in images if (digest := digest_of(image))}
    running: set[str] = set()
    unpinned = [image for image in images if not digest_of(image)]
    for pod in pods:
        statuses = {status.name: status for status in pod.status.container_statuses or ()}
        for container in pod.spec.containers:
            status = statuses.get(container.name)
            reported = digest_of(status.image_id) if status else ""
            stated = digest_of(container.image)
            if stated:
                running.add(known.get(stated, stated))
            # A reported digest in a form that the library does not know says nothing against the one that is stated.
            if reported and (reported in known or not stated):
                running.add(known.get(reported, reported))
            if not stated and container.image and not is_sidecar(container):
                unpinned.append(container.image)
    return Digests(
        images=images,
        named=frozenset(named),
        running=frozenset(running),
        unpinned=tuple(dict.fromkeys(unpinned)),
    )


def named_images(service: InferenceService) -> tuple[str, ...]:
    """The images that a service names itself, in the order of its components; a runtime's are not among them."""
    images: list[str] = []
    for component in (service.spec.predictor, service.spec.transformer, service.spec.explainer):
        if component is not None:
            images += _images(component)
    return tuple(dict.fromkeys(images))


def digest_of(image: str) -> str:
    """The digest in an image reference or a container runtime's image id, or empty.

    Container runtimes write `host/repository@sha256:...`, `docker-pullable://...@sha256:...`, or `sha256:...` alone.
    """
    text = image.rpartition("@")[2].rpartition("//")[2]
    return text if is_digest(text) else ""


def _images(component: Component) -> list[str]:
    held: list[Container] = list(component.containers or ())
    if component.model is not None:
        held.insert(0, component.model)
    return [container.image for container in held if container.image]


def is_sidecar(container: Container) -> bool:
    """Containers that a mesh or KServe adds, whose images are not the service's."""
    return container.name in {"queue-proxy", "istio-proxy", "agent", "linkerd-proxy"}
