"""Evidence, gates and decisions."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from backend.core.views.base import View
from backend.core.views.library import ImageState


class EvidenceValue(StrEnum):
    """What evidence says. Absence is `not measured`, never a pass."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    FAIL = "fail"
    NOT_MEASURED = "not measured"
    STALE = "stale"


class FindingView(View, frozen=True, kw_only=True):
    """A vulnerability of a package; `fixed` are versions that do not have it; `waived` names the waiver.

    Attributes:
        vex: what an overlay says of it: not affected, fixed, affected, under investigation, with justification and
            author; empty: nothing.
    """

    id: str
    severity: str
    package: str
    version: str
    fixed: str
    title: str = ""
    waived: str = ""
    vex: str = ""


class PackageView(View, frozen=True, kw_only=True):
    """A package of an SBOM; `licence` is an SPDX expression, or the text as found where it is none."""

    name: str
    version: str = ""
    purl: str = ""
    licence: str = ""


class EvidenceView(View, frozen=True, kw_only=True):
    """A piece of evidence on a digest.

    Attributes:
        kind: signature, vulnerabilities, vex, sbom, licence, weights, benchmark, compliance, provenance, model-card,
            review.
        state: kind's own word: verified, invalid, present, none, unchecked for signatures; scanned; read.
        source: who made it (scanner with version, key, registry attachment).
        asserted_by: the person who handed it in, or who ran the scanner; empty when it came with the image.
        measured_at: when it was true at its source; None: not told.
        database_at: of a scanner, how old its knowledge is; None: unknown.
        packages: of an SBOM.
        also: what else one document was evidence of when it was handed in, a line each.
    """

    id: str
    digest: str
    kind: str
    state: str
    summary: str
    source: str
    asserted_by: str = ""
    measured_at: datetime | None = None
    collected_at: datetime
    database_at: datetime | None = None
    findings: tuple[FindingView, ...] = ()
    packages: tuple[PackageView, ...] = ()
    also: tuple[str, ...] = ()
    details: dict[str, Any] = msgspec.field(default_factory=dict)


class GateView(View, frozen=True, kw_only=True):
    """A gate's verdict on a digest, explained in a sentence. `effect` is block or warn."""

    kind: str
    effect: str
    value: EvidenceValue
    sentence: str

    @property
    def blocks(self) -> bool:
        """Whether the gate stands in the way of an approval."""
        return self.effect == "block" and self.value is not EvidenceValue.PASS


class ScopeView(View, frozen=True, kw_only=True):
    """What is approved beside the image's digest; an empty field is not fixed, and shown as such.

    Attributes:
        weights: what fixes them, such as `hf://org/model@revision`, a ModelPack's digest or a NIM profile.
        runtime: family of the ServingRuntime, such as nim or vllm.
        environment: where it may run, such as production: the name of an environment in the configuration.
    """

    weights: str = ""
    runtime: str = ""
    environment: str = ""


class WaiverView(View, frozen=True, kw_only=True):
    """A finding that passes until a date. `control` is what is done about the risk meanwhile; `lapsed`: it ended."""

    id: str
    digest: str
    finding: str
    owner: str
    actor: str
    reason: str
    control: str
    at: datetime
    until: datetime
    lapsed: bool = False


class CommentView(View, frozen=True, kw_only=True):
    """What somebody said of a candidate, or the ticket that they named."""

    actor: str
    at: datetime
    text: str
    ticket: str = ""


class DifferenceView(View, frozen=True, kw_only=True):
    """A line of what changed against the last approved digest of the same repository.

    Attributes:
        kind: vulnerabilities, packages, licence, size, labels, weights, benchmark, signature, configuration.
        worse: whether it speaks against the newer one; None: neither.
        added, removed: what came and went, such as CVE identifiers or packages.
    """

    kind: str
    text: str
    worse: bool | None = None
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


class ImpactView(View, frozen=True, kw_only=True):
    """What a revocation touches.

    Attributes:
        services: that run it now, `context/namespace/name`; None: no cluster could be asked, `unknown` says why.
        rollbacks: snapshots that could no longer be returned to: `(service, snapshot)`.
        keys: access keys whose services are among them.
    """

    reference: str
    services: tuple[str, ...] | None
    rollbacks: tuple[tuple[str, str], ...]
    keys: tuple[str, ...] = ()
    unknown: str = ""


class DecisionView(View, frozen=True, kw_only=True):
    """A decision of one actor on one digest.

    Attributes:
        verdict: approve, reject, revoke, break-glass, review (of a break-glass approval, afterwards).
        automatic: policy decided, by the worker.
        scope: what was approved beside the digest.
        about: of a review, the id of the break-glass decision that was looked at.
    """

    id: str
    digest: str
    reference: str
    verdict: str
    actor: str
    at: datetime
    reason: str
    ticket: str = ""
    evidence_hash: str
    policy_hash: str
    expires_at: datetime | None = None
    automatic: bool = False
    scope: ScopeView = ScopeView()
    about: str = ""


class CandidateView(View, frozen=True, kw_only=True):
    """A digest before gates and people.

    Attributes:
        reference: `host/repository@digest`.
        name: `registry/repository:tag` of its newest tag.
        submitted_by: who brought it in; that person does not approve it.
        gates: in the order of the policy.
        evidence_hash: over the evidence as shown; a decision binds to it.
        approvals_needed: how many people policy asks for; `approvals` those who count now.
        waits_for_me: the actor may decide and has not.
        not_me: why the actor may not approve, in a sentence; empty when they may.
        risk: 0 (clean) to 100; orders the queue.
        changes: against the last approved digest of the same repository, a line each.
        previous_reference: that digest, or empty when none was approved.
        differences: the same as `changes`, sorted; empty in lists.
        missing: what approvals are still asked for, a sentence each, such as "one of security".
        scope: what an approval would fix beside the digest, as far as it is known of the image.
        waivers, comments: empty in lists.
        break_glass: until when it runs by one person's decision alone, and who has to look at it; empty: it does not.
    """

    reference: str
    registry: str
    repository: str
    digest: str
    name: str
    tags: tuple[str, ...]
    kind: str
    type: str
    framework: str
    size: int | None
    state: ImageState
    submitted_by: str
    submitted_at: datetime
    gates: tuple[GateView, ...]
    evidence_hash: str
    policy_hash: str
    approvals_needed: int
    approvals: tuple[DecisionView, ...]
    decisions: tuple[DecisionView, ...] = ()
    waits_for_me: bool
    not_me: str = ""
    risk: int = 0
    changes: tuple[str, ...] = ()
    previous_reference: str = ""
    differences: tuple[DifferenceView, ...] = ()
    missing: tuple[str, ...] = ()
    scope: ScopeView = ScopeView()
    waivers: tuple[WaiverView, ...] = ()
    comments: tuple[CommentView, ...] = ()
    break_glass: str = ""

    @property
    def blocked(self) -> bool:
        """Whether a gate stands in the way."""
        return any(gate.blocks for gate in self.gates)


class PolicyCheckView(View, frozen=True, kw_only=True):
    """What a policy says of a digest; `before` is set when another policy was given to compare with.

    Attributes:
        approved: whether the image is approved now, whatever the policy says.
    """

    reference: str
    passes: bool
    gates: tuple[GateView, ...]
    before: bool | None = None
    approved: bool = False

    @property
    def flips(self) -> bool:
        """Whether it passes one of the two policies and not the other."""
        return self.before is not None and self.before is not self.passes


class PackageHitView(View, frozen=True, kw_only=True):
    """An image whose SBOM holds a package that was searched for."""

    reference: str
    name: str
    state: ImageState
    package: str
    version: str
    purl: str
    licence: str
    source: str


class ScanView(View, frozen=True, kw_only=True):
    """A scanner run: which scanner with version and database age, how far it is, how it ended.

    Attributes:
        state: running, done, failed, cancelled, refused.
        database_at: when its database was made; None: not told.
    """

    reference: str
    scanner: str
    version: str
    database_at: datetime | None
    state: str
    detail: str
    started_at: datetime
    seconds: float
