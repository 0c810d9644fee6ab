-- How long starts took, for estimates of the next one of the same image on the same GPUs: one row a pod, in seconds.

CREATE TABLE cold_start (
    pod       TEXT NOT NULL PRIMARY KEY,
    digest    TEXT NOT NULL,
    gpu_type  TEXT NOT NULL,
    service   TEXT NOT NULL,
    loaded_at TEXT NOT NULL,
    scheduled REAL,
    pulled    REAL,
    weights   REAL,
    total     REAL NOT NULL CHECK (total >= 0)
) STRICT;

CREATE INDEX cold_start_by_image ON cold_start (digest, gpu_type, loaded_at);
