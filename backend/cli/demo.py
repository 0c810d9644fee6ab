"""`modelyard demo`: the production path on loopback servers, in a home of its own that is removed afterwards.

A child process holds registry and cluster, so that their work does not slow the screen; a second one is the crew: the
yard's worker and the colleagues who decided before. Nothing here is known to the domain or the screen, which see a
configuration file, a kubeconfig and a registry like any other.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from backend.cli.options import GlobalOptions
from backend.cli.screen import show_screen
from backend.cli.session import Session
from backend.core.errors import PartialFailureError, UsageError
from backend.demo import nvml
from backend.demo.supervision import Servers, ServersFailedError, start_crew, start_servers

PERSON: Final = "robin"
COLLEAGUE: Final = "mira"
_ENDS: Final = (signal.SIGHUP, signal.SIGTERM)
_ENDING_LIMIT: Final = 5.0
_INTERRUPTED: Final = 130

_CONFIGURATION: Final = """\
# The demo yard. A yard of your own is configured in the same way: see modelyard init.
[yard]
name = "demo"
database = {database}
confirm = "type-name"
identity = "cluster"

[[registry]]
name = "demo"
url = {url}
insecure = true
username = {username}
password = {{ file = "registry-password" }}

[[rule]]
name = "nim"
registry = "demo"
repositories = ["nim/**"]
tags = {{ versions = ">=1.0" }}
newest = 2
every = "30s"

[[rule]]
name = "engines"
registry = "demo"
repositories = ["vllm/*", "lmsysorg/*", "huggingface/*", "nvidia/*"]
newest = 2
every = "30s"

[[rule]]
name = "models"
registry = "demo"
repositories = ["models/**", "ai/**", "kitops/**", "modelcars/**"]
newest = 2
every = "1m"

[policy]
approvals = 2
break_glass = "24h"
[[policy.gate]]
kind = "signature"
keys = ["demo.pub", "vendor.pub", "release.pub"]
[[policy.gate]]
kind = "vulnerabilities"
max_critical = 0
max_high = 5
max_age = "7d"
[[policy.gate]]
kind = "licence"
allow = ["Apache-2.0", "MIT", "LicenseRef-NVIDIA-*", "LicenseRef-Llama-*"]

[[role]]
name = "operator"
users = ["{person}"]
[[role]]
name = "approver"
users = ["{person}", "{colleague}"]
[[role]]
name = "curator"
users = ["{person}"]
[[role]]
name = "viewer"
users = ["{person}", "{colleague}"]

[[cluster]]
context = "demo"
namespaces = ["llm-prod", "llm-dev"]

[telemetry]
interval = "2s"

[[objective]]
services = ["llm-prod/llama-70b"]
ttft_p95 = "1s"
inter_token_p95 = "100ms"
[[objective]]
services = ["llm-prod/*"]
ttft_p95 = "10s"
error_rate = 0.05
availability = 0.99

[[price]]
gpu = "*H100*"
per_hour = 2.95
[[price]]
gpu = "*A100*"
per_hour = 1.60
"""


class DemoYard(msgspec.Struct, frozen=True):
    """A demo yard that is running. `options` opens it as its person would."""

    home: Path
    options: GlobalOptions

    def seen_by(self, colleague: str) -> GlobalOptions:
        """Options that open the same yard as somebody else."""
        return msgspec.structs.replace(self.options, context=f"demo-{colleague}")


def run(session: Session, *, headless: bool, seed: int) -> int:
    """Walk the demo yard's path, or show its screen.

    Returns:
        The exit status: 0 when every step was seen, or the user left.

    Raises:
        UsageError: an option was given that the demo has no use for.
        PartialFailureError: the demo's servers did not start, or a step failed.
    """
    if session.options.config is not None or session.options.context is not None:
        raise UsageError("demo", "it has its own configuration and cluster", "leave --config and --context out")
    # A terminal that goes away and a polite end are the same as Ctrl-C: everything is cleaned up on the way out.
    for gone in _ENDS:
        signal.signal(gone, _end)
    try:
        with started(session.options, seed, crew=not headless) as demo:
            if headless:
                from backend.cli.demo_walk import walk

                return walk(demo)
            return show_screen(demo.options, session.open_screen)
    except ServersFailedError as error:
        raise PartialFailureError(
            "demo", f"its servers did not start: {error}", "see that loopback ports may be opened, and try again"
        ) from error


def _end(_signal: int, _frame: object) -> None:
    # A terminal that goes away says so more than once, and cleaning up must not be interrupted.
    for gone in _ENDS:
        signal.signal(gone, signal.SIG_IGN)
    # Nobody is left to press Ctrl-C a second time. The children remove what a dead parent leaves.
    last_resort = threading.Timer(_ENDING_LIMIT, os._exit, [_INTERRUPTED])
    last_resort.daemon = True
    last_resort.start()
    # Whoever runs now, a loop, the screen or plain code, has its own way to take Ctrl-C.
    signal.raise_signal(signal.SIGINT)


@contextmanager
def started(options: GlobalOptions, seed: int, *, crew: bool) -> Iterator[DemoYard]:
    """A demo yard while the block runs: servers, home, environment, local GPUs. Call it before a loop runs.

    Args:
        crew: start the worker and the colleague as well.

    Raises:
        ServersFailedError: a child process did not start.
    """
    with ExitStack() as stack:
        home = Path(tempfile.mkdtemp(prefix="modelyard-demo-"))
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        servers = stack.enter_context(start_servers(seed, remove_on_death=home))
        _furnish(home, servers)
        stack.enter_context(_environment(home))
        stack.callback(nvml.install(seed))
        demo = DemoYard(home, msgspec.structs.replace(options, config=home / "config.toml", database=options.database))
        if crew:
            command = [
                sys.executable,
                "-m",
                "backend.cli.demo_crew",
                "--config",
                str(home / "config.toml"),
                "--seed",
                str(seed),
                *(["--db", str(options.database.absolute())] if options.database else []),
            ]
            stack.enter_context(start_crew(command))
        yield demo


def _furnish(home: Path, servers: Servers) -> None:
    """Write the files that a person would have: configuration, password, public key, kubeconfig."""
    registry = servers.registry
    (home / "config.toml").write_text(
        _CONFIGURATION.format(
            database=json.dumps(str(home / "modelyard.db")),
            url=json.dumps(registry.url),
            username=json.dumps(registry.username),
            person=PERSON,
            colleague=COLLEAGUE,
        ),
        encoding="utf-8",
    )
    _write_private(home / "registry-password", registry.password)
    for name, key in {"demo": registry.public_key, **registry.further_keys}.items():
        (home / f"{name}.pub").write_text(key, encoding="ascii")
    _write_private(home / "kubeconfig", json.dumps(_kubeconfig(servers.cluster.url, servers.cluster.tokens)))


def _write_private(file: Path, text: str) -> None:
    file.touch(mode=0o600)
    file.write_text(text, encoding="utf-8")


def _kubeconfig(server: str, tokens: Mapping[str, str]) -> dict[str, Any]:
    people = {"demo": PERSON, **{f"demo-{name}": name for name in (PERSON, COLLEAGUE)}}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "demo",
        "clusters": [{"name": "demo", "cluster": {"server": server}}],
        "users": [{"name": name, "user": {"token": tokens[name]}} for name in (PERSON, COLLEAGUE)],
        "contexts": [
            {"name": context, "context": {"cluster": "demo", "user": name}} for context, name in people.items()
        ],
    }


@contextmanager
def _environment(home: Path) -> Iterator[None]:
    """The program's folders and kubeconfig inside the demo's home, for this process and its children."""
    changed = {
        "KUBECONFIG": str(home / "kubeconfig"),
        "XDG_CONFIG_HOME": str(home / "config"),
        "XDG_DATA_HOME": str(home / "data"),
        "XDG_STATE_HOME": str(home / "state"),
        "DOCKER_CONFIG": str(home / "docker"),
    }
    before = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
