-- What needed a person, who took it up, and what nobody is to be told of for a while.

CREATE TABLE alert (
    id              TEXT NOT NULL PRIMARY KEY,
    rule            TEXT NOT NULL,
    object          TEXT NOT NULL,
    source          TEXT NOT NULL DEFAULT 'modelyard',
    severity        TEXT NOT NULL,
    summary         TEXT NOT NULL,
    -- JSON list of context/namespace/name.
    services        TEXT NOT NULL,
    state           TEXT NOT NULL CHECK (state IN ('pending', 'firing', 'resolved')),
    since           TEXT NOT NULL,
    fired_at        TEXT,
    clear_since     TEXT,
    resolved_at     TEXT,
    acknowledged_by TEXT NOT NULL DEFAULT '',
    acknowledged_at TEXT,
    note            TEXT NOT NULL DEFAULT '',
    handed_to       TEXT NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;

-- Of one kind and object only one goes on at a time.
CREATE UNIQUE INDEX alert_going ON alert (source, rule, object) WHERE state <> 'resolved';
CREATE INDEX alert_resolved ON alert (resolved_at) WHERE state = 'resolved';

CREATE TABLE alert_silence (
    id        TEXT NOT NULL PRIMARY KEY,
    -- Empty: every rule.
    rule      TEXT NOT NULL,
    -- Glob on the alert's object.
    object    TEXT NOT NULL,
    until     TEXT NOT NULL,
    reason    TEXT NOT NULL,
    actor     TEXT NOT NULL,
    at        TEXT NOT NULL,
    lifted_at TEXT,
    lifted_by TEXT NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;
