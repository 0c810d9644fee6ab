"""What a single value of a deployment file may be: names, quantities, references, each with the reason when it is not.

Lengths and patterns are those of KServe v0.20's webhook and controller, and of Kubernetes' API.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer

from backend.core.errors import UsageError
from backend.core.references import ImageReference, parse_reference
from backend.core.settings import duration_text, parse_duration

# KServe v0.20, webhook of InferenceService: the name, and how long it may be.
_NAME: Final = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?\Z")
MAX_NAME: Final = 48
#: In Standard mode; longer ones are admitted and fail in the controller.
MAX_NAME_AND_NAMESPACE: Final = 52
#: The runtime of a service that brings its own containers.
OWN_CONTAINERS: Final = "custom"
_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\Z")
_SUBDOMAIN: Final = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\Z")
# Kubernetes' qualified names: an optional DNS prefix, and a name of at most 63 characters; label values likewise.
_QUALIFIED: Final = re.compile(
    r"(?:[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?\Z"
)
_LABEL_VALUE: Final = re.compile(r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?\Z")
# Kubernetes resource.Quantity, positive.
_QUANTITY: Final = re.compile(r"[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?\Z")
_RESOURCE: Final = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?\Z")
#: Of KServe's list of GPU resources (constants.DefaultGPUResourceTypeList): others, MIG's among them, its webhook
#: refuses for a replica over several nodes.
WORKER_GPUS: Final = ("nvidia.com/gpu", "amd.com/gpu", "intel.com/gpu", "habana.ai/gaudi")
MIG_PREFIX: Final = "nvidia.com/mig-"
# NVIDIA's device plugin, "mixed" strategy: slices and memory, with a compute slice before and attributes behind.
_MIG_PROFILE: Final = re.compile(r"(?:[1-7]c\.)?[1-7]g\.[0-9]{1,3}gb(?:\.[a-z]+(?:\.[a-z]+)?)?\Z")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
#: Names of environment variables that hold secrets.
SECRET_WORD: Final = re.compile(r"(TOKEN|PASSWORD|PASSWD|SECRET|API_?KEY|PRIVATE_?KEY|CREDENTIAL)", re.I)
_SCHEMES: Final = ("gs", "s3", "pvc", "file", "http", "https", "hdfs", "webhdfs", "oci", "oci+native", "hf")


def service_name(text: str) -> str:
    """A name that KServe takes for a service.

    Raises:
        ValueError: it is too long or has other characters.
    """
    if len(text) > MAX_NAME:
        raise ValueError(f"KServe takes at most {MAX_NAME} characters, this has {len(text)}")
    if not _NAME.match(text):
        raise ValueError("KServe takes lower-case letters, digits and dashes, a letter first and no dash last")
    return text


def object_name(text: str) -> str:
    """A name of a Kubernetes object.

    Raises:
        ValueError: it is none.
    """
    if not _SUBDOMAIN.match(text):
        raise ValueError("it is no name of a Kubernetes object")
    return text


def _namespace(text: str) -> str:
    if not _LABEL.match(text):
        raise ValueError("a namespace has 1 to 63 lower-case letters, digits and dashes, no dash at its ends")
    return text


def _optional_name(text: str) -> str:
    return object_name(text) if text else text


def _label_key(text: str) -> str:
    if not _QUALIFIED.match(text):
        raise ValueError("it is no key of a label: write NAME or DOMAIN/NAME, a name of at most 63 characters")
    return text


def _label_value(text: str) -> str:
    if not _LABEL_VALUE.match(text):
        raise ValueError("a label's value has at most 63 letters, digits, dashes, dots and underscores")
    return text


def _scalar(value: object) -> object:
    """YAML reads `8` as a number and `true` as a truth value; quantities and labels are text."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


def _number(value: object) -> object:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _is_quantity(text: str) -> str:
    if not _QUANTITY.match(text):
        raise ValueError('write a quantity of Kubernetes, such as "8", "500m" or "48Gi"')
    return text


def _gpu_resource(text: str) -> str:
    if not _RESOURCE.match(text):
        raise ValueError("it is no name of an extended resource: write nvidia.com/gpu or nvidia.com/mig-1g.10gb")
    if text.startswith(MIG_PREFIX) and not _MIG_PROFILE.match(text.removeprefix(MIG_PREFIX)):
        raise ValueError("it is no MIG profile: write nvidia.com/mig- and a profile such as 1g.10gb or 3g.40gb")
    return text


def _image(text: str) -> str:
    try:
        reference = parse_reference(text)
    except UsageError as error:
        raise ValueError(error.why) from error
    if not isinstance(reference, ImageReference) or reference.digest is None:
        raise ValueError("an image is deployed by its digest only: write host/repository@sha256:...")
    if not any(mark in reference.registry for mark in ".:") and reference.registry != "localhost":
        raise ValueError(f"{reference.registry!r} is no host, and the cluster knows no configured names")
    return f"{reference.registry}/{reference.repository}@{reference.digest}"


def _storage_uri(text: str) -> str:
    scheme, separator, rest = text.partition("://")
    if text and (not separator or scheme not in _SCHEMES or not rest):
        raise ValueError(f"KServe takes addresses that start with {', '.join(_SCHEMES)} and ://")
    return text


def _variable_name(text: str) -> str:
    if text == "PYTHONPATH":
        raise ValueError("KServe refuses PYTHONPATH")
    if not _VARIABLE.match(text):
        raise ValueError("a variable's name has letters, digits and underscores, no digit first")
    return text


Name = Annotated[str, AfterValidator(service_name)]
NamespaceName = Annotated[str, AfterValidator(_namespace)]
ObjectName = Annotated[str, AfterValidator(object_name)]
OptionalName = Annotated[str, AfterValidator(_optional_name)]
LabelKey = Annotated[str, AfterValidator(_label_key)]
LabelValue = Annotated[str, BeforeValidator(_scalar), AfterValidator(_label_value)]
Quantity = Annotated[str, BeforeValidator(_number), AfterValidator(_is_quantity)]
GpuResource = Annotated[str, AfterValidator(_gpu_resource)]
Image = Annotated[str, AfterValidator(_image)]
StorageUri = Annotated[str, AfterValidator(_storage_uri)]
VariableName = Annotated[str, Field(max_length=256), AfterValidator(_variable_name)]
Argument = Annotated[str, Field(max_length=4096)]
#: Written as `30s`, `10m`, `2h`.
DurationText = Annotated[timedelta, BeforeValidator(parse_duration), PlainSerializer(duration_text)]
