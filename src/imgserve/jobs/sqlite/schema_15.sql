-- From version 14 to 15: webhooks, entity tags of placeholders at object stores, and uploaded sources.
ALTER TABLE owner ADD COLUMN events_gone INTEGER NOT NULL DEFAULT 0;
ALTER TABLE job ADD COLUMN webhook BLOB;
ALTER TABLE output ADD COLUMN etag TEXT;

ALTER TABLE outbox ADD COLUMN message_id TEXT;
ALTER TABLE outbox ADD COLUMN target TEXT;
DROP INDEX outbox_due;
CREATE INDEX outbox_due ON outbox (due_at, kind) WHERE state = 'pending';
CREATE INDEX outbox_to ON outbox (target) WHERE state = 'pending' AND target IS NOT NULL;

CREATE TABLE webhook_try (
    number      INTEGER PRIMARY KEY,
    entry       INTEGER NOT NULL REFERENCES outbox (id) ON DELETE CASCADE,
    at          REAL    NOT NULL,
    status      INTEGER,
    error       TEXT    NOT NULL,
    duration_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX webhook_try_of_entry ON webhook_try (entry, number);

CREATE TABLE upload (
    id         TEXT    PRIMARY KEY,
    job        INTEGER REFERENCES job (number) ON DELETE SET NULL,
    principal  TEXT    NOT NULL,
    size_bytes INTEGER NOT NULL,
    sha256     BLOB    NOT NULL,
    created_at REAL    NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX upload_of_job ON upload (job);
CREATE INDEX upload_of_principal ON upload (principal, size_bytes);
