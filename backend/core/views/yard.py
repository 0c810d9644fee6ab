"""The ledger, sources, and the yard itself."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from backend.core.views.base import View


class LedgerEntryView(View, frozen=True, kw_only=True):
    """An entry of the ledger; `previous` and `hash` chain it to its neighbours."""

    seq: int
    at: datetime
    actor: str
    actor_source: str
    action: str
    object: str
    outcome: str
    detail: dict[str, Any]
    previous: str
    hash: str


class VerificationView(View, frozen=True, kw_only=True):
    """What verifying the ledger found; `first_bad` is None when every entry holds."""

    entries: int
    head: str
    intact: bool
    first_bad: int | None = None
    reason: str = ""


class AnchorView(View, frozen=True, kw_only=True):
    """The ledger's head at an instant, to be kept outside of the database.

    Attributes:
        seq: number of the entry; 0 for an empty ledger.
        hash: of the entry, `sha256:` and 64 hexadecimal characters.
    """

    yard: str
    seq: int
    at: datetime
    hash: str


class BundleFileView(View, frozen=True, kw_only=True):
    """A file of an audit bundle: its name, size in bytes and SHA-256 in hexadecimal."""

    name: str
    size: int
    sha256: str


class BundleView(View, frozen=True, kw_only=True):
    """An audit bundle that was written or looked at.

    Attributes:
        head: hash of the ledger's last entry in it.
        signed_by: who signed it, as the signature or the list of allowed signers tells; empty: it is not signed.
        intact: whether every file, the chain and the signature hold; `reason` says which does not.
    """

    path: str
    yard: str
    entries: int
    head: str
    files: tuple[BundleFileView, ...]
    signed_by: str = ""
    intact: bool = True
    reason: str = ""


class SourceState(StrEnum):
    """How it stands with something that the yard reads."""

    LIVE = "live"
    CONNECTING = "connecting"
    LOST = "lost"
    REFUSED = "refused"
    ABSENT = "absent"


class SourceView(View, frozen=True, kw_only=True):
    """A registry, cluster or metrics source: its state, since when, and what it last said."""

    name: str
    kind: str
    state: SourceState
    as_of: datetime | None
    detail: str = ""


class ChangeView(View, frozen=True, kw_only=True):
    """A change, for the list of what changed.

    Attributes:
        actor: a person, a program by the name of its field manager, a registry, or a node.
        kind: apply, decision, edit (somebody else wrote it), tag, scale, node, alert, validation, refused (nothing came
            of it), or other.
        services: keys of the services that it touches, as far as it tells.
        suspected: what failed next after it, such as `llm-prod/llama failed`: a guess by time alone; empty: nothing.
    """

    at: datetime
    actor: str
    what: str
    object: str
    detail: str = ""
    kind: str = "other"
    services: tuple[str, ...] = ()
    suspected: str = ""


class CheckView(View, frozen=True, kw_only=True):
    """A line of `doctor`: what was checked, `ok`, `warning`, `failed` or `absent`, and what to do."""

    name: str
    state: str
    detail: str
    action: str = ""


class YardStatusView(View, frozen=True, kw_only=True):
    """What the title bar tells.

    Attributes:
        writes: why writes are off, or empty when they are on.
        enforcement: what the cluster refuses: "not enforced" unless proved.
        worker: who holds the yard's lease, or empty.
        policy_source: "policy: own file" or the path of the root-owned one.
        alerts: that fire and are not silenced; alerts_open: of them those that nobody has taken up.
        alarms: what has to be seen on every screen, a sentence each: break-glass in force or not reviewed yet.
    """

    name: str
    context: str
    actor: str
    actor_source: str
    roles: tuple[str, ...]
    unrestricted: bool
    writes: str
    enforcement: str
    worker: str
    policy_source: str
    sources: tuple[SourceView, ...]
    library_total: int = 0
    library_approved: int = 0
    queue_waiting: int = 0
    alarms: tuple[str, ...] = ()
    alerts: int = 0
    alerts_open: int = 0
