"""What is done about the evidence on a candidate: scan it, assert a review, look for a package in every image."""

from __future__ import annotations

from collections.abc import Sequence

from backend.core.views import CandidateView, PackageHitView, ScanView
from tui import format as fmt
from tui.document import EMPTY, Line, Span, join, pad, plain, text
from tui.model import PartName
from tui.page import Page
from tui.panes.common.text import TextPage
from tui.panes.queue import dialogs
from tui.widgets.fields import Field, Values, required

_RUNNING = "running"


class EvidenceActions(Page):
    """Actions on the evidence of the candidate that a page points at."""

    def current_candidate(self) -> CandidateView | None:
        """The candidate that is meant."""
        raise NotImplementedError

    def act_evidence_scan(self) -> None:
        """Scan with trivy or grype of this machine; while that runs, offer to end it."""
        candidate, yard = self.current_candidate(), self.room.feed.yard
        if candidate is None or yard is None:
            return
        reference = candidate.reference
        running = self.model.scans.get(reference)
        if running is not None and running.state == _RUNNING:
            told = yard.evidence.cancel_scan(reference)
            self.room.flash("the scan is ended" if told else "it runs in another process, which alone can end it")
            return

        async def scan() -> None:
            found = await yard.evidence.scan(reference)
            self.room.log_command(f"modelyard evidence scan {reference}", "done")
            self.room.feed.read(PartName.QUEUE)
            self.room.flash(f"{found.scanner}: {found.detail}")

        self.room.flash("looking for trivy or grype…")
        self.room.feed.spawn(scan(), "scanning")

    def act_evidence_assert(self) -> None:
        """Say that one looked at the image, with a note and a link."""
        candidate, yard = self.current_candidate(), self.room.feed.yard
        if candidate is None or yard is None:
            return
        fields = (
            required("note", "Note", "say what you looked at and what you found"),
            Field(id="link", label="Link", placeholder="may be empty"),
        )
        warning = "It is marked as said by you, satisfies no blocking gate unless policy says so, and keeps you from "
        lines = (*dialogs.what_lines(candidate), text(f"{warning}approving this image.", "warn"))

        async def perform(values: Values) -> object:
            await yard.evidence.review(candidate.reference, link=values["link"], note=values["note"])
            self.room.log_command(f"modelyard evidence assert {candidate.reference} --note …", "done")
            return values

        def done(result: object) -> None:
            if result is not None:
                self.room.feed.read(PartName.QUEUE, PartName.CHANGES)
                self.room.flash("the review is recorded as evidence")

        self.ask(f"Reviewed {candidate.name}?", lines, "Record", perform, fields=fields, done=done)

    def act_evidence_packages(self, *arguments: str) -> None:
        """Which images hold a package: `:packages openssl<3.0.15`."""
        query, yard = " ".join(arguments) or self.package_meant(), self.room.feed.yard
        if yard is None:
            return
        if not query:
            self.room.flash("name a package, such as :packages openssl<3.0.15", bad=True)
            return

        async def read() -> str:
            hits = await yard.evidence.packages(query)
            return "\n".join(plain(line) for line in hit_lines(query, hits))

        self.room.push_screen(TextPage(f"IMAGES WITH {query[:60]}", read, _as_it_stands))

    def package_meant(self) -> str:
        """The package under the cursor, or empty."""
        return ""


def hit_lines(query: str, hits: Sequence[PackageHitView]) -> list[Line]:
    """An image a line: its state, the version that it holds, its name and where that is known from."""
    if not hits:
        return [text(f"No image whose packages are known holds {query}; of others nothing can be said.")]
    known = fmt.count(len({hit.reference for hit in hits}), "image")
    lines: list[Line] = [
        text(f"{known}; versions are as SBOMs tell them, what a distribution patched keeps its number"),
        EMPTY,
    ]
    lines += [
        (
            *pad(text(hit.state.value), 11),
            *pad(text(f"{hit.package} {hit.version}"), 30),
            Span(" "),
            *pad(text(hit.name), 52),
            Span(" "),
            *text(hit.source),
        )
        for hit in hits
    ]
    return lines


def scan_line(scan: ScanView | None) -> Line:
    """How far a scan is, or how it ended; empty when there is none to tell of."""
    if scan is None:
        return EMPTY
    role = {"done": "ok", _RUNNING: "info"}.get(scan.state, "bad")
    return join(
        text(f"{scan.scanner} {scan.state}", role),
        text(fmt.duration(scan.seconds), "muted"),
        text(scan.detail, "muted"),
    )


def _as_it_stands(line: str) -> Line:
    return (Span(line),)
