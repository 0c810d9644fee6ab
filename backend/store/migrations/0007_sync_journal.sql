-- The journal of runs, a line a repository, and where an interrupted run goes on.

-- Made anew for an outcome more, and to number runs in the order in which they began, whatever the clock said.
ALTER TABLE sync_run RENAME TO sync_run_before;
ALTER TABLE sync_journal RENAME TO sync_journal_before;
DROP INDEX sync_run_by_rule;
DROP INDEX sync_journal_by_run;

-- A run of one rule; finished_at stays empty while it runs and when it was killed, which `process` tells apart.
-- `resumed` counts the tags that the run it went on with had asked for and that were not asked for again; `allowed` is
-- the leave to take in more than max_new, `rule_hash` of the rule as it was. stopped_by is who asked it to end.
CREATE TABLE sync_run (
    number       INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    run          TEXT    NOT NULL,
    rule         TEXT    NOT NULL,
    registry     TEXT    NOT NULL,
    actor        TEXT    NOT NULL,
    started_at   TEXT    NOT NULL,
    finished_at  TEXT,
    outcome      TEXT    NOT NULL CHECK (outcome IN ('started', 'done', 'failed', 'refused', 'interrupted')),
    reason       TEXT    NOT NULL DEFAULT '',
    new          INTEGER NOT NULL DEFAULT 0,
    moved        INTEGER NOT NULL DEFAULT 0,
    gone         INTEGER NOT NULL DEFAULT 0,
    failed       INTEGER NOT NULL DEFAULT 0,
    unchanged    INTEGER NOT NULL DEFAULT 0,
    skipped      INTEGER NOT NULL DEFAULT 0,
    requests     INTEGER NOT NULL DEFAULT 0,
    bytes        INTEGER NOT NULL DEFAULT 0,
    seconds      REAL    NOT NULL DEFAULT 0,
    resumed      INTEGER NOT NULL DEFAULT 0,
    resumed_from TEXT    NOT NULL DEFAULT '',
    process      TEXT    NOT NULL DEFAULT '',
    rule_hash    TEXT    NOT NULL DEFAULT '',
    allowed      INTEGER NOT NULL DEFAULT 0 CHECK (allowed IN (0, 1)),
    stopped_by   TEXT    NOT NULL DEFAULT '',
    UNIQUE (run, rule)
) STRICT;

CREATE INDEX sync_run_by_rule ON sync_run (rule, number);

INSERT INTO sync_run (run, rule, registry, actor, started_at, finished_at, outcome, reason, new, moved, gone, failed,
                      unchanged, skipped, requests, bytes)
SELECT run, rule, registry, actor, started_at, finished_at,
       CASE WHEN reason = 'interrupted' THEN 'interrupted' ELSE outcome END,
       reason, new, moved, gone, failed, unchanged, skipped, requests, bytes
FROM sync_run_before ORDER BY started_at, run, rule;

-- What a run found in a repository. Repository '' is the registry's own list. The reasons are JSON: [[tag, why], ...].
CREATE TABLE sync_journal (
    run        TEXT    NOT NULL,
    rule       TEXT    NOT NULL,
    repository TEXT    NOT NULL,
    state      TEXT    NOT NULL CHECK (state IN ('done', 'partial', 'failed', 'running', 'not reached')),
    seen       INTEGER NOT NULL DEFAULT 0,
    new        INTEGER NOT NULL DEFAULT 0,
    moved      INTEGER NOT NULL DEFAULT 0,
    gone       INTEGER NOT NULL DEFAULT 0,
    unchanged  INTEGER NOT NULL DEFAULT 0,
    resumed    INTEGER NOT NULL DEFAULT 0,
    skipped    INTEGER NOT NULL DEFAULT 0,
    failed     INTEGER NOT NULL DEFAULT 0,
    requests   INTEGER NOT NULL DEFAULT 0,
    bytes      INTEGER NOT NULL DEFAULT 0,
    seconds    REAL    NOT NULL DEFAULT 0,
    reasons    TEXT    NOT NULL DEFAULT '[]',
    PRIMARY KEY (run, rule, repository),
    FOREIGN KEY (run, rule) REFERENCES sync_run (run, rule) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

INSERT INTO sync_journal (run, rule, repository, state, failed, reasons)
SELECT run, rule, repository, iif(min(tag) = '', 'failed', 'partial'), count(*), json_group_array(json_array(tag, reason))
FROM sync_journal_before GROUP BY run, rule, repository;

DROP TABLE sync_journal_before;
DROP TABLE sync_run_before;

-- Tags that an unfinished run has asked for and dealt with; removed when a run of the rule comes to its end.
CREATE TABLE sync_checkpoint (
    id         INTEGER NOT NULL PRIMARY KEY,
    run        TEXT    NOT NULL,
    rule       TEXT    NOT NULL,
    repository TEXT    NOT NULL,
    at         TEXT    NOT NULL,
    tags       TEXT    NOT NULL,
    FOREIGN KEY (run, rule) REFERENCES sync_run (run, rule) ON DELETE CASCADE
) STRICT;

CREATE INDEX sync_checkpoint_by_run ON sync_checkpoint (run, rule);
