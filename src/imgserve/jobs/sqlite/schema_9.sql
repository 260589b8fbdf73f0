-- From version 8 to 9: each output has attempts and times of its own. A claim keeps its token while the outbox takes others.
ALTER TABLE job ADD COLUMN claim INTEGER;
ALTER TABLE output ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE output ADD COLUMN crashes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE output ADD COLUMN due_at REAL NOT NULL DEFAULT 0;
ALTER TABLE output ADD COLUMN error TEXT NOT NULL DEFAULT '';
ALTER TABLE output ADD COLUMN detail TEXT NOT NULL DEFAULT '';
UPDATE output SET attempts = job.attempts, crashes = job.crashes, due_at = job.run_at,
    error = iif(output.status = 'delivered', '', job.error), detail = iif(output.status = 'delivered', '', job.detail)
FROM job WHERE job.number = output.job;
ALTER TABLE job DROP COLUMN attempts;
ALTER TABLE job DROP COLUMN crashes;
ALTER TABLE job DROP COLUMN error;
ALTER TABLE job DROP COLUMN detail;
