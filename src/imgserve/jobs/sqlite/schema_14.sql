-- From version 13 to 14: jobs of the native API, their events, and the keys by which a request is sent again.
ALTER TABLE job ADD COLUMN protocol TEXT NOT NULL DEFAULT 'classic';
ALTER TABLE job ADD COLUMN priority TEXT NOT NULL DEFAULT 'normal';
ALTER TABLE job ADD COLUMN not_before REAL;
ALTER TABLE job ADD COLUMN metadata BLOB;
ALTER TABLE job ADD COLUMN retries INTEGER NOT NULL DEFAULT 0;
ALTER TABLE job ADD COLUMN superseded_by TEXT NOT NULL DEFAULT '';
DROP INDEX job_due;
CREATE INDEX job_due ON job (principal, priority, hosts, run_at, number) WHERE status = 'queued';
DROP INDEX job_of_principal;
CREATE INDEX job_end_of_principal ON job (principal, status, number, created_at) WHERE ended_at IS NOT NULL;

ALTER TABLE output ADD COLUMN hint TEXT NOT NULL DEFAULT '';
ALTER TABLE output ADD COLUMN is_retryable INTEGER NOT NULL DEFAULT 0;
ALTER TABLE output ADD COLUMN size_bytes INTEGER;
ALTER TABLE output ADD COLUMN sha256 BLOB;
ALTER TABLE output ADD COLUMN delivered_at REAL;

CREATE TABLE event (
    number      INTEGER PRIMARY KEY AUTOINCREMENT,
    job         INTEGER NOT NULL REFERENCES job (number) ON DELETE CASCADE,
    output      INTEGER,
    at          REAL    NOT NULL,
    type        TEXT    NOT NULL,
    code        TEXT    NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX event_of_job ON event (job, number);

CREATE TABLE idempotency (
    key        TEXT    NOT NULL,
    principal  TEXT    NOT NULL,
    digest     BLOB    NOT NULL,
    job_id     TEXT    NOT NULL,
    created_at REAL    NOT NULL,
    PRIMARY KEY (key, principal)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_age ON idempotency (created_at);
CREATE INDEX idempotency_of_job ON idempotency (job_id);
