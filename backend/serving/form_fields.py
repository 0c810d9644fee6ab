"""The form's fields: where each stands in the deployment file, how it is written, and what is wrong with it. Pure."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import yaml
from pydantic import ValidationError

from backend.core.errors import UsageError
from backend.core.views import FormCheckView, FormProblemView, OfferView
from backend.serving import form_texts as texts
from backend.serving.cautions import cautions, not_fixed
from backend.serving.deployment import DeploymentFile, parse, to_yaml
from backend.serving.form_texts import PLAIN, Text
from backend.serving.queries import unscoped
from backend.serving.yaml_lines import dump, read_document


class FormField(NamedTuple):
    """A field.

    Attributes:
        id: its path in the file, with dots. closed: the only texts that may stand in it; empty: any.
    """

    id: str
    section: str
    label: str
    hint: str = ""
    closed: tuple[str, ...] = ()
    text: Text = PLAIN

    @property
    def path(self) -> tuple[str, ...]:
        """Keys from the top of the file."""
        return tuple(self.id.split("."))


SECTIONS: Final = ("What", "Where", "Resources", "Scaling", "Rollout", "Access")
FIELDS: Final = (
    FormField("name", "What", "Service name", "lower-case letters, digits and dashes"),
    FormField("namespace", "What", "Namespace"),
    FormField("runtime", "What", "Runtime", "custom: the image brings its own containers"),
    FormField("modelFormat", "What", "Model format", "empty: the first that the runtime serves"),
    FormField("model.storageUri", "What", "Weights", "s3://, gs://, pvc://, hf://, oci://...; empty: the image's own"),
    FormField("model.revision", "What", "Revision", "fixes weights that are named by a repository"),
    FormField("model.profile", "What", "NIM profile", "fixes the weights that a NIM chooses"),
    FormField("command", "What", "Command", "empty: that of the runtime or the image", text=texts.WORDS),
    FormField("args", "What", "Arguments", "as on a command line", text=texts.WORDS),
    FormField("env", "What", "Environment", "NAME=VALUE or NAME=secret:SECRET/KEY", text=texts.VARIABLES),
    FormField("mode", "Where", "Mode", closed=("Standard", "Knative")),
    FormField("environment", "Where", "Environment", "of the policy, that the namespace has to belong to"),
    FormField("nodeSelector", "Where", "Node selector", "LABEL=VALUE ...", text=texts.PAIRS),
    FormField("tolerations", "Where", "Tolerations", "KEY[=VALUE][:EFFECT] ...", text=texts.TOLERATIONS),
    FormField("priorityClass", "Where", "Priority class"),
    FormField("queue", "Where", "Kueue queue"),
    FormField("topologySpread", "Where", "Spread over", "LABEL[:SKEW], with ! where it must hold", text=texts.SPREAD),
    FormField("serviceAccount", "Where", "Service account"),
    FormField("imagePullSecrets", "Where", "Pull secrets", text=texts.WORDS),
    FormField("resources.gpu", "Resources", "GPUs", "of each pod"),
    FormField("resources.gpuResource", "Resources", "GPU resource", "nvidia.com/gpu or nvidia.com/mig-PROFILE"),
    FormField("resources.cpu", "Resources", "CPU"),
    FormField("resources.cpuLimit", "Resources", "CPU limit", "empty: as much as is asked for"),
    FormField("resources.memory", "Resources", "Memory"),
    FormField("resources.memoryLimit", "Resources", "Memory limit", "empty: as much as is asked for"),
    FormField("resources.ephemeralStorage", "Resources", "Local storage", "for weights that are fetched"),
    FormField("shm", "Resources", "Shared memory", "of own containers"),
    FormField("workers", "Resources", "Over nodes", "NODES x GPUS; empty: a replica is one pod", text=texts.WORKERS),
    FormField("replicas.min", "Scaling", "Replicas, least", "0 scales to zero where the mode can"),
    FormField("replicas.max", "Scaling", "Replicas, most", "of an autoscaler"),
    FormField("autoscaling.class", "Scaling", "Autoscaler", closed=("none", "hpa", "keda", "external")),
    FormField("autoscaling.metric", "Scaling", "Metric", closed=("", "cpu", "memory", "concurrency", "rps")),
    FormField("autoscaling.target", "Scaling", "Target", "percent with hpa; requests a replica in Knative mode"),
    FormField("autoscaling.concurrency", "Scaling", "Concurrency", "of Knative, the most at once; 0: no bound"),
    FormField("autoscaling.serverAddress", "Scaling", "Prometheus", "of keda: http://HOST:PORT"),
    FormField("autoscaling.query", "Scaling", "Query", "of keda; empty: what runs and waits at this service"),
    FormField("autoscaling.value", "Scaling", "Value", "of keda, aimed at for each replica"),
    FormField("autoscaling.scaleDownSeconds", "Scaling", "Scale down after", "of keda, seconds"),
    FormField("strategy", "Rollout", "Strategy", closed=("", "Recreate", "RollingUpdate")),
    FormField("terminationGraceSeconds", "Rollout", "Grace, seconds", "for streams of a pod that ends"),
    FormField("health.startupSeconds", "Rollout", "Startup, seconds", "before a load counts as failed"),
    FormField("canary.steps", "Rollout", "Canary steps", "percent, rising: 10 50", text=texts.NUMBERS),
    FormField("canary.hold", "Rollout", "Hold each", "such as 10m"),
    FormField("validation.latency", "Rollout", "Answer within", "of the validation's request, such as 2s"),
    FormField("validation.errorRate", "Rollout", "Errors, at most", "share of 0 to 1"),
    FormField("validation.window", "Rollout", "Watched for", "such as 5m"),
    FormField("onFailure", "Rollout", "When it fails", closed=("propose", "rollback")),
    FormField("visibility", "Access", "Visibility", closed=("public", "cluster-local")),
    FormField("timeout", "Access", "Timeout, seconds", "of a request at the gateway"),
    FormField("port", "Access", "Port"),
    FormField("health.live", "Access", "Live page", "empty: that of the engine"),
    FormField("health.ready", "Access", "Ready page", "empty: that of the engine"),
)  # fmt: skip
#: What the values of closed fields mean.
MEANINGS: Final[dict[str, dict[str, str]]] = {
    "mode": {
        "Standard": "a Deployment: replaced in place, scaled by hand, HPA or KEDA",
        "Knative": "revisions: traffic is split, scales to zero and with requests",
    },
    "autoscaling.class": {
        "none": "as many as are asked for; in Knative mode its own",
        "hpa": "by CPU or memory", "keda": "by what runs and waits at the model server", "external": "by another",
    },
    "autoscaling.metric": {
        "": "the autoscaler's own", "cpu": "of hpa", "memory": "of hpa", "concurrency": "of Knative mode",
        "rps": "of Knative mode: requests a second",
    },
    "strategy": {
        "": "Recreate for one replica, else in turn", "Recreate": "all stop before new ones start",
        "RollingUpdate": "in turn, none beside them: no further GPU is needed",
    },
    "onFailure": {
        "propose": "a person confirms the return to the last good snapshot",
        "rollback": "the return to the last good snapshot is made at once",
    },
    "visibility": {"public": "by the gateway, too", "cluster-local": "inside the cluster alone"},
}  # fmt: skip
BY_ID: Final = {field.id: field for field in FIELDS}
# Where what is wrong with a table as a whole is told.
_TOLD_AT: Final = {
    (): "name", ("autoscaling",): "autoscaling.class", ("replicas",): "replicas.min",
    ("resources",): "resources.cpuLimit", ("canary",): "canary.steps", ("validation",): "validation.window",
    ("model",): "model.storageUri", ("health",): "health.live",
}  # fmt: skip


def closed_offers(field: FormField) -> tuple[OfferView, ...]:
    """The values of a closed field, with what they mean; empty: it is open."""
    meanings = MEANINGS.get(field.id, {})
    return tuple(OfferView(value=value, note=meanings.get(value, "")) for value in field.closed)


def values_of(deployment: DeploymentFile) -> dict[str, str]:
    """The text of every field."""
    tree = deployment.model_dump(mode="json", by_alias=True, exclude_none=True)
    values = {}
    for field in FIELDS:
        found = _at(tree, field.path)
        values[field.id] = "" if found is None else field.text.write(found)
    return values


def values_of_text(text: str) -> dict[str, str]:
    """The text of every field of a deployment file.

    Raises:
        UsageError: the file is wrong; names the line.
    """
    return values_of(parse(text))


def check_form(values: Mapping[str, str], base: str) -> FormCheckView:
    """What becomes of the form's values.

    Args:
        base: the deployment file that the form was opened on, YAML; it gives what the form has no field for.
    """
    problems: dict[str, str] = {}
    tree = _tree(base)
    for field in FIELDS:
        text = values.get(field.id, "").strip()
        try:
            _put(tree, field.path, field.text.read(text) if text else None)
        except ValueError as error:
            problems[field.id] = str(error)
            _put(tree, field.path, None)
    try:
        deployment = DeploymentFile.model_validate(tree)
    except ValidationError as error:
        for name, why in _problems(error):
            problems.setdefault(name, why)
        return FormCheckView(problems=_ordered(problems), deployment=dump(tree))
    query = deployment.autoscaling.query
    if query and (reach := unscoped(query, deployment.namespace)):
        problems.setdefault("autoscaling.query", reach)
    told = (*(f"not fixed: {each}" for each in not_fixed(deployment)), *cautions(deployment, None, None, ""))
    return FormCheckView(
        problems=_ordered(problems),
        deployment=to_yaml(deployment),
        # The form shows by itself which runtimes there are.
        cautions=tuple(each for each in told if not each.startswith("the runtime ")),
    )


def _problems(error: ValidationError) -> Iterator[tuple[str, str]]:
    for problem in error.errors(include_url=False, include_input=False):
        location = tuple(str(part) for part in problem["loc"] if isinstance(part, str))
        yield _field_at(location), _why(problem["type"], problem["msg"], problem.get("ctx") or {})


def _why(kind: str, message: str, context: Mapping[str, Any]) -> str:
    """Pydantic's reasons in the form's words."""
    if kind == "missing":
        return "it is missing"
    if kind in {"int_parsing", "int_type", "int_from_float"}:
        return "write a whole number"
    if kind in {"float_parsing", "float_type"}:
        return "write a number"
    if kind == "greater_than_equal":
        return f"it is {context['ge']:g} at least"
    if kind == "less_than_equal":
        return f"it is {context['le']:g} at most"
    if kind == "literal_error":
        return f"it is one of {context['expected']}"
    if kind == "string_pattern_mismatch":
        return f"it has to be of the form {context['pattern']}"
    return message.removeprefix("Value error, ")


def _field_at(location: tuple[str, ...]) -> str:
    """The field that a location of the file belongs to."""
    for length in range(len(location), -1, -1):
        start = location[:length]
        if ".".join(start) in BY_ID:
            return ".".join(start)
        if start in _TOLD_AT:
            return _TOLD_AT[start]
    return FIELDS[0].id


def _ordered(problems: Mapping[str, str]) -> tuple[FormProblemView, ...]:
    return tuple(FormProblemView(field=field.id, why=problems[field.id]) for field in FIELDS if field.id in problems)


def _tree(base: str) -> dict[str, Any]:
    try:
        value, _ = read_document(base, "deployment file")
    except (UsageError, yaml.YAMLError):
        return {}
    return copy.deepcopy(value) if isinstance(value, dict) else {}


def _at(tree: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        if not isinstance(tree, Mapping):
            return None
        tree = tree.get(key)
    return tree


def _put(tree: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    """Set a value; None takes it away, and tables that it leaves empty."""
    place: Any = tree
    for key in path[:-1]:
        if not isinstance(place.get(key), dict):
            if value is None:
                return
            place[key] = {}
        place = place[key]
    if value is None:
        place.pop(path[-1], None)
    else:
        place[path[-1]] = value
    if len(path) > 1 and not _at(tree, path[:-1]):
        _put(tree, path[:-1], None)
