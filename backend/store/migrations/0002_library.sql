-- The library: content by digest, what it is, where it was seen, which tags named it when, and the runs that found out.

-- Manifests and configuration blobs as they were received. Content by digest never changes, so it is fetched once.
CREATE TABLE content (
    digest     TEXT NOT NULL PRIMARY KEY,
    media_type TEXT NOT NULL,
    data       BLOB NOT NULL,
    stored_at  TEXT NOT NULL
) STRICT;

CREATE TRIGGER content_never_changes BEFORE UPDATE ON content
BEGIN
    SELECT RAISE(ABORT, 'content by digest never changes');
END;

-- A catalogue entry. The four classified columns hold what counts: a person's correction before what was derived.
CREATE TABLE image (
    digest        TEXT    NOT NULL PRIMARY KEY REFERENCES content (digest),
    media_type    TEXT    NOT NULL,
    artifact_type TEXT    NOT NULL,
    config_digest TEXT    REFERENCES content (digest),
    kind          TEXT    NOT NULL,
    framework     TEXT    NOT NULL,
    engine        TEXT    NOT NULL,
    type          TEXT    NOT NULL,
    size          INTEGER,
    platforms     TEXT    NOT NULL,
    created_at    TEXT,
    recorded_at   TEXT    NOT NULL
) STRICT;

-- The entries of an index, in its order; those of platforms that no rule keeps have no row in image.
CREATE TABLE image_child (
    parent       TEXT    NOT NULL REFERENCES image (digest),
    position     INTEGER NOT NULL,
    digest       TEXT    NOT NULL,
    media_type   TEXT    NOT NULL,
    os           TEXT    NOT NULL,
    architecture TEXT    NOT NULL,
    variant      TEXT    NOT NULL,
    attests      TEXT    NOT NULL,
    PRIMARY KEY (parent, position)
) STRICT, WITHOUT ROWID;

CREATE INDEX image_child_by_digest ON image_child (digest);

CREATE TABLE classification (
    digest     TEXT NOT NULL REFERENCES image (digest),
    name       TEXT NOT NULL CHECK (name IN ('kind', 'framework', 'engine', 'type')),
    value      TEXT NOT NULL,
    evidence   TEXT NOT NULL,
    confidence REAL NOT NULL,
    set_value  TEXT,
    set_reason TEXT,
    set_by     TEXT,
    set_at     TEXT,
    PRIMARY KEY (digest, name)
) STRICT, WITHOUT ROWID;

-- listed_at is when its tag list was last read to the end.
CREATE TABLE repository (
    id            INTEGER NOT NULL PRIMARY KEY,
    registry      TEXT    NOT NULL,
    host          TEXT    NOT NULL,
    name          TEXT    NOT NULL,
    first_seen_at TEXT    NOT NULL,
    listed_at     TEXT,
    UNIQUE (registry, name)
) STRICT;

-- Which rule brought which digest in from where.
CREATE TABLE image_seen (
    repository    INTEGER NOT NULL REFERENCES repository (id),
    digest        TEXT    NOT NULL REFERENCES image (digest),
    rule          TEXT    NOT NULL,
    first_seen_at TEXT    NOT NULL,
    PRIMARY KEY (repository, digest, rule)
) STRICT, WITHOUT ROWID;

CREATE INDEX image_seen_by_digest ON image_seen (digest);

-- sort_key orders the tags of a repository by version; changed_at is when the registry was asked, not when it was written.
CREATE TABLE tag (
    repository      INTEGER NOT NULL REFERENCES repository (id),
    tag             TEXT    NOT NULL,
    digest          TEXT    NOT NULL REFERENCES image (digest),
    previous_digest TEXT,
    rule            TEXT    NOT NULL,
    sort_key        TEXT    NOT NULL,
    first_seen_at   TEXT    NOT NULL,
    changed_at      TEXT    NOT NULL,
    gone_at         TEXT,
    PRIMARY KEY (repository, tag)
) STRICT, WITHOUT ROWID;

CREATE INDEX tag_by_digest ON tag (digest);

CREATE TABLE tag_event (
    id              INTEGER NOT NULL PRIMARY KEY,
    repository      INTEGER NOT NULL REFERENCES repository (id),
    tag             TEXT    NOT NULL,
    change          TEXT    NOT NULL CHECK (change IN ('new', 'moved', 'gone', 'back')),
    digest          TEXT,
    previous_digest TEXT,
    at              TEXT    NOT NULL,
    run             TEXT    NOT NULL
) STRICT;

CREATE INDEX tag_event_by_tag ON tag_event (repository, tag, id);
CREATE INDEX tag_event_by_time ON tag_event (at);

-- A run of one rule; finished_at stays empty while it runs and when it was killed.
CREATE TABLE sync_run (
    run         TEXT    NOT NULL,
    rule        TEXT    NOT NULL,
    registry    TEXT    NOT NULL,
    actor       TEXT    NOT NULL,
    started_at  TEXT    NOT NULL,
    finished_at TEXT,
    outcome     TEXT    NOT NULL CHECK (outcome IN ('started', 'done', 'failed', 'refused')),
    reason      TEXT    NOT NULL DEFAULT '',
    new         INTEGER NOT NULL DEFAULT 0,
    moved       INTEGER NOT NULL DEFAULT 0,
    gone        INTEGER NOT NULL DEFAULT 0,
    failed      INTEGER NOT NULL DEFAULT 0,
    unchanged   INTEGER NOT NULL DEFAULT 0,
    skipped     INTEGER NOT NULL DEFAULT 0,
    requests    INTEGER NOT NULL DEFAULT 0,
    bytes       INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (run, rule)
) STRICT, WITHOUT ROWID;

CREATE INDEX sync_run_by_rule ON sync_run (rule, started_at);

-- The journal of a run: what it could not read. What it changed is in tag_event.
CREATE TABLE sync_journal (
    id          INTEGER NOT NULL PRIMARY KEY,
    run         TEXT    NOT NULL,
    rule        TEXT    NOT NULL,
    at          TEXT    NOT NULL,
    repository  TEXT    NOT NULL,
    tag         TEXT    NOT NULL,
    reason      TEXT    NOT NULL,
    unreachable INTEGER NOT NULL,
    FOREIGN KEY (run, rule) REFERENCES sync_run (run, rule)
) STRICT;

CREATE INDEX sync_journal_by_run ON sync_journal (run, rule);
