-- What is approved beside the digest, comments, break-glass, automatic decisions.

-- A rule of a column cannot be widened in place, so the table is made anew; rows and their numbers stay as they are.
CREATE TABLE decision_with_scope (
    seq              INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    id               TEXT    NOT NULL UNIQUE,
    digest           TEXT    NOT NULL REFERENCES candidate (digest),
    reference        TEXT    NOT NULL,
    verdict          TEXT    NOT NULL CHECK (verdict IN ('approve', 'reject', 'revoke', 'break-glass', 'review')),
    actor            TEXT    NOT NULL,
    actor_source     TEXT    NOT NULL,
    at               TEXT    NOT NULL,
    reason           TEXT    NOT NULL CHECK (reason <> ''),
    ticket           TEXT    NOT NULL,
    evidence_hash    TEXT    NOT NULL,
    policy_hash      TEXT    NOT NULL,
    approvals_needed INTEGER NOT NULL CHECK (approvals_needed > 0),
    expires_at       TEXT,
    -- Whom policy took the actor for, and what they held then: who counts for which group is not judged anew later.
    person           TEXT    NOT NULL DEFAULT '',
    actor_groups     TEXT    NOT NULL DEFAULT '[]',
    actor_roles      TEXT    NOT NULL DEFAULT '[]',
    requirements     TEXT    NOT NULL DEFAULT '[]',
    -- An automatic decision is policy's, made by the worker; it stands for so many people.
    automatic        INTEGER NOT NULL DEFAULT 0 CHECK (automatic IN (0, 1)),
    stands_for       INTEGER NOT NULL DEFAULT 0 CHECK (stands_for >= 0),
    -- What is approved beside the digest; what is empty is not fixed.
    weights          TEXT    NOT NULL DEFAULT '',
    runtime          TEXT    NOT NULL DEFAULT '',
    environment      TEXT    NOT NULL DEFAULT '',
    -- Of a review: the break-glass decision that was looked at.
    about            TEXT    NOT NULL DEFAULT '',
    CHECK ((verdict = 'review') = (about <> '')),
    CHECK (verdict <> 'break-glass' OR (expires_at IS NOT NULL AND ticket <> '')),
    CHECK (automatic = 0 OR actor_source = 'worker')
) STRICT;

INSERT INTO decision_with_scope (seq, id, digest, reference, verdict, actor, actor_source, at, reason, ticket,
    evidence_hash, policy_hash, approvals_needed, expires_at, person)
SELECT seq, id, digest, reference, verdict, actor, actor_source, at, reason, ticket, evidence_hash, policy_hash,
    approvals_needed, expires_at, actor
FROM decision ORDER BY seq;

DROP TABLE decision;

ALTER TABLE decision_with_scope RENAME TO decision;

CREATE INDEX decision_by_digest ON decision (digest, seq);
CREATE INDEX decision_by_expiry ON decision (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX decision_break_glass ON decision (seq) WHERE verdict IN ('break-glass', 'review');

CREATE TRIGGER decision_keeps_rows BEFORE DELETE ON decision
BEGIN
    SELECT RAISE(ABORT, 'decisions are kept');
END;

CREATE TRIGGER decision_keeps_columns BEFORE UPDATE ON decision
BEGIN
    SELECT RAISE(ABORT, 'decisions are not rewritten');
END;

ALTER TABLE waiver ADD COLUMN control TEXT NOT NULL DEFAULT '';

CREATE INDEX waiver_by_end ON waiver (until);

-- That an approval, a break-glass or a waiver was seen to have ended, so that a clock that is set back does not bring it
-- back; after_seq is the last decision of the yard before that was seen.
CREATE TABLE lapse (
    id        TEXT    NOT NULL PRIMARY KEY,
    after_seq INTEGER NOT NULL,
    at        TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE comment (
    seq          INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    id           TEXT    NOT NULL UNIQUE,
    digest       TEXT    NOT NULL REFERENCES candidate (digest),
    actor        TEXT    NOT NULL,
    actor_source TEXT    NOT NULL,
    at           TEXT    NOT NULL,
    text         TEXT    NOT NULL,
    ticket       TEXT    NOT NULL,
    CHECK (text <> '' OR ticket <> '')
) STRICT;

CREATE INDEX comment_by_digest ON comment (digest, seq);

CREATE TRIGGER comment_keeps_rows BEFORE DELETE ON comment
BEGIN
    SELECT RAISE(ABORT, 'comments are kept');
END;

CREATE TRIGGER comment_keeps_columns BEFORE UPDATE ON comment
BEGIN
    SELECT RAISE(ABORT, 'comments are not rewritten');
END;

-- What policy said of a candidate when the worker last judged it, so that thousands need not be judged to be listed. It
-- holds for this evidence and policy, from `at` until time alone changes it.
CREATE TABLE assessment (
    digest        TEXT    NOT NULL PRIMARY KEY REFERENCES candidate (digest),
    evidence_hash TEXT    NOT NULL,
    policy_hash   TEXT    NOT NULL,
    at            TEXT    NOT NULL,
    until         TEXT,
    passes        INTEGER NOT NULL CHECK (passes IN (0, 1)),
    data          TEXT    NOT NULL
) STRICT;

CREATE INDEX assessment_by_end ON assessment (until);

-- Whether that was with the evidence and waivers of now.
ALTER TABLE candidate ADD COLUMN judged INTEGER NOT NULL DEFAULT 0 CHECK (judged IN (0, 1));

CREATE INDEX candidate_to_judge ON candidate (digest) WHERE judged = 0;
