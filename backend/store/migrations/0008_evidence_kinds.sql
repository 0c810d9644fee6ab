-- What evidence beyond the first kinds needs.

-- The source package that a package was built from, where that has another name: openssl of libssl3.
ALTER TABLE evidence_package ADD COLUMN origin TEXT NOT NULL DEFAULT '';

-- Which images hold a package: asked by name, whatever its case.
CREATE INDEX evidence_package_by_name ON evidence_package (name COLLATE NOCASE);
CREATE INDEX evidence_package_by_origin ON evidence_package (origin COLLATE NOCASE) WHERE origin <> '';

-- What VEX documents say of vulnerabilities; aliases and packages (package URLs) are JSON lists of texts.
CREATE TABLE evidence_vex (
    evidence      TEXT    NOT NULL REFERENCES evidence (id),
    position      INTEGER NOT NULL,
    vulnerability TEXT    NOT NULL,
    aliases       TEXT    NOT NULL,
    status        TEXT    NOT NULL CHECK (status IN ('not_affected', 'affected', 'fixed', 'under_investigation')),
    justification TEXT    NOT NULL,
    detail        TEXT    NOT NULL,
    at            TEXT,
    packages      TEXT    NOT NULL,
    PRIMARY KEY (evidence, position)
) STRICT, WITHOUT ROWID;
