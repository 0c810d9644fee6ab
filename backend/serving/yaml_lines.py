"""Reading one YAML document from a person, with the line of every key and without what YAML can hide in it."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Final, TypeAlias

import yaml

from backend.core.errors import UsageError

Path: TypeAlias = tuple[str | int, ...]

_MAX_TEXT: Final = 1024 * 1024
_MAX_DEPTH: Final = 32
_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _PlainLoader(yaml.SafeLoader):
    """Safe, and takes times for the text that they are."""


_PlainLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_document(text: str, source: str) -> tuple[Any, dict[Path, int]]:
    """The document's value, and the 1-based line of each of its keys and items.

    Args:
        source: names the text in errors, such as its path.

    Raises:
        UsageError: it is no YAML, holds several documents, aliases or the same key twice, or is too large or deep.
    """
    if len(text) > _MAX_TEXT:
        raise UsageError(source, "it is larger than 1 MiB", "name a deployment file")
    try:
        _require_plain(text, source)
        loader = _PlainLoader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None, {}
            lines: dict[Path, int] = {(): node.start_mark.line + 1}
            _collect(node, (), lines, source)
            return loader.construct_document(node), lines
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "it is not YAML"
        raise UsageError(_at(source, mark.line + 1 if mark else None), f"not YAML: {problem}", "correct it") from error
    except ValueError as error:
        raise UsageError(source, f"a value cannot be read: {str(error)[:200]}", "correct it") from error


def _require_plain(text: str, source: str) -> None:
    """Refuse nesting and aliases before anything is built: both can make a small text a large value."""
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        line = event.start_mark.line + 1 if event.start_mark else None
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise UsageError(_at(source, line), "it uses YAML anchors or aliases", "write the values out")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _MAX_DEPTH:
                raise UsageError(_at(source, line), f"it nests deeper than {_MAX_DEPTH}", "name a deployment file")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _collect(node: yaml.Node, path: Path, lines: dict[Path, int], source: str) -> None:
    if isinstance(node, yaml.SequenceNode):
        for position, item in enumerate(node.value):
            lines[(*path, position)] = item.start_mark.line + 1
            _collect(item, (*path, position), lines, source)
    elif isinstance(node, yaml.MappingNode):
        seen: set[Hashable] = set()
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise UsageError(_at(source, line), "a key is no plain text", "correct it")
            if key.value in seen:
                raise UsageError(_at(source, line), f"the key {key.value!r} stands there twice", "remove one")
            seen.add(key.value)
            lines[(*path, key.value)] = line
            _collect(value, (*path, key.value), lines, source)


def line_of(lines: dict[Path, int], path: Path) -> int | None:
    """The line of a key, or of the nearest one around it."""
    for length in range(len(path), -1, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return None


def _at(source: str, line: int | None) -> str:
    return f"{source}:{line}" if line is not None else source


def dump(value: Any) -> str:
    """A JSON-like value as YAML in the order of its keys, one key a line."""
    return yaml.dump(
        value, Dumper=_PlainDumper, sort_keys=False, default_flow_style=False, allow_unicode=True, width=4096
    )


class _PlainDumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Safe, and without anchors for values that occur twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: Any, text: str) -> Any:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_PlainDumper.add_representer(str, _text)
