"""What the screen needs of the yard, and what it is started with."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from backend.core.errors import UsageError
from backend.core.events import Subscription, Topic
from backend.core.views import (
    AdviceView,
    AlertView,
    AppliedView,
    CandidateView,
    CapacityView,
    ChangeView,
    CompletionView,
    CostView,
    CutOffView,
    DecisionView,
    DiffLineView,
    EvidenceView,
    FormCheckView,
    FormView,
    GpuSnapshotView,
    HistoryView,
    ImageDetailView,
    ImagePageView,
    ImpactView,
    LedgerEntryView,
    PackageHitView,
    PlanView,
    PruneView,
    ReplicaAdviceView,
    RepositoryView,
    RulePreviewView,
    RuleTextView,
    RuleView,
    RuntimeDetailView,
    RuntimeView,
    RunView,
    ScanView,
    ScopeView,
    SeriesView,
    ServiceDetailView,
    ServiceView,
    SilenceView,
    SnapshotView,
    SyncResultView,
    TagEventView,
    TemplateView,
    TenureView,
    VerificationView,
    WhatIfView,
    YardStatusView,
)


class LibraryPort(Protocol):
    """The library: what was synchronised."""

    async def search(
        self,
        query: str = "",
        *,
        sort: str = "name",
        descending: bool = False,
        offset: int = 0,
        limit: int = 200,
        approved: bool = False,
        at: datetime | None = None,
    ) -> ImagePageView: ...
    async def repositories(
        self, query: str = "", *, sort: str = "name", descending: bool = False
    ) -> list[RepositoryView]: ...
    async def image(self, reference: str) -> ImageDetailView: ...
    async def history(self, reference: str) -> list[TagEventView]: ...
    def completions(self, text: str, cursor: int) -> tuple[CompletionView, ...]: ...
    async def correct(self, reference: str, *, name: str, value: str, reason: str) -> ImageDetailView: ...
    async def name_parent(
        self, reference: str, *, parent: str, relation: str, note: str = "", remove: bool = False
    ) -> ImageDetailView: ...
    async def prune(self, older_than: timedelta, dry_run: bool = False) -> PruneView: ...


class RulesPort(Protocol):
    """The rules by which images are taken in."""

    async def rules(self) -> list[RuleView]: ...
    async def preview(
        self, rule: str | None = None, *, draft: str | None = None, at: datetime | None = None
    ) -> list[RulePreviewView]: ...
    async def text(self, rule: str) -> RuleTextView: ...
    async def check(self, text: str) -> str: ...
    async def save(self, text: str, *, replaces: str | None, file_hash: str) -> RuleView: ...
    async def switch(self, rule: str, enabled: bool, *, file_hash: str) -> RuleView: ...
    async def remove(self, rule: str, *, file_hash: str) -> None: ...


class RunsPort(Protocol):
    """Runs of the synchroniser."""

    async def synchronise(
        self, rule: str | None = None, dry_run: bool = False, allow_many: bool = False, evaluate: bool = True
    ) -> SyncResultView: ...
    async def runs(self, limit: int = 50) -> list[RunView]: ...
    async def run(self, run: str) -> RunView: ...
    async def cancel(self, run: str) -> object: ...


class QueuePort(Protocol):
    """Candidates before gates and people."""

    async def candidates(self) -> list[CandidateView]: ...
    async def candidate(self, reference: str) -> CandidateView: ...
    async def impact(self, reference: str) -> ImpactView: ...
    async def approve(
        self,
        reference: str,
        *,
        reason: str,
        evidence_hash: str,
        policy_hash: str = "",
        ticket: str = "",
        scope: ScopeView | None = None,
    ) -> DecisionView: ...
    async def reject(
        self, reference: str, *, reason: str, evidence_hash: str, policy_hash: str = "", ticket: str = ""
    ) -> DecisionView: ...
    async def revoke(self, reference: str, *, reason: str, evidence_hash: str, ticket: str = "") -> DecisionView: ...
    async def reject_many(self, references: Sequence[str], *, reason: str) -> list[tuple[str, str]]: ...
    async def waive(
        self, reference: str, *, finding: str, until: datetime, reason: str, owner: str = "", control: str = ""
    ) -> None: ...
    async def comment(self, reference: str, *, text: str, ticket: str = "") -> object: ...
    async def break_glass(self, reference: str, *, reason: str, ticket: str, until: datetime) -> DecisionView: ...
    async def review(self, decision_id: str, *, reason: str) -> DecisionView: ...
    async def submit(self, reference: str, *, reason: str) -> None: ...


class EvidencePort(Protocol):
    """What is known of images."""

    async def of(self, reference: str) -> list[EvidenceView]: ...
    async def evaluate(self, again: bool = False, reference: str | None = None) -> object: ...
    async def scan(self, reference: str) -> ScanView: ...
    def cancel_scan(self, reference: str) -> bool: ...
    async def review(self, reference: str, *, link: str = "", note: str) -> EvidenceView: ...
    async def packages(self, query: str) -> list[PackageHitView]: ...


class DeploymentsPort(Protocol):
    """InferenceServices: their verdicts, plans and what can be done to them."""

    async def services(self) -> list[ServiceView]: ...
    async def service(self, namespace: str, name: str, *, context: str = "") -> ServiceDetailView: ...
    async def draft(self, reference: str, name: str, namespace: str) -> str: ...
    async def plan(
        self, deployment_yaml: str, namespace: str | None = None, *, take: Sequence[str] = (), context: str = ""
    ) -> PlanView: ...
    async def manifests(self, plan: PlanView) -> str: ...
    async def cut_off(self) -> list[CutOffView]: ...
    async def settle_plan(self, apply: str, *, undo: bool = False) -> PlanView: ...
    async def leave(self, apply: str) -> object: ...
    async def apply(self, plan: PlanView) -> AppliedView: ...
    async def scale(self, namespace: str, name: str, replicas: int, *, context: str = "") -> AppliedView: ...
    async def stop(self, namespace: str, name: str, *, context: str = "") -> AppliedView: ...
    async def start(self, namespace: str, name: str, *, context: str = "") -> AppliedView: ...
    async def delete(self, namespace: str, name: str, *, context: str = "") -> object: ...
    async def snapshots(self, namespace: str, name: str, *, context: str = "") -> list[SnapshotView]: ...
    async def rollback_plan(
        self,
        namespace: str,
        name: str,
        snapshot: str | None = None,
        *,
        take: Sequence[str] = (),
        context: str = "",
    ) -> PlanView: ...
    async def logs(
        self,
        namespace: str,
        pod: str,
        previous: bool = False,
        tail: int = 500,
        *,
        container: str = "",
        context: str = "",
    ) -> str: ...
    def follow_logs(
        self, namespace: str, pod: str, *, container: str = "", tail: int = 500, context: str = ""
    ) -> AsyncGenerator[str, None]: ...
    async def namespaces(self, *, context: str = "") -> list[str]: ...


class RuntimesPort(Protocol):
    """Serving runtimes, and the templates that they are made of."""

    async def runtimes(self, *, context: str = "") -> list[RuntimeView]: ...
    async def runtime(self, name: str, namespace: str | None = None, *, context: str = "") -> RuntimeDetailView: ...
    async def difference(self, one: str, other: str, *, context: str = "") -> tuple[DiffLineView, ...]: ...
    async def catalogue(self) -> tuple[list[TemplateView], list[UsageError]]: ...
    async def plan(
        self,
        template: str,
        image: str,
        namespace: str,
        *,
        name: str = "",
        secrets: Mapping[str, str] | None = None,
        pull_secrets: Sequence[str] = (),
        claims: Mapping[str, str] | None = None,
        context: str = "",
    ) -> PlanView: ...


class FormsPort(Protocol):
    """The form that a deployment is written in."""

    async def open(self, reference: str, *, name: str = "", namespace: str = "", context: str = "") -> FormView: ...
    async def reopen(self, form: FormView, text: str) -> FormView: ...
    def check(self, values: Mapping[str, str], base: str) -> FormCheckView: ...
    async def advice(self, deployment: str, *, context: str = "") -> AdviceView: ...
    async def take(self, deployment: str, suggestion: str, *, context: str = "") -> str: ...


class GpusPort(Protocol):
    """GPUs, as last sampled."""

    async def snapshot(self) -> GpuSnapshotView: ...


class TelemetryPort(Protocol):
    """What GPUs and services did."""

    async def series(self, keys: Sequence[str], metric: str, window: timedelta) -> list[SeriesView]: ...
    async def tenures(self, key: str, window: timedelta) -> list[TenureView]: ...
    async def capacity(self, window: timedelta = timedelta(days=30)) -> list[CapacityView]: ...
    async def what_if(self, text: str) -> WhatIfView: ...
    async def advice(self) -> list[ReplicaAdviceView]: ...
    async def cost(self, window: timedelta = timedelta(days=7), by: str = "service") -> list[CostView]: ...
    async def state(self) -> HistoryView: ...


class AlertsPort(Protocol):
    """What needs a person."""

    async def alerts(self, resolved_since: datetime | None = None) -> list[AlertView]: ...
    async def silences(self) -> list[SilenceView]: ...
    async def acknowledge(self, alert: str, *, note: str, hand_to: str = "") -> AlertView: ...
    async def silence(self, object: str, *, until: datetime, reason: str, rule: str = "") -> SilenceView: ...
    async def lift(self, silence: str) -> int: ...


class AuditPort(Protocol):
    """The ledger."""

    async def entries(
        self,
        limit: int = 200,
        before: int | None = None,
        *,
        actor: str = "",
        action: str = "",
        object: str = "",
        outcome: str = "",
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> list[LedgerEntryView]: ...
    async def verify(self, anchor: str | None = None) -> VerificationView: ...


class ScreenYard(Protocol):
    """The yard as the screen sees it. Everything raises subclasses of ModelyardError only."""

    @property
    def library(self) -> LibraryPort: ...
    @property
    def rules(self) -> RulesPort: ...
    @property
    def runs(self) -> RunsPort: ...
    @property
    def queue(self) -> QueuePort: ...
    @property
    def evidence(self) -> EvidencePort: ...
    @property
    def deployments(self) -> DeploymentsPort: ...
    @property
    def runtimes(self) -> RuntimesPort: ...
    @property
    def forms(self) -> FormsPort: ...
    @property
    def gpus(self) -> GpusPort: ...
    @property
    def alerts(self) -> AlertsPort: ...
    @property
    def telemetry(self) -> TelemetryPort: ...
    @property
    def audit(self) -> AuditPort: ...

    def status(self) -> YardStatusView: ...
    def subscribe(self, *topics: Topic) -> Subscription: ...
    async def changes(self, hours: float = 1) -> list[ChangeView]: ...
    async def start(self) -> None: ...
    async def close(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class ScreenSettings:
    """What the configuration says about the screen.

    Attributes:
        keys: the `[keys]` table: action id to keys, separated by white space.
        confirm: `type-name` asks for the name of what a cluster mutation changes; `dialog` only asks.
        theme: name of a theme, or empty for the one that suits the terminal.
        theme_folder: where the user keeps theme files; None: nowhere.
        reasons: texts that dialogs offer as the reason of a decision, by approve, reject, revoke, waive, break-glass,
            review and submit.
        bell, title: whether the terminal's bell and title tell what waits for the one who looks.
    """

    keys: Mapping[str, str] = field(default_factory=dict)
    confirm: str = "type-name"
    theme: str = ""
    theme_folder: Path | None = None
    reasons: Mapping[str, Sequence[str]] = field(default_factory=dict)
    bell: bool = True
    title: bool = True
