"""From an InferenceService back to the deployment file that makes it, as far as the file has words for it. Pure.

A table tells where each field of the file stands in the manifest. What the table reads equally from the object and from
what an earlier file makes is kept as that file says it: one manifest can be written in several ways. What the file then
makes otherwise is told, path by path.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
from pydantic import ValidationError

from backend.core.errors import UsageError
from backend.serving.deployment import DeploymentFile, explained
from backend.serving.display import without_noise, without_secrets
from backend.serving.manifests import (
    STOP,
    RuntimeInfo,
    build,
)
from backend.serving.ownership import without_defaults
from backend.serving.reversal_fields import NOT_IN_MANIFEST, ROWS, Parts, alike

_LONGEST: Final = 80
Path = tuple[str | int, ...]


class Reversal(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an InferenceService.

    Attributes:
        deployment: None: no file can make it; `lost` tells why.
        lost: what the file does not say or would change, a line each.
    """

    deployment: DeploymentFile | None
    lost: tuple[str, ...]


def reverse(
    live: Mapping[str, Any],
    earlier: DeploymentFile | None = None,
    runtime: RuntimeInfo | None = None,
    runtime_image: str = "",
) -> Reversal:
    """The deployment file of an InferenceService.

    Args:
        live: as the API gives it. earlier: the file that it was last applied from, or None.
        runtime, runtime_image: of the runtime that it names.
    """
    parts = Parts(live, runtime, runtime_image)
    if not parts.runtime_name:
        why = (
            "KServe chooses its runtime by the model's format, and a file names one: set predictor.model.runtime first"
        )
        return Reversal(deployment=None, lost=(why,))
    values = _values(parts, earlier, runtime)
    deployment, refused = _validated(values)
    if deployment is None:
        return Reversal(deployment=None, lost=tuple(refused))
    (made,) = build(deployment, runtime)
    return Reversal(deployment=deployment, lost=(*refused, *_differences(live, made)))


# ---------------------------------------------------------------- making the file


def _values(parts: Parts, earlier: DeploymentFile | None, runtime: RuntimeInfo | None) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    before: Parts | None = None
    if earlier is not None:
        kept = earlier.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        before = Parts(build(earlier, runtime)[0], runtime)
    values: dict[str, Any] = {}
    for field, read in ROWS.items():
        value = read(parts)
        if before is not None and alike(value, read(before)):
            value = _at(kept, field)
        if value is not None:
            _put(values, field, value)
    for field in NOT_IN_MANIFEST:
        alias = DeploymentFile.model_fields[field].alias or field
        if alias in kept:
            values[alias] = kept[alias]
    return values


def _validated(values: dict[str, Any]) -> tuple[DeploymentFile | None, list[str]]:
    """The file, without the fields that it may not hold, and why it may not."""
    refused: list[str] = []
    for _ in range(len(ROWS)):
        try:
            return DeploymentFile.model_validate(values), refused
        except ValidationError as error:
            problem: UsageError = explained(error, "the file", {})
            first = error.errors()[0]["loc"]
            field = str(first[0]) if first else ""
            if field in {"name", "namespace", "image", "runtime", ""}:
                return None, [*refused, problem.why]
            refused.append(f"{problem.why}: it is left out")
            values = {key: value for key, value in values.items() if key != field}
    return None, refused


def _at(values: Mapping[str, Any], field: str) -> Any:
    head, _, rest = field.partition(".")
    held = values.get(head)
    return held if not rest else _at(held, rest) if isinstance(held, Mapping) else None


def _put(values: dict[str, Any], field: str, value: Any) -> None:
    head, _, rest = field.partition(".")
    if rest:
        _put(values.setdefault(head, {}), rest, value)
    else:
        values[head] = value


# ---------------------------------------------------------------- what is lost


def _differences(live: Mapping[str, Any], made: Mapping[str, Any]) -> Iterator[str]:
    """What the file would make otherwise, a line for each path."""
    theirs = _plain(without_secrets(without_noise(without_defaults(live))))
    ours = _plain(without_noise(made))
    for path, value in theirs.items():
        if path not in ours:
            if path == ("metadata", "annotations", STOP):
                yield "it is stopped, and an apply of the file does not start it"
            elif not _is_ours(path):
                yield f"{_spoken(path)}: {_short(value)} is not in the file"
        elif not alike(value, ours[path]):
            yield f"{_spoken(path)}: it is {_short(value)}, and the file makes it {_short(ours[path])}"
    for path, value in ours.items():
        if path not in theirs and path[-1] != "app.kubernetes.io/managed-by":
            yield f"{_spoken(path)}: it is not set, and the file makes it {_short(value)}"


def _is_ours(path: Path) -> bool:
    """What others write into any object, and no file of a person holds."""
    return path[:2] == ("metadata", "finalizers") or path[:2] == ("metadata", "ownerReferences")


def _plain(value: Any, path: Path = ()) -> dict[Path, Any]:
    """Every leaf by its path; items that have a name stand under it, whatever their order."""
    if isinstance(value, Mapping) and value:
        found: dict[Path, Any] = {}
        for key, held in value.items():
            found.update(_plain(held, (*path, str(key))))
        return found
    if isinstance(value, list) and value and all(isinstance(one, Mapping) and one.get("name") for one in value):
        found = {}
        for one in value:
            held = {key: each for key, each in one.items() if key != "name"}
            found.update(_plain(held, (*path, f"[{one['name']}]")) if held else {(*path, f"[{one['name']}]"): ""})
        return found
    if isinstance(value, list) and any(isinstance(one, Mapping) for one in value):
        found = {}
        for position, one in enumerate(value):
            found.update(_plain(one, (*path, position)))
        return found
    return {path: value}


def _spoken(path: Path) -> str:
    told = ""
    for part in path:
        text = f"[{part}]" if isinstance(part, int) else part
        told += text if text.startswith("[") else f".{text}"
    return told.lstrip(".")


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return f"{text[:_LONGEST]}…" if len(text) > _LONGEST else text or "empty"
