-- From version 7 to 8: what is owed after a job's end stands in a table of its own, an entry for each time.
CREATE TABLE outbox (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    job      INTEGER NOT NULL REFERENCES job (number) ON DELETE CASCADE,
    output   INTEGER,
    kind     TEXT    NOT NULL,
    payload  BLOB,
    due_at   REAL    NOT NULL,
    until    REAL    NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    token    INTEGER NOT NULL DEFAULT 0,
    state    TEXT    NOT NULL DEFAULT 'pending'
) STRICT;
INSERT INTO outbox (job, output, kind, due_at, until, attempts, token, state)
SELECT job, id,
    CASE WHEN debt = 'abandoned' THEN 'unreadable'
        WHEN iif(json_valid(CAST(spec AS TEXT)), CAST(spec AS TEXT) ->> '$.on_failure', '') = 'delete' THEN 'deletion'
        ELSE 'error_image' END,
    coalesce(debt_at, 0), coalesce(debt_until, 0), debt_attempts, coalesce(debt_token, 0),
    CASE debt WHEN 'owed' THEN 'pending' WHEN 'paid' THEN 'done' ELSE 'abandoned' END
FROM output WHERE debt IN ('owed', 'paid', 'given_up', 'abandoned');
CREATE INDEX outbox_of_job ON outbox (job);
CREATE INDEX outbox_of_output ON outbox (output);
CREATE INDEX outbox_due ON outbox (due_at) WHERE state = 'pending';
CREATE INDEX outbox_abandoned ON outbox (kind) WHERE state = 'abandoned';

DROP INDEX output_debt;
DROP INDEX output_given_up;
DROP INDEX output_abandoned;
ALTER TABLE output DROP COLUMN debt;
ALTER TABLE output DROP COLUMN debt_at;
ALTER TABLE output DROP COLUMN debt_until;
ALTER TABLE output DROP COLUMN debt_attempts;
ALTER TABLE output DROP COLUMN debt_token;
