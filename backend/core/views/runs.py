"""Runs of the synchroniser, and the rules that they follow."""

from __future__ import annotations

from datetime import datetime

from backend.core.views.base import View


class SyncEntryView(View, frozen=True, kw_only=True):
    """A tag that a run found new, gone or moved (then with `previous`)."""

    registry: str
    repository: str
    tag: str
    digest: str
    previous: str | None = None


class SyncFailureView(View, frozen=True, kw_only=True):
    """What a run could not read, and why; `tag` is empty when the whole repository or registry failed.

    Attributes:
        action: what can be done about it.
        unreachable: it could not be reached, or refused our credentials.
        misconfigured: the configuration is to blame, such as a secret that is not there.
    """

    registry: str
    repository: str
    tag: str
    reason: str
    unreachable: bool = False
    misconfigured: bool = False
    action: str = ""


class JournalEntryView(View, frozen=True, kw_only=True):
    """What a run found in one repository. `seconds` by the monotonic clock; `skipped` and `failed` with reasons.

    Attributes:
        repository: empty: the registry's own list of repositories.
        state: done, failed, partial (some of its tags failed, or the run was cut off in it), running, not reached.
        seen: tags in its list; those of them that the rule's clauses leave out are in no other count.
        resumed: of the unchanged ones, those that an interrupted run had asked for, and that were not asked for again.
        reasons: `(tag, what became of it and why)`, for each tag that was skipped or failed; tag "" is the repository.
    """

    registry: str
    repository: str
    rule: str
    state: str
    seen: int
    new: int
    moved: int
    gone: int
    unchanged: int
    skipped: int
    failed: int
    requests: int
    bytes: int
    seconds: float
    reasons: tuple[tuple[str, str], ...] = ()
    resumed: int = 0


class RunView(View, frozen=True, kw_only=True):
    """A run of the synchroniser.

    Attributes:
        outcome: running, done, partial (something failed or was refused, the rest is done), failed (all of it),
            refused, interrupted (it was cut off; the next run resumes it).
        resumed_from: the run that it went on with; empty: none.
        journal: a line a repository; empty in lists.
        seconds: by the monotonic clock; 0 until it ended.
        resumed: of the unchanged tags, those that the run it went on with had asked for; they were not asked for again.
    """

    run: str
    rules: tuple[str, ...]
    actor: str
    started_at: datetime
    finished_at: datetime | None
    outcome: str
    reason: str
    new: int
    moved: int
    gone: int
    unchanged: int
    skipped: int
    failed: int
    requests: int
    bytes: int
    resumed_from: str = ""
    journal: tuple[JournalEntryView, ...] = ()
    seconds: float = 0.0
    resumed: int = 0


class SyncResultView(View, frozen=True, kw_only=True):
    """What a run did. Counts of requests and bytes are of this run; seconds by the monotonic clock.

    Attributes:
        run: its id; empty after a dry run, of which nothing is kept.
        resumed_from: the run that it went on with; empty: none.
        resumed: of the unchanged tags, those that had been asked for by then; they were not asked for again.
    """

    run: str
    dry_run: bool
    new: tuple[SyncEntryView, ...]
    moved: tuple[SyncEntryView, ...]
    gone: tuple[SyncEntryView, ...]
    failed: tuple[SyncFailureView, ...]
    unchanged: int
    skipped: int
    requests: int
    bytes: int
    seconds: float
    resumed_from: str = ""
    resumed: int = 0


class SyncProgressView(View, frozen=True, kw_only=True):
    """How far a run is. `total` is None until the tags are known; `error` is told when it ended badly.

    Attributes:
        rate: tags a second over the last seconds; None: not known yet.
        remaining: seconds that the rest may take, an estimate; None: not known.
    """

    run: str
    rule: str
    repository: str
    done: int
    total: int | None
    new: int
    moved: int
    gone: int
    failed: int
    finished: bool
    error: str = ""
    requests: int = 0
    bytes: int = 0
    rate: float | None = None
    remaining: float | None = None


class RuleView(View, frozen=True, kw_only=True):
    """A rule as configured, and when it last ran."""

    name: str
    registry: str
    repositories: tuple[str, ...]
    tags: str
    types: tuple[str, ...]
    every: str
    enabled: bool
    last_run_at: datetime | None = None
    last_result: str = ""
    exclude_repositories: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()
    newest: int | None = None
    max_age: str = ""
    max_new: int | None = None
    author: str = ""


class RuleClauseView(View, frozen=True, kw_only=True):
    """What became of one tag under a rule: taken, or left out by which clause."""

    registry: str
    repository: str
    tag: str
    taken: bool
    clause: str


class RulePreviewView(View, frozen=True, kw_only=True):
    """What a rule would take in, or would have taken in.

    Attributes:
        at: the instant it is asked for; None: now, by what the registry tells.
        draft: it is not the rule in force.
        clauses: every tag that was looked at, and what became of it.
        added, removed: `registry/repository:tag` that the draft takes and the rule in force does not, and the reverse.
        notes: what the answer does not know, such as tags from before the library first saw the repository.
    """

    rule: str
    at: datetime | None
    draft: bool
    clauses: tuple[RuleClauseView, ...]
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class RuleTextView(View, frozen=True, kw_only=True):
    """A rule as it stands in the configuration file, with its comments.

    Attributes:
        hash: of the whole file; saving is refused when it changed meanwhile.
        writable: why the file cannot be written from here, or empty when it can.
    """

    rule: str
    text: str
    path: str
    hash: str
    writable: str = ""
