"""`evidence import`, `list`, `search`, `scan` and `review`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from backend.cli.output import Column, note
from backend.cli.session import Session
from backend.core.events import ScanProgressed, Topic
from backend.core.views import EvidenceView, PackageHitView, ScanView
from backend.yard import Yard

_COLUMNS: list[Column[EvidenceView]] = [
    ("KIND", lambda one: one.kind),
    ("STATE", lambda one: one.state),
    ("SUMMARY", lambda one: one.summary),
    ("SOURCE", lambda one: one.source),
    ("ASSERTED BY", lambda one: one.asserted_by),
    ("MEASURED", lambda one: one.measured_at),
    ("DATABASE", lambda one: one.database_at),
]
_HITS: list[Column[PackageHitView]] = [
    ("IMAGE", lambda one: one.name),
    ("STATE", lambda one: one.state),
    ("PACKAGE", lambda one: one.package),
    ("VERSION", lambda one: one.version),
    ("LICENCE", lambda one: one.licence),
    ("SBOM", lambda one: one.source),
]


def add_to(application: typer.Typer) -> None:
    """Add `evidence`."""
    evidence = typer.Typer(help="Evidence on images.", rich_markup_mode=None)
    for name, command in (
        ("import", _import),
        ("list", _list),
        ("search", _search),
        ("scan", _scan),
        ("review", _review),
    ):
        evidence.command(name)(command)
    application.add_typer(evidence, name="evidence")


def _import(
    context: typer.Context,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="A report (Trivy, Grype, Harbor, SARIF, CycloneDX), an SBOM (CycloneDX, SPDX), VEX (OpenVEX,"
            " CycloneDX), a benchmark, or a signed attestation, as JSON.",
        ),
    ],
    image: Annotated[str, typer.Option("--image", metavar="REF", help="The image that it is about.")],
) -> None:
    """Hand in a document by file. It is marked as asserted by you, and you may not approve that image."""
    session: Session = context.obj
    evidence = session.run(lambda yard: yard.evidence.hand_in(file, image))
    told = "; ".join([f"{evidence.kind}: {evidence.summary}", *evidence.also])
    session.print.item(evidence, f"{told}; asserted by {evidence.asserted_by}")


def _list(context: typer.Context, reference: Annotated[str, typer.Argument(metavar="REF")]) -> None:
    """List the evidence on an image."""
    session: Session = context.obj
    evidence = session.run(lambda yard: yard.evidence.of(reference))
    session.print.rows(evidence, _COLUMNS, empty="there is no evidence on it")


def _search(
    context: typer.Context,
    query: Annotated[
        str, typer.Argument(metavar="PACKAGE", help="NAME, 'NAME<VERSION', 'libssl*' or 'pkg:pypi/torch>=2.6'.")
    ],
) -> None:
    """List the images whose SBOMs hold a package. Distributions patch without a new version: an estimate."""
    session: Session = context.obj
    hits = session.run(lambda yard: yard.evidence.packages(query))
    session.print.rows(hits, _HITS, empty="no SBOM holds such a package")


def _scan(context: typer.Context, reference: Annotated[str, typer.Argument(metavar="REF")]) -> None:
    """Scan an image with the trivy or grype of this machine, and record what it finds."""
    session: Session = context.obj

    async def work(yard: Yard) -> ScanView:
        for found in (await yard.evidence.scanners())[:1]:
            made = (
                f"database of {found.database_at:%Y-%m-%d %H:%M} UTC" if found.database_at else "database age unknown"
            )
            note(f"{found.scanner} {found.version or 'of unknown version'}, {made}")
        with _progress(yard):
            return await yard.evidence.scan(reference)

    scan = session.run(work)
    session.print.item(scan, f"{scan.scanner} {scan.version}: {scan.detail}, in {scan.seconds:.1f} s")


@contextmanager
def _progress(yard: Yard) -> Iterator[None]:
    """Tell on stderr what a scanner says while the block runs."""
    events = yard.subscribe(Topic.SCANS)

    async def tell() -> None:
        async for event in events:
            if isinstance(event, ScanProgressed) and event.scan.state == "running":
                note(f"{event.scan.seconds:5.1f} s  {event.scan.detail}")

    task = asyncio.create_task(tell())
    try:
        yield
    finally:
        events.close()
        task.cancel()


def _review(
    context: typer.Context,
    reference: Annotated[str, typer.Argument(metavar="REF")],
    text: Annotated[str, typer.Option("--note", metavar="TEXT", help="What was looked at and found.")],
    link: Annotated[str, typer.Option("--link", metavar="URL", help="Where it is written down.")] = "",
) -> None:
    """Assert that you reviewed an image. It is marked as asserted by you, and you may not approve that image."""
    session: Session = context.obj
    evidence = session.run(lambda yard: yard.evidence.review(reference, link=link, note=text))
    session.print.item(evidence, f"review: {evidence.summary}; asserted by {evidence.asserted_by}")
