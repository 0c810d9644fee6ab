-- What an apply that was cut off needs to be completed or undone, and on which decisions it rests.

-- What it is about: the service of that name, or the serving runtime.
ALTER TABLE apply_intent ADD COLUMN subject TEXT NOT NULL DEFAULT 'service'
    CHECK (subject IN ('service', 'runtime'));
-- Ids of the decisions that the approval of the image rested on, a JSON list.
ALTER TABLE apply_intent ADD COLUMN decisions TEXT NOT NULL DEFAULT '[]';
-- Fields that were to be taken from other managers, a JSON list.
ALTER TABLE apply_intent ADD COLUMN take TEXT NOT NULL DEFAULT '[]';
-- The objects as the plan saw them, a JSON list in the order of the manifests; null: there was none. Empty: not kept.
ALTER TABLE apply_intent ADD COLUMN before TEXT NOT NULL DEFAULT '[]';
-- The process that applies, `host pid`: where it is known to be gone, the apply was cut off.
ALTER TABLE apply_intent ADD COLUMN process TEXT NOT NULL DEFAULT '';
