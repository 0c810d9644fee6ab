"""Prunes KServe's CustomResourceDefinitions to the schema data that the demo's cluster ships.

    python -m backend.demo.schema.generate ../shared/crds

reads the released CRDs and writes `kserve.json` beside this module. What is kept of a JSON schema decides about a
request: types, required fields, limits, defaults, and how lists and maps merge. Descriptions and CEL rules are left
out. Identical subschemas are stored once, which takes 3 MB to some dozen kB: a PodSpec occurs in the CRDs many times.

The file holds `{"nodes": [...], "kinds": {"apiVersion/Kind": {"schema": index, "columns": [...]}}}`. A node refers to
its children by their index in `nodes`; children come before parents. Its keys are those of JSON schema, shortened where
Kubernetes' extensions are long: `list` and `keys` for `x-kubernetes-list-type` and `-map-keys`, `map` for
`x-kubernetes-map-type`, `open` for `x-kubernetes-preserve-unknown-fields`, `int_or_string`, `additional`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

#: CRD file (without the group) and the version that is served.
SOURCES = (
    ("inferenceservices", "v1beta1"),
    ("servingruntimes", "v1alpha1"),
    ("clusterservingruntimes", "v1alpha1"),
    ("clusterstoragecontainers", "v1alpha1"),
    ("inferencegraphs", "v1alpha1"),
    ("trainedmodels", "v1alpha1"),
    ("llminferenceservices", "v1alpha2"),
    ("llminferenceserviceconfigs", "v1alpha2"),
    ("localmodelcaches", "v1alpha1"),
    ("localmodelnodes", "v1alpha1"),
)
TARGET = Path(__file__).with_name("kserve.json")

_KEPT = {
    "type": "type",
    "default": "default",
    "enum": "enum",
    "nullable": "nullable",
    "required": "required",
    "pattern": "pattern",
    "minimum": "minimum",
    "maximum": "maximum",
    "minLength": "minLength",
    "maxLength": "maxLength",
    "minItems": "minItems",
    "maxItems": "maxItems",
    "x-kubernetes-list-type": "list",
    "x-kubernetes-list-map-keys": "keys",
    "x-kubernetes-map-type": "map",
    "x-kubernetes-int-or-string": "int_or_string",
    "x-kubernetes-preserve-unknown-fields": "open",
}


class _Pool:
    """Nodes by their content: an identical one gets the index of the first."""

    def __init__(self) -> None:
        self.nodes: list[dict[str, Any]] = []
        self._indices: dict[str, int] = {}

    def add(self, schema: Mapping[str, Any]) -> int:
        """Prune a JSON schema, with its children, and return its index."""
        node: dict[str, Any] = {short: schema[name] for name, short in _KEPT.items() if name in schema}
        if "properties" in schema:
            node["properties"] = {name: self.add(child) for name, child in sorted(schema["properties"].items())}
        if "items" in schema:
            node["items"] = self.add(schema["items"])
        if isinstance(schema.get("additionalProperties"), Mapping):
            node["additional"] = self.add(schema["additionalProperties"])
        text = json.dumps(node, sort_keys=True)
        if text not in self._indices:
            self._indices[text] = len(self.nodes)
            self.nodes.append(node)
        return self._indices[text]


def generate(crds: Path) -> bytes:
    """The content of `kserve.json` for a folder of CRD files, the same for the same CRDs.

    Raises:
        OSError: a file cannot be read.
        KeyError, StopIteration: a file is not a CRD that has the version.
    """
    pool = _Pool()
    kinds: dict[str, Any] = {}
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    for plural, served in SOURCES:
        with (crds / f"serving.kserve.io_{plural}.yaml").open("rb") as file:
            spec = yaml.load(file, Loader=loader)["spec"]  # noqa: S506 - either loader is a safe one
        version = next(version for version in spec["versions"] if version["name"] == served)
        kinds[f"{spec['group']}/{served}/{spec['names']['kind']}"] = {
            "schema": pool.add(version["schema"]["openAPIV3Schema"]),
            "columns": version.get("additionalPrinterColumns", []),
        }
    lines = ",\n".join(json.dumps(node, sort_keys=True, separators=(",", ":")) for node in pool.nodes)
    return f'{{"nodes":[\n{lines}\n],\n"kinds":{json.dumps(kinds, indent=1, sort_keys=True)}}}\n'.encode()


def main(arguments: list[str]) -> int:
    """Write the data from the folder of CRDs that the one argument names. Returns 2 when it is not there."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m backend.demo.schema.generate FOLDER_OF_CRDS\n")
        return 2
    TARGET.write_bytes(generate(Path(arguments[0])))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
