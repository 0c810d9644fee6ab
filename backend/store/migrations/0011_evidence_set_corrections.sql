-- What people corrected of an image is part of what a decision on it rests on.

ALTER TABLE evidence_set ADD COLUMN corrections TEXT NOT NULL DEFAULT '{}';

CREATE INDEX classification_corrected ON classification (digest, name) WHERE set_value IS NOT NULL;

-- Of what people said of images, that by which policy's tables are about one image or another.
CREATE VIEW correction (digest, name, value, actor) AS
SELECT digest, name, set_value, set_by
FROM classification
WHERE set_value IS NOT NULL AND name IN ('kind', 'framework', 'type');
