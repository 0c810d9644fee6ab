"""What the command line and the screen show: frozen values, ready to print as JSON.

Text in them is as its source gave it; whoever shows it sanitises it (`backend.core.text`). Instants are aware UTC.
What could not be measured is None, never zero, and a neighbouring field says why.
"""

from __future__ import annotations

from backend.core.views.base import View
from backend.core.views.curation import (
    CandidateView,
    DecisionView,
    EvidenceValue,
    EvidenceView,
    FindingView,
    GateView,
    PolicyCheckView,
)
from backend.core.views.gpus import (
    GpuSnapshotView,
    GpuState,
    GpuView,
    ModelServerView,
)
from backend.core.views.library import (
    ClassificationView,
    ImageDetailView,
    ImageState,
    ImageView,
    RuleClauseView,
    RuleView,
    SyncEntryView,
    SyncFailureView,
    SyncProgressView,
    SyncResultView,
    TagEventView,
)
from backend.core.views.serving import (
    AppliedView,
    ConditionView,
    DiffLineView,
    EndpointView,
    KubeEventView,
    ObjectPlanView,
    PlanView,
    PodView,
    RuntimeView,
    ServiceDetailView,
    ServiceView,
    SnapshotView,
    StepView,
    Verdict,
)
from backend.core.views.yard import (
    ChangeView,
    CheckView,
    LedgerEntryView,
    SourceState,
    SourceView,
    VerificationView,
    YardStatusView,
)

__all__ = [
    "AppliedView",
    "CandidateView",
    "ChangeView",
    "CheckView",
    "ClassificationView",
    "ConditionView",
    "DecisionView",
    "DiffLineView",
    "EndpointView",
    "EvidenceValue",
    "EvidenceView",
    "FindingView",
    "GateView",
    "GpuSnapshotView",
    "GpuState",
    "GpuView",
    "ImageDetailView",
    "ImageState",
    "ImageView",
    "KubeEventView",
    "LedgerEntryView",
    "ModelServerView",
    "ObjectPlanView",
    "PlanView",
    "PodView",
    "PolicyCheckView",
    "RuleClauseView",
    "RuleView",
    "RuntimeView",
    "ServiceDetailView",
    "ServiceView",
    "SnapshotView",
    "SourceState",
    "SourceView",
    "StepView",
    "SyncEntryView",
    "SyncFailureView",
    "SyncProgressView",
    "SyncResultView",
    "TagEventView",
    "Verdict",
    "VerificationView",
    "View",
    "YardStatusView",
]
