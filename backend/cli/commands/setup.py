"""`init`, `doctor`, `worker` and `demo`."""

from __future__ import annotations

from typing import Annotated

import typer

from backend.cli.output import Column, note
from backend.cli.session import Session
from backend.config import configuration_path
from backend.core.errors import ConflictError, PartialFailureError, ReadOnlyError, StoreUnwritableError
from backend.core.views import CheckView

_TEMPLATE = """\
# Modelyard's configuration. Every key is explained in the README; unknown keys are errors.
[yard]
name = "my yard"

# A registry to synchronise from. Secrets are named, never written here.
#[[registry]]
#name = "ngc"
#url = "https://nvcr.io"
#username = "$oauthtoken"
#password = { env = "NGC_API_KEY" }

# What to take in from it. An absent key means all.
#[[rule]]
#name = "nim-llama"
#registry = "ngc"
#repositories = ["nim/meta/llama-3.1-8b-instruct"]
#tags = { versions = ">=1.3" }

# What must hold before an image may be approved, and by how many people.
[policy]
approvals = 1
#[[policy.gate]]
#kind = "vulnerabilities"
#max_critical = 0
#max_age = "7d"

# The scanner that `modelyard evidence scan` runs; without this table trivy, else grype, whichever is on PATH.
#[scanner]
#command = "/usr/local/bin/trivy"
#timeout = "10m"

# Who is told outside of the screen: a candidate waits, somebody broke the glass, an approval ends soon.
#[[notify.target]]
#kind = "webhook"
#url = "https://chat.example.org/hooks/modelyard"
#secret = { env = "MODELYARD_HOOK_SECRET" }

# The cluster: a context of your kubeconfig. Without this table, the current context.
#[[cluster]]
#context = "prod"
"""


def add_to(application: typer.Typer) -> None:
    """Add `init`, `doctor`, `worker` and `demo`."""
    application.command("init")(_init)
    application.command("doctor")(_doctor)
    application.command("worker")(_worker)
    application.command("demo")(_demo)


def _init(context: typer.Context) -> None:
    """Write a first configuration file, and never over an existing one."""
    session: Session = context.obj
    file = configuration_path(session.options.config)
    if session.options.read_only:
        raise ReadOnlyError(f"init of {file}", "it was asked for with --read-only", "leave --read-only out")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("x", encoding="utf-8") as opened:
            opened.write(_TEMPLATE)
    except FileExistsError as error:
        raise ConflictError(f"init of {file}", "it is there already", "edit it, or give another --config") from error
    except OSError as error:
        raise StoreUnwritableError(
            f"init of {file}", error.strerror or str(error), "name a folder that you can write to with --config"
        ) from error
    session.print.item({"path": str(file)}, f"wrote {file}\nedit it, then run modelyard doctor")


_CHECKS: list[Column[CheckView]] = [
    ("CHECK", lambda check: check.name),
    ("STATE", lambda check: check.state),
    ("DETAIL", lambda check: check.detail),
    ("WHAT TO DO", lambda check: check.action),
]


def _doctor(context: typer.Context) -> None:
    """Check configuration, database, registries, cluster, rights and GPU sources. Exit 1 when one fails."""
    session: Session = context.obj
    checks = session.run(lambda yard: yard.doctor())
    session.print.rows(checks, _CHECKS, empty="nothing to check")
    failed = [check for check in checks if check.state == "failed"]
    if failed:
        raise PartialFailureError(
            f"doctor: {failed[0].name}", failed[0].detail, failed[0].action or "see the list of checks"
        )


def _worker(context: typer.Context) -> None:
    """Run schedules and evaluation without a screen, until interrupted."""
    session: Session = context.obj
    note("modelyard worker: running; Ctrl-C ends it")
    session.run(lambda yard: yard.work())


def _demo(
    context: typer.Context,
    headless: Annotated[bool, typer.Option("--headless", help="Walk the whole path once, without a screen.")] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The demo yard's seed.")] = 1,
) -> None:
    """Open the screen on a self-contained yard: registry, cluster and GPUs on loopback."""
    session: Session = context.obj
    # A tenth of the time that any other command takes to start.
    from backend.cli import demo

    raise typer.Exit(demo.run(session, headless=headless, seed=seed))
