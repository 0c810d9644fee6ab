"""Reading kubeconfig files (`v1` Config of client.authentication's kubectl), with errors that name file and line.

Files of a `$KUBECONFIG` list merge as kubectl merges them: the first file that sets a name, or the current context,
wins; relative paths start at the folder of the file that holds them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

from backend.core.errors import ConfigurationError

_MAX_FILE: Final = 4 * 1024 * 1024
_PATHS: Final = {
    "clusters": ("certificate-authority",),
    "users": ("client-certificate", "client-key", "tokenFile"),
}
_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class KubeContext(msgspec.Struct, frozen=True, kw_only=True):
    """A context with the cluster and the user that it names.

    Attributes:
        namespace: where kubectl would look, `default` unless the context says otherwise.
        cluster, user: their tables, with absolute paths.
        known: names of all contexts.
    """

    name: str
    cluster_name: str
    user_name: str
    namespace: str
    cluster: dict[str, Any]
    user: dict[str, Any]
    path: Path
    known: tuple[str, ...]

    @property
    def server(self) -> str:
        """Address of the API server, without a slash at its end."""
        return str(self.cluster["server"]).rstrip("/")

    @property
    def impersonates(self) -> str:
        """Whom the user acts as (`as:`), or empty."""
        return str(self.user.get("as") or "")


def kubeconfig_paths(explicit: Path | None, environment: Mapping[str, str]) -> tuple[Path, ...]:
    """The files to read: the explicit one, those of `$KUBECONFIG`, or `~/.kube/config`."""
    if explicit is not None:
        return (explicit.expanduser(),)
    listed = [part for part in environment.get("KUBECONFIG", "").split(os.pathsep) if part]
    if listed:
        return tuple(Path(part).expanduser() for part in listed)
    return (Path.home() / ".kube" / "config",)


def read_context(paths: Sequence[Path], context: str | None) -> KubeContext:
    """The named context, or the current one. Reads files: call it off the event loop.

    Raises:
        ConfigurationError: no file is there, one cannot be read or is malformed, or the context, its cluster or its
            user is not in them.
    """
    merged: dict[str, dict[str, tuple[Path, dict[str, Any]]]] = {"clusters": {}, "users": {}, "contexts": {}}
    current = ""
    found = False
    for path in paths:
        # kubectl passes over files of the list that do not exist; one named alone must be there.
        if not path.exists():
            continue
        found = True
        document = _read(path)
        for section, entries in merged.items():
            for name, body in _named(document, section, path):
                entries.setdefault(name, (path, body))
        current = current or str(document.get("current-context") or "")
    if not found:
        raise ConfigurationError(
            f"there is no kubeconfig at {', '.join(str(path) for path in paths)}",
            "set KUBECONFIG, or ask for a kubeconfig of the cluster",
        )
    return _chosen(merged, context or current, paths)


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MAX_FILE:
            raise ConfigurationError("it is larger than 4 MiB", "name a kubeconfig", path=path)
        text = path.read_text(encoding="utf-8")
        document = yaml.load(text, Loader=_LOADER)  # noqa: S506 - one of the safe loaders
    except OSError as error:
        raise ConfigurationError(
            f"the kubeconfig cannot be read: {error.strerror}", "make it a file that you can read", path=path
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError("the kubeconfig is not UTF-8 text", "save it as UTF-8", path=path) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise ConfigurationError(
            f"the kubeconfig is not YAML: {getattr(error, 'problem', None) or error}",
            "correct the line",
            path=path,
            line=mark.line + 1 if mark else None,
        ) from error
    except RecursionError as error:
        raise ConfigurationError("the kubeconfig nests too deeply", "name a kubeconfig", path=path) from error
    if not isinstance(document, dict):
        raise ConfigurationError("the kubeconfig holds no table of clusters and users", "name a kubeconfig", path=path)
    return document


def _named(document: Mapping[str, Any], section: str, path: Path) -> list[tuple[str, dict[str, Any]]]:
    entries = document.get(section) or []
    singular = section.removesuffix("s")
    if not isinstance(entries, list):
        raise ConfigurationError(f"{section!r} of the kubeconfig is no list", "correct it", path=path)
    named = []
    for position, entry in enumerate(entries):
        name = entry.get("name") if isinstance(entry, dict) else None
        if not isinstance(name, str) or not name:
            raise ConfigurationError(f"{section}[{position}] of the kubeconfig has no name", "name it", path=path)
        body = entry.get(singular)
        if body is None:
            body = {}
        if not isinstance(body, dict):
            raise ConfigurationError(f"{singular} {name!r} of the kubeconfig is no table", "correct it", path=path)
        named.append((name, _with_absolute_paths(body, section, path)))
    return named


def _with_absolute_paths(body: dict[str, Any], section: str, path: Path) -> dict[str, Any]:
    folder = path.absolute().parent
    changed = dict(body)
    for key in _PATHS.get(section, ()):
        if isinstance(body.get(key), str) and body[key]:
            changed[key] = str(folder / Path(body[key]).expanduser())
    plugin = body.get("exec") if section == "users" else None
    # kubectl: a command with a slash is relative to the file, one without is looked up in PATH.
    if isinstance(plugin, dict) and isinstance(plugin.get("command"), str) and "/" in plugin["command"]:
        changed["exec"] = {**plugin, "command": str(folder / plugin["command"])}
    return changed


def _chosen(
    merged: Mapping[str, Mapping[str, tuple[Path, dict[str, Any]]]], name: str, paths: Sequence[Path]
) -> KubeContext:
    known = tuple(sorted(merged["contexts"]))
    listed = ", ".join(known) or "(none)"
    if not name:
        raise ConfigurationError(
            "the kubeconfig names no current context", f"choose one with --context: {listed}", path=paths[0]
        )
    if name not in merged["contexts"]:
        raise ConfigurationError(f"the kubeconfig has no context {name!r}", f"known contexts: {listed}", path=paths[0])
    path, body = merged["contexts"][name]
    cluster_name, user_name = str(body.get("cluster") or ""), str(body.get("user") or "")
    if cluster_name not in merged["clusters"]:
        raise ConfigurationError(
            f"context {name!r} names cluster {cluster_name!r}, which is not in the kubeconfig", "add it", path=path
        )
    if user_name and user_name not in merged["users"]:
        raise ConfigurationError(
            f"context {name!r} names user {user_name!r}, who is not in the kubeconfig", "add them", path=path
        )
    cluster = merged["clusters"][cluster_name][1]
    server = cluster.get("server")
    if not isinstance(server, str) or not server.startswith(("https://", "http://")):
        raise ConfigurationError(
            f"cluster {cluster_name!r} has no server that starts with https:// or http://", "correct it", path=path
        )
    return KubeContext(
        name=name,
        cluster_name=cluster_name,
        user_name=user_name,
        namespace=str(body.get("namespace") or "default"),
        cluster=cluster,
        user=merged["users"][user_name][1] if user_name else {},
        path=path,
        known=known,
    )
