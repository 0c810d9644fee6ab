"""A registry with images, a cluster that can run them, and yards configured for both, for tests of the command line."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fakes.cli import Place, registry_table, rule_table
from tests.fakes.cli_cluster import ThreadedCluster
from tests.fakes.docker_registry import DockerRegistry

NIM = "nim/meta/llama-3.1-8b-instruct"
TAGS = ("1.3.0", "1.4.0")
NAMESPACE = "llm-prod"
CLUSTER = f'[[cluster]]\ncontext = "robin"\nnamespaces = ["{NAMESPACE}"]\n'
#: Long enough for a machine with everything else to do; nothing waits for it when all goes well.
PATIENCE = 30.0


@dataclass(frozen=True)
class World:
    """What the yards of a test module share.

    Attributes:
        digests: of the images in the registry, by tag.
    """

    registry: DockerRegistry
    cluster: ThreadedCluster
    digests: dict[str, str]

    def reference(self, tag: str) -> str:
        """An image as commands print it."""
        return f"{self.registry.host}/{NIM}@{self.digests[tag]}"

    def place(self, folder: Path, patch: pytest.MonkeyPatch, more: str = "", *, who: str = "robin") -> Place:
        """A yard of this registry and cluster, where the cluster tells who acts."""
        kubeconfig = folder / "kubeconfig"
        kubeconfig.write_text(self.cluster.kubeconfig(), encoding="utf-8")
        patch.setenv("KUBECONFIG", str(kubeconfig))
        tables = registry_table("local", self.registry.url) + rule_table("nim", "local", 'repositories = ["nim/**"]')
        return Place(folder / "place", tables + CLUSTER.replace('"robin"', f'"{who}"') + more, 'identity = "cluster"')

    def approved(self, place: Place, tag: str) -> str:
        """Synchronise and approve an image; gives its reference."""
        if not place.json("images", "list"):
            place.json("sync")
        reference = self.reference(tag)
        shown = place.json("queue", "show", reference)
        decided = place.run("approve", reference, "--reason", "for a test", "--evidence", shown["evidence_hash"])
        assert decided.code == 0, decided.err
        return reference

    def deployment(self, place: Place, name: str, reference: str, **more: str) -> Path:
        """A deployment file with one GPU."""
        file = place.folder / f"{name}-{reference[-8:]}{''.join(more.values()).strip('{}')[:8].strip()}.yaml"
        lines = [f"name: {name}", f"namespace: {NAMESPACE}", f"image: {reference}", "resources: {gpu: 1, memory: 48Gi}"]
        file.write_text("\n".join([*lines, *(f"{key}: {value}" for key, value in more.items())]) + "\n")
        return file

    def deployed(self, place: Place, name: str, tag: str = TAGS[0]) -> str:
        """Approve an image and apply a service of it; gives the snapshot's id."""
        file = self.deployment(place, name, self.approved(place, tag))
        applied = place.json("deploy", "apply", "-f", file, "--yes")
        assert applied["changed"]
        return str(applied["snapshot"])


@contextmanager
def running_world() -> Iterator[World]:
    """Start everything, with two images in the registry."""
    with DockerRegistry() as registry, ThreadedCluster(registry_host=registry.host) as cluster:
        digests = {}
        for tag in TAGS:
            digests[tag] = registry.push(NIM, tag, labels={"com.nvidia.nim.type": "llm"})
            cluster.offer(NIM, tag, digests[tag], _manifest(registry, digests[tag]))
        yield World(registry, cluster, digests)


def until_serving(place: Place, name: str) -> None:
    """Wait until a service serves."""
    deadline = time.monotonic() + PATIENCE
    while (told := place.json("deploy", "status", name)["service"])["verdict"] != "serving":
        assert time.monotonic() < deadline, told


def _manifest(registry: DockerRegistry, digest: str) -> bytes:
    address = f"{registry.url}/v2/{NIM}/manifests/{digest}"
    request = urllib.request.Request(address, headers={"Accept": "application/vnd.oci.image.manifest.v1+json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        body: bytes = answer.read()
    return body
