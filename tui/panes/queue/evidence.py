"""The evidence on one candidate in full: findings and packages as lists to filter, and every piece with its source."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, ClassVar, Final

from textual.widget import Widget

from backend.core.errors import ModelyardError
from backend.core.text import sanitise
from backend.core.views import CandidateView, EvidenceView, FindingView, PackageView
from tui.commands import Filter
from tui.document import Line, Span, join, text
from tui.model import PartName, Problem
from tui.panes.common.messages import problem_lines
from tui.panes.common.text import TextPage
from tui.panes.queue.actions import CandidateActions
from tui.panes.queue.detail_model import worst_findings
from tui.panes.queue.evidence_actions import scan_line
from tui.panes.queue.evidence_model import (
    finding_columns,
    finding_haystack,
    finding_text,
    package_columns,
    package_haystack,
    piece_sections,
)
from tui.panes.queue.waive import WaiveAction
from tui.widgets.line_scroll import LineScroll
from tui.widgets.line_table import LineTable
from tui.widgets.line_view import LineView
from tui.widgets.one_line import OneLine, heading

_TABS: Final = ("findings", "packages", "pieces")
_TITLES: Final = {"findings": "findings", "packages": "packages", "pieces": "signatures and the rest"}


class EvidencePage(CandidateActions, WaiveAction):
    """Evidence on a candidate; `Tab` goes from findings to packages to the pieces, `/` filters, `W` waives."""

    CSS_PATH: ClassVar[str] = "../common/common.tcss"
    AUTO_FOCUS = "#findings"
    pane = "evidence"
    parts = frozenset({PartName.QUEUE, PartName.SYNC})

    def __init__(self, candidate: CandidateView) -> None:
        super().__init__()
        self._candidate_view = candidate
        self._tab = _TABS[0]
        self._evidence: list[EvidenceView] | None = None
        self._listed: Sequence[CandidateView] | None = None
        self._problem: Problem | None = None
        self._rows: dict[str, tuple[list[Any], list[str]]] = {"findings": ([], []), "packages": ([], [])}

    def body(self) -> Iterable[Widget]:
        yield OneLine(id="heading")
        yield LineTable(finding_columns(), _finding_key, id="findings")
        yield LineTable(package_columns(), _package_key, id="packages")
        yield LineView(id="pieces")

    # ------------------------------------------------------------ what it is about

    def current_candidate(self) -> CandidateView | None:
        return self._candidate_view

    def waived_candidate(self) -> CandidateView:
        return self._candidate_view

    def findings(self) -> Sequence[FindingView]:
        found: list[FindingView] = self._rows["findings"][0]
        chosen = self._table("findings").current if self._tab == "findings" else None
        return [chosen, *found] if chosen is not None else found

    def waived(self) -> None:
        self._listed = None

    def package_meant(self) -> str:
        package = self._table("packages").current if self._tab == "packages" else None
        return str(package.name) if package is not None else ""

    def reference(self) -> str:
        if self._tab == "findings" and (finding := self._table("findings").current) is not None:
            return str(finding.id)
        if self._tab == "packages" and (package := self._table("packages").current) is not None:
            return str(package.purl or package.name)
        return self._candidate_view.reference

    # ------------------------------------------------------------ showing

    def show(self) -> None:
        listed = self.model.queue.value
        if listed is not self._listed:
            self._listed = listed
            self.room.feed.spawn(self._read(), "reading evidence")
        self._show_tab()

    async def _read(self) -> None:
        yard = self.room.feed.yard
        if yard is None:
            return
        try:
            evidence = await yard.evidence.of(self._candidate_view.reference)
        except ModelyardError as error:
            self._problem = Problem.of(error)
        else:
            self._problem = None
            if evidence != self._evidence:
                self._evidence = evidence
                self._take(evidence)
        if self.is_attached:
            self._show_tab()

    def _take(self, evidence: Sequence[EvidenceView]) -> None:
        findings = worst_findings(evidence)
        packages = sorted(
            (package for piece in evidence for package in piece.packages), key=lambda one: (one.name, one.version)
        )
        self._rows = {
            "findings": (findings, [finding_haystack(one) for one in findings]),
            "packages": (packages, [package_haystack(one) for one in packages]),
        }

    def _show_tab(self) -> None:
        for name in _TABS:
            self.query_one(f"#{name}", LineScroll).display = name == self._tab
        if self._tab == "pieces":
            sections = piece_sections(self._evidence, self.room.clock.now())
            self.query_one("#pieces", LineView).show(sections)
            shown, total = len(self._evidence or ()), len(self._evidence or ())
        else:
            shown, total = self._show_rows(self._tab)
        counted = f"{total}" if shown == total else f"{shown} of {total}"
        left = join(
            text(counted, "strong"), text(_TITLES[self._tab]), text(self._candidate_view.name, "muted"), gap="  "
        )
        following = _TITLES[_TABS[(_TABS.index(self._tab) + 1) % len(_TABS)]]
        right = scan_line(self.model.scans.get(self._candidate_view.reference)) or text(f"Tab {following}", "muted")
        self.query_one("#heading", OneLine).show(partial(heading, "2", "EVIDENCE", left, right, True))

    def _show_rows(self, name: str) -> tuple[int, int]:
        rows, haystacks = self._rows[name]
        shown = rows
        if self.filter is not None and self.filter.typed:
            shown = [rows[index] for index in self.filter.indices(haystacks)]
        table = self._table(name)
        table.tell_empty(self._empty(name, bool(rows)))
        table.show(shown)
        return len(shown), len(rows)

    def _empty(self, name: str, has_rows: bool) -> Sequence[Line]:
        if self._problem is not None:
            return problem_lines(self._problem)
        if self._evidence is None:
            return (text("reading…", "muted"),)
        if has_rows and self.filter is not None:
            return (text(f"Nothing matches {self.filter.typed}", "muted"), text("Esc clears the filter", "muted"))
        kind, said = ("vulnerabilities", "finding") if name == "findings" else ("sbom", "package")
        if any(piece.kind == kind and piece.state == "read" for piece in self._evidence):
            return (text(f"The report has no {said}.", "ok"),)
        return (text(f"Not measured: no report of {said}s is known, which is not the same as none.", "warn"),)

    def find(self, pattern: Filter | None) -> str:
        if self._tab == "pieces":
            found = pattern is None or self.query_one("#pieces", LineView).find(pattern.pattern)
            return "" if found else "nothing matches"
        self._show_tab()
        return "not a regular expression, taken as it stands" if pattern is not None and pattern.literal else ""

    # ------------------------------------------------------------ actions

    def act_pane_next(self) -> None:
        self._switch(1)

    def act_pane_previous(self) -> None:
        self._switch(-1)

    def _switch(self, by: int) -> None:
        self._tab = _TABS[(_TABS.index(self._tab) + by) % len(_TABS)]
        self._show_tab()
        self.query_one(f"#{self._tab}", LineScroll).focus()

    def act_look_open(self) -> None:
        if self._tab == "packages":
            self.act_evidence_packages()
            return
        finding = self._table("findings").current if self._tab == "findings" else None
        if finding is None:
            return

        async def read() -> str:
            return finding_text(finding, width)

        width = self.app.size.width - 4
        self.room.push_screen(TextPage(sanitise(finding.id, 60), read, _as_it_stands))

    def act_look_refresh(self) -> None:
        self._listed = None
        self.room.feed.read()
        self.room.flash("reading again")

    def _table(self, name: str) -> LineTable[Any]:
        table: LineTable[Any] = self.query_one(f"#{name}", LineTable)
        return table


def _as_it_stands(line: str) -> Line:
    return (Span(line),)


def _finding_key(finding: FindingView) -> str:
    return f"{finding.id} {finding.package} {finding.version}"


def _package_key(package: PackageView) -> str:
    return f"{package.purl} {package.name} {package.version}"
