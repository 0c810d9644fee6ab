-- What others changed, as it was seen, and what proved a rollout good or bad.

-- Whoever sees a change first writes it: identity says what makes it the same change to every process of the yard.
CREATE TABLE observed_change (
    position INTEGER NOT NULL PRIMARY KEY,
    identity TEXT    NOT NULL UNIQUE,
    at       TEXT    NOT NULL,
    context  TEXT    NOT NULL,
    kind     TEXT    NOT NULL CHECK (kind IN ('edit', 'scale', 'node')),
    actor    TEXT    NOT NULL,
    what     TEXT    NOT NULL,
    object   TEXT    NOT NULL,
    detail   TEXT    NOT NULL,
    services TEXT    NOT NULL
) STRICT;

CREATE INDEX observed_change_by_time ON observed_change (at);

-- A row without an end is a rollout that is to be proved yet; whoever works on it holds it until claimed_until.
CREATE TABLE validation (
    position      INTEGER NOT NULL PRIMARY KEY,
    id            TEXT    NOT NULL UNIQUE,
    context       TEXT    NOT NULL,
    namespace     TEXT    NOT NULL,
    name          TEXT    NOT NULL,
    snapshot      TEXT    NOT NULL,
    image         TEXT    NOT NULL,
    actor         TEXT    NOT NULL,
    on_failure    TEXT    NOT NULL CHECK (on_failure IN ('propose', 'rollback', 'nothing')),
    started_at    TEXT    NOT NULL,
    claimed_by    TEXT    NOT NULL DEFAULT '',
    claimed_until TEXT    NOT NULL DEFAULT '',
    ended_at      TEXT,
    outcome       TEXT CHECK (outcome IN ('passed', 'failed', 'not possible', 'superseded')),
    traffic       TEXT    NOT NULL DEFAULT '',
    checks        TEXT    NOT NULL DEFAULT '[]',
    reason        TEXT    NOT NULL DEFAULT '',
    proposal      TEXT    NOT NULL DEFAULT '',
    answer        TEXT    NOT NULL DEFAULT '',
    CHECK ((ended_at IS NULL) = (outcome IS NULL))
) STRICT;

CREATE INDEX validation_open ON validation (started_at) WHERE ended_at IS NULL;
CREATE INDEX validation_by_service ON validation (context, namespace, name, position);
