-- What was applied to clusters, and what can be returned to.

-- Written before an apply and completed after it: a row without an end is an apply that was cut off, of which only the
-- cluster knows what became of it.
CREATE TABLE apply_intent (
    id         TEXT NOT NULL PRIMARY KEY,
    context    TEXT NOT NULL,
    cluster_id TEXT NOT NULL,
    namespace  TEXT NOT NULL,
    name       TEXT NOT NULL,
    image      TEXT NOT NULL,
    plan       TEXT NOT NULL,
    manifests  TEXT NOT NULL,
    deployment TEXT NOT NULL,
    note       TEXT NOT NULL,
    actor      TEXT NOT NULL,
    started_at TEXT NOT NULL,
    ended_at   TEXT,
    outcome    TEXT CHECK (outcome IN ('applied', 'unchanged', 'overwritten', 'refused', 'failed', 'not applied')),
    detail     TEXT NOT NULL DEFAULT '',
    CHECK ((ended_at IS NULL) = (outcome IS NULL))
) STRICT;

CREATE INDEX apply_intent_open ON apply_intent (started_at) WHERE ended_at IS NULL;

-- A snapshot is an intent that came about, in the order in which they did.
CREATE TABLE snapshot (
    position      INTEGER NOT NULL PRIMARY KEY,
    id            TEXT    NOT NULL UNIQUE REFERENCES apply_intent (id),
    context       TEXT    NOT NULL,
    namespace     TEXT    NOT NULL,
    name          TEXT    NOT NULL,
    manifest_hash TEXT    NOT NULL,
    at            TEXT    NOT NULL
) STRICT;

CREATE INDEX snapshot_by_service ON snapshot (context, namespace, name, position);
