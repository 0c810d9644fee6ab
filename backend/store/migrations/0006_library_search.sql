-- Search in the library, what more is told of images, corrections of it, and parents that people name.

-- What the model in an image is; empty: not told. `about` holds the first words of its labels, in lower case, for the
-- search. `described` is the version of the program's description of images by which the row was filled in; lower ones
-- are described again from what is stored. `card` is the document that tells of the model.
ALTER TABLE image ADD COLUMN family TEXT NOT NULL DEFAULT '';
ALTER TABLE image ADD COLUMN parameters TEXT NOT NULL DEFAULT '';
ALTER TABLE image ADD COLUMN precision TEXT NOT NULL DEFAULT '';
ALTER TABLE image ADD COLUMN licence TEXT NOT NULL DEFAULT '';
ALTER TABLE image ADD COLUMN about TEXT NOT NULL DEFAULT '';
ALTER TABLE image ADD COLUMN card TEXT REFERENCES content (digest);
ALTER TABLE image ADD COLUMN described INTEGER NOT NULL DEFAULT 0;

CREATE INDEX image_by_description ON image (described);
CREATE INDEX image_by_config ON image (config_digest);
CREATE INDEX image_by_card ON image (card) WHERE card IS NOT NULL;
CREATE INDEX tag_event_by_previous ON tag_event (previous_digest) WHERE previous_digest IS NOT NULL;

-- Made anew for three more properties.
CREATE TABLE classification_before AS SELECT * FROM classification;
DROP TABLE classification;
CREATE TABLE classification (
    digest     TEXT NOT NULL REFERENCES image (digest),
    name       TEXT NOT NULL
        CHECK (name IN ('kind', 'framework', 'engine', 'type', 'family', 'parameters', 'precision')),
    value      TEXT NOT NULL,
    evidence   TEXT NOT NULL,
    confidence REAL NOT NULL,
    set_value  TEXT,
    set_reason TEXT,
    set_by     TEXT,
    set_at     TEXT,
    PRIMARY KEY (digest, name)
) STRICT, WITHOUT ROWID;
INSERT INTO classification SELECT * FROM classification_before;
DROP TABLE classification_before;

-- What a person said that an image was made from. The parent is a reference as it was given; its digest is told where
-- the library held it.
CREATE TABLE image_parent (
    digest        TEXT NOT NULL REFERENCES image (digest),
    parent        TEXT NOT NULL CHECK (parent <> ''),
    parent_digest TEXT,
    relation      TEXT NOT NULL CHECK (relation IN ('fine-tuned', 'distilled', 'quantised', 'merged', 'derived')),
    note          TEXT NOT NULL,
    named_by      TEXT NOT NULL,
    at            TEXT NOT NULL,
    PRIMARY KEY (digest, parent)
) STRICT, WITHOUT ROWID;

CREATE INDEX image_parent_by_parent ON image_parent (parent_digest);

-- The search. A library has many tags, but few different texts to look through: what its repositories are called, what
-- its images say of themselves, and the tags' own texts. Those stand here once each, in lower case and for good, so that
-- an index over them (made by the program where SQLite has FTS5) never has to be changed, only to be added to.
CREATE TABLE search_text (
    id   INTEGER NOT NULL PRIMARY KEY,
    text TEXT    NOT NULL UNIQUE
) STRICT;

-- Up to which text the index reaches; what comes after is looked through.
CREATE TABLE search_index (
    reaches INTEGER NOT NULL
) STRICT;
INSERT INTO search_index (reaches) VALUES (0);

ALTER TABLE repository ADD COLUMN text INTEGER REFERENCES search_text (id);

CREATE INDEX repository_by_text ON repository (text);

-- What the tags of one repository have in common when their images are of one sort.
CREATE TABLE shelf (
    id         INTEGER NOT NULL PRIMARY KEY,
    repository INTEGER NOT NULL REFERENCES repository (id),
    kind       TEXT    NOT NULL,
    type       TEXT    NOT NULL,
    framework  TEXT    NOT NULL,
    engine     TEXT    NOT NULL,
    family     TEXT    NOT NULL,
    parameters TEXT    NOT NULL,
    precision  TEXT    NOT NULL,
    licence    TEXT    NOT NULL,
    platforms  TEXT    NOT NULL,
    text       INTEGER NOT NULL REFERENCES search_text (id),
    UNIQUE (repository, text, kind, type, framework, engine, family, parameters, precision, licence, platforms)
) STRICT;

-- A tag as it is searched and sorted by. Times are seconds since 1970; `name` is its text, `moved` when it last began to
-- name another digest.
CREATE TABLE entry (
    id         INTEGER NOT NULL PRIMARY KEY,
    repository INTEGER NOT NULL REFERENCES repository (id),
    sort_key   TEXT    NOT NULL,
    shelf      INTEGER NOT NULL REFERENCES shelf (id),
    name       INTEGER NOT NULL REFERENCES search_text (id),
    size       INTEGER,
    created    INTEGER,
    first_seen INTEGER NOT NULL,
    changed    INTEGER NOT NULL,
    moved      INTEGER,
    gone       INTEGER NOT NULL CHECK (gone IN (0, 1)),
    digest     TEXT    NOT NULL,
    tag        TEXT    NOT NULL,
    rule       TEXT    NOT NULL
) STRICT;

CREATE UNIQUE INDEX entry_by_place ON entry (repository, sort_key DESC);
-- What is counted is read from these alone.
CREATE INDEX entry_by_shelf ON entry (shelf, gone, changed, sort_key, first_seen, moved, size, name);
CREATE INDEX entry_by_name ON entry (name, shelf);
CREATE INDEX entry_by_digest ON entry (digest);

-- Everything that is looked for in an image beside its name.
CREATE VIEW image_words (digest, words) AS
SELECT digest, lower(kind || ' ' || type || ' ' || framework || ' ' || engine || ' ' || family || ' ' || parameters
                     || ' ' || precision || ' ' || licence || ' ' || about)
FROM image;

CREATE VIEW image_shelf (digest, repository, shelf) AS
SELECT image.digest, shelf.repository, shelf.id
FROM image
JOIN image_words ON image_words.digest = image.digest
JOIN search_text ON search_text.text = image_words.words
JOIN shelf ON shelf.text = search_text.id AND shelf.kind = image.kind AND shelf.type = image.type
    AND shelf.framework = image.framework AND shelf.engine = image.engine AND shelf.family = image.family
    AND shelf.parameters = image.parameters AND shelf.precision = image.precision AND shelf.licence = image.licence
    AND shelf.platforms = image.platforms;

-- Entries are kept by triggers, so that no way of writing a tag can forget them.
CREATE TRIGGER repository_is_searched AFTER INSERT ON repository
BEGIN
    INSERT INTO search_text (text)
    VALUES (lower(NEW.registry || '/' || NEW.name || ' ' || NEW.host || '/' || NEW.name)) ON CONFLICT DO NOTHING;
    UPDATE repository SET text = (
        SELECT id FROM search_text
        WHERE text = lower(NEW.registry || '/' || NEW.name || ' ' || NEW.host || '/' || NEW.name)
    ) WHERE id = NEW.id;
END;

CREATE TRIGGER repository_is_searched_again AFTER UPDATE OF registry, host, name ON repository
WHEN NEW.registry <> OLD.registry OR NEW.host <> OLD.host OR NEW.name <> OLD.name OR NEW.text IS NULL
BEGIN
    INSERT INTO search_text (text)
    VALUES (lower(NEW.registry || '/' || NEW.name || ' ' || NEW.host || '/' || NEW.name)) ON CONFLICT DO NOTHING;
    UPDATE repository SET text = (
        SELECT id FROM search_text
        WHERE text = lower(NEW.registry || '/' || NEW.name || ' ' || NEW.host || '/' || NEW.name)
    ) WHERE id = NEW.id;
END;

CREATE TRIGGER tag_is_entered AFTER INSERT ON tag
BEGIN
    INSERT INTO search_text (text) VALUES (lower(NEW.tag)) ON CONFLICT DO NOTHING;
    INSERT INTO search_text (text) SELECT words FROM image_words WHERE digest = NEW.digest ON CONFLICT DO NOTHING;
    INSERT INTO shelf (repository, kind, type, framework, engine, family, parameters, precision, licence, platforms,
                       text)
    SELECT NEW.repository, kind, type, framework, engine, family, parameters, precision, licence, platforms,
           search_text.id
    FROM image JOIN image_words USING (digest) JOIN search_text ON search_text.text = words
    WHERE image.digest = NEW.digest ON CONFLICT DO NOTHING;
    INSERT INTO entry (repository, sort_key, shelf, name, size, created, first_seen, changed, moved, gone, digest, tag,
                       rule)
    SELECT NEW.repository, NEW.sort_key, image_shelf.shelf, search_text.id, image.size,
           CAST(strftime('%s', image.created_at) AS INTEGER), CAST(strftime('%s', NEW.first_seen_at) AS INTEGER),
           CAST(strftime('%s', NEW.changed_at) AS INTEGER), NULL, NEW.gone_at IS NOT NULL, NEW.digest, NEW.tag,
           NEW.rule
    FROM image JOIN image_shelf ON image_shelf.digest = image.digest AND image_shelf.repository = NEW.repository
    JOIN search_text ON search_text.text = lower(NEW.tag)
    WHERE image.digest = NEW.digest;
END;

CREATE TRIGGER tag_is_entered_again AFTER UPDATE ON tag
BEGIN
    INSERT INTO search_text (text) SELECT words FROM image_words WHERE digest = NEW.digest ON CONFLICT DO NOTHING;
    INSERT INTO shelf (repository, kind, type, framework, engine, family, parameters, precision, licence, platforms,
                       text)
    SELECT NEW.repository, kind, type, framework, engine, family, parameters, precision, licence, platforms,
           search_text.id
    FROM image JOIN image_words USING (digest) JOIN search_text ON search_text.text = words
    WHERE image.digest = NEW.digest ON CONFLICT DO NOTHING;
    UPDATE entry SET
        sort_key = NEW.sort_key,
        shelf = (SELECT shelf FROM image_shelf WHERE digest = NEW.digest AND repository = NEW.repository),
        size = (SELECT size FROM image WHERE digest = NEW.digest),
        created = (SELECT CAST(strftime('%s', created_at) AS INTEGER) FROM image WHERE digest = NEW.digest),
        first_seen = CAST(strftime('%s', NEW.first_seen_at) AS INTEGER),
        changed = CAST(strftime('%s', NEW.changed_at) AS INTEGER),
        moved = iif(NEW.digest <> OLD.digest, CAST(strftime('%s', NEW.changed_at) AS INTEGER), moved),
        gone = NEW.gone_at IS NOT NULL,
        digest = NEW.digest,
        rule = NEW.rule
    WHERE repository = OLD.repository AND sort_key = OLD.sort_key;
END;

CREATE TRIGGER tag_is_struck_out AFTER DELETE ON tag
BEGIN
    DELETE FROM entry WHERE repository = OLD.repository AND sort_key = OLD.sort_key;
END;

CREATE TRIGGER image_is_entered_again
AFTER UPDATE OF kind, type, framework, engine, family, parameters, precision, licence, platforms, about, size,
    created_at ON image
WHEN NEW.kind <> OLD.kind OR NEW.type <> OLD.type OR NEW.framework <> OLD.framework OR NEW.engine <> OLD.engine
    OR NEW.family <> OLD.family OR NEW.parameters <> OLD.parameters OR NEW.precision <> OLD.precision
    OR NEW.licence <> OLD.licence OR NEW.platforms <> OLD.platforms OR NEW.about <> OLD.about
    OR NEW.size IS NOT OLD.size OR NEW.created_at IS NOT OLD.created_at
BEGIN
    INSERT INTO search_text (text) SELECT words FROM image_words WHERE digest = NEW.digest ON CONFLICT DO NOTHING;
    INSERT INTO shelf (repository, kind, type, framework, engine, family, parameters, precision, licence, platforms,
                       text)
    SELECT DISTINCT entry.repository, kind, type, framework, engine, family, parameters, precision, licence, platforms,
           search_text.id
    FROM image JOIN image_words USING (digest) JOIN search_text ON search_text.text = words
    JOIN entry ON entry.digest = image.digest
    WHERE image.digest = NEW.digest ON CONFLICT DO NOTHING;
    UPDATE entry SET
        shelf = (SELECT shelf FROM image_shelf WHERE digest = NEW.digest AND repository = entry.repository),
        size = NEW.size,
        created = CAST(strftime('%s', NEW.created_at) AS INTEGER)
    WHERE digest = NEW.digest;
END;

-- What is there already. Tags are entered as they would have been when they were first seen.
UPDATE repository SET host = host;
INSERT INTO search_text (text) SELECT lower(tag) FROM tag WHERE true ON CONFLICT DO NOTHING;
INSERT INTO search_text (text)
SELECT words FROM image_words WHERE digest IN (SELECT digest FROM tag) ON CONFLICT DO NOTHING;
INSERT INTO shelf (repository, kind, type, framework, engine, family, parameters, precision, licence, platforms, text)
SELECT DISTINCT tag.repository, kind, type, framework, engine, family, parameters, precision, licence, platforms,
       search_text.id
FROM tag JOIN image USING (digest) JOIN image_words USING (digest) JOIN search_text ON search_text.text = words;
INSERT INTO entry (repository, sort_key, shelf, name, size, created, first_seen, changed, moved, gone, digest, tag, rule)
SELECT tag.repository, tag.sort_key, image_shelf.shelf, search_text.id, image.size,
       CAST(strftime('%s', image.created_at) AS INTEGER), CAST(strftime('%s', tag.first_seen_at) AS INTEGER),
       CAST(strftime('%s', tag.changed_at) AS INTEGER),
       (SELECT CAST(strftime('%s', max(at)) AS INTEGER) FROM tag_event
        WHERE tag_event.repository = tag.repository AND tag_event.tag = tag.tag AND previous_digest <> digest),
       tag.gone_at IS NOT NULL, tag.digest, tag.tag, tag.rule
FROM tag JOIN image ON image.digest = tag.digest
JOIN image_shelf ON image_shelf.digest = tag.digest AND image_shelf.repository = tag.repository
JOIN search_text ON search_text.text = lower(tag.tag);
