"""The templates that come with the program, and those of the configuration folder.

Facts of engines: the reference page on KServe, "Shapes"; SGLang's server arguments (`--enable-metrics`, `/health`);
text-generation-inference's launcher (`--port`, `--hostname`, `/health`, `/metrics`).
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Final

import msgspec
from pydantic import ValidationError

from backend.core.errors import NotFoundError, UsageError
from backend.core.toml_lines import key_lines
from backend.serving.deployment import explained
from backend.serving.runtime_templates import RuntimeTemplate, keys_at
from backend.serving.yaml_lines import read_document

#: Beside the configuration file.
FOLDER: Final = "runtimes"
BUILT_IN: Final = "built in"
_LARGEST: Final = 1024 * 1024
_ENDINGS: Final = (".yaml", ".yml", ".toml")
_NAMED: Final = "--served-model-name={{.Name}}"
_HEALTH: Final = {"live": "/health", "ready": "/health"}


def _vllm(name: str, title: str, types: list[str], *more: str) -> dict[str, Any]:
    return {
        "name": name,
        "version": "1",
        "title": title,
        "engine": "vllm",
        "types": types,
        "images": ["**/vllm-openai", "**/vllm*"],
        "formats": [{"name": "vLLM", "version": "1"}],
        "protocols": ["v1", "v2"],
        "command": ["vllm", "serve"],
        "args": ["--port=8000", _NAMED, *more],
        "ports": [{"port": 8000}],
        "probes": dict(_HEALTH),
        "metrics": {"port": 8000, "path": "/metrics"},
        "notes": ["the service's arguments come after these: name the model and its revision there"],
    }


_TEMPLATES: Final[tuple[dict[str, Any], ...]] = (
    _vllm("vllm-chat", "vLLM, chat and completion", ["chat", "completion", "vision"]),
    _vllm("vllm-embedding", "vLLM, embedding", ["embedding"], "--runner=pooling"),
    _vllm("vllm-reranking", "vLLM, reranking", ["reranking"], "--runner=pooling"),
    {
        "name": "nim",
        "version": "1",
        "title": "NVIDIA NIM",
        "engine": "nim",
        "types": ["chat", "completion", "embedding", "reranking", "vision"],
        "images": ["nim/**", "**/nim/**"],
        "formats": [{"name": "nvidia-nim"}],
        "protocols": ["v2", "grpc-v2"],
        "env": [
            {"name": "NIM_CACHE_PATH", "value": "/opt/nim/.cache"},
            {"name": "NGC_API_KEY", "secretKeyRef": {"name": "nvidia-nim-secrets", "key": "NGC_API_KEY"}},
        ],
        "imagePullSecrets": ["ngc-secret"],
        "ports": [{"port": 8000}],
        "probes": {
            "live": "/v1/health/live",
            "ready": "/v1/health/ready",
            "startupSeconds": 1200,
            "initialDelay": 30,
        },
        "metrics": {"port": 8000, "path": "/v1/metrics"},
        "mounts": [{"name": "nim-cache", "path": "/opt/nim/.cache"}],
        "notes": [
            "the cache goes with the pod: give --claim nim-cache=NAME to keep the weights over restarts of pods",
            "set model.profile in the deployment file: NIM else chooses one by the GPUs that it finds",
        ],
    },
    {
        "name": "triton-trtllm",
        "version": "1",
        "title": "Triton with TensorRT-LLM",
        "engine": "triton",
        "types": ["chat", "completion"],
        "images": ["**/tritonserver"],
        "formats": [{"name": "triton", "version": "2"}],
        "protocols": ["v2", "grpc-v2"],
        "args": [
            "tritonserver",
            "--model-store=/mnt/models",
            "--http-port=8080",
            "--grpc-port=9000",
            "--metrics-port=8002",
        ],
        "ports": [
            {"port": 8080, "name": "http"},
            {"port": 9000, "name": "h2c-grpc"},
            {"port": 8002, "name": "metrics"},
        ],
        "probes": {"live": "/v2/health/live", "ready": "/v2/health/ready"},
        "metrics": {"port": 8002, "path": "/metrics"},
        "notes": ["use a build with TensorRT-LLM (-trtllm-python-py3), and engines made for the GPU and its release"],
    },
    {
        "name": "sglang",
        "version": "1",
        "title": "SGLang, chat and completion",
        "engine": "sglang",
        "types": ["chat", "completion", "vision"],
        "images": ["**/sglang*"],
        "formats": [{"name": "sglang", "version": "1"}],
        "protocols": ["v1", "v2"],
        "command": ["python3", "-m", "sglang.launch_server"],
        "args": ["--host=0.0.0.0", "--port=8000", _NAMED, "--enable-metrics"],
        "ports": [{"port": 8000}],
        "probes": dict(_HEALTH),
        "metrics": {"port": 8000, "path": "/metrics"},
        "notes": ["name the model by --model-path in the service's arguments"],
    },
    {
        "name": "tgi",
        "version": "1",
        "title": "Text Generation Inference",
        "engine": "tgi",
        "types": ["chat", "completion"],
        "images": ["**/text-generation-inference"],
        "formats": [{"name": "huggingface", "version": "1"}],
        "protocols": ["v1", "v2"],
        "args": ["--hostname=0.0.0.0", "--port=8000"],
        "ports": [{"port": 8000}],
        "probes": dict(_HEALTH),
        "metrics": {"port": 8000, "path": "/metrics"},
        "notes": ["name the model by --model-id and its revision by --revision in the service's arguments"],
    },
    {
        "name": "container",
        "version": "1",
        "title": "Any container that listens on port 8000",
        "engine": "other",
        "formats": [{"name": "custom", "version": "1"}],
        "protocols": ["v1", "v2"],
        "ports": [{"port": 8000}],
        "notes": ["nothing is known of its pages: an open port counts as health; a template of your own names them"],
    },
)


class Catalogue(msgspec.Struct, frozen=True):
    """Templates by name with where they come from, and what is wrong with files that hold none."""

    templates: dict[str, tuple[RuntimeTemplate, str]]
    problems: tuple[UsageError, ...]

    def find(self, name: str) -> RuntimeTemplate:
        """A template.

        Raises:
            UsageError: the file of that name is wrong. NotFoundError: there is none.
        """
        if name in self.templates:
            return self.templates[name][0]
        for problem in self.problems:
            if Path(problem.what.partition(":")[0]).stem == name:
                raise problem
        raise NotFoundError(f"template {name}", f"known: {', '.join(sorted(self.templates))}", "name one of these")


def catalogue(folder: Path | None) -> Catalogue:
    """The templates that there are; reads files.

    Args:
        folder: of the configuration; None: only what comes with the program.
    """
    found = {}
    for values in _TEMPLATES:
        template = RuntimeTemplate.model_validate(values)
        found[template.name] = (template, BUILT_IN)
    problems: list[UsageError] = []
    for path in _files(folder):
        try:
            template = read_template(path)
            if template.name in found:
                told = found[template.name][1]
                raise UsageError(
                    str(path), f"template {template.name!r} is there already ({told})", "name it otherwise"
                )
        except UsageError as error:
            problems.append(error)
        else:
            found[template.name] = (template, str(path))
    return Catalogue(found, tuple(problems))


def read_template(path: Path) -> RuntimeTemplate:
    """Read a template's file; its ending tells YAML or TOML.

    Raises:
        UsageError: it cannot be read, or a key or value is wrong; names the line.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise UsageError(str(path), "it is larger than 1 MiB", "name a template")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(str(path), error.strerror or str(error), "make it readable, or take it away") from error
    except UnicodeDecodeError as error:
        raise UsageError(str(path), "it is not UTF-8 text", "save it as UTF-8") from error
    value, lines = _toml(text, path) if path.suffix == ".toml" else read_document(text, str(path))
    if not isinstance(value, dict):
        raise UsageError(str(path), "it holds no table of keys", "start with name:, version: and title:")
    try:
        return RuntimeTemplate.model_validate(value)
    except ValidationError as error:
        raise explained(error, str(path), lines, keys_at) from error


def _files(folder: Path | None) -> list[Path]:
    if folder is None:
        return []
    try:
        return sorted(path for path in (folder / FOLDER).iterdir() if path.suffix in _ENDINGS)
    except OSError:
        # There is no such folder, which most configurations do without.
        return []


def _toml(text: str, path: Path) -> tuple[Any, dict[tuple[str | int, ...], int]]:
    try:
        value = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(str(path), f"not TOML: {error}", "correct it") from error
    return value, key_lines(text)
