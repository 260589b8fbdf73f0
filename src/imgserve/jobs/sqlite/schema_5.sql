-- From version 4 to 5: callers take turns, so what is due is found caller by caller. Jobs of older versions are nobody's.
UPDATE job SET caller = '' WHERE caller IS NULL;
DROP INDEX job_due;
CREATE INDEX job_due ON job (caller, run_at, number) WHERE status = 'queued';
