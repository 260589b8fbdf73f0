-- From version 5 to 6: claims pass over full hosts, principals cannot overtake each other unseen, clocks may step, pruning
-- looks at what it deletes and at nothing else. A destination's row lives only as long as somebody writes there.
ALTER TABLE owner ADD COLUMN queue_s REAL;
ALTER TABLE owner ADD COLUMN wall_s REAL;
ALTER TABLE owner ADD COLUMN boot TEXT;
ALTER TABLE owner ADD COLUMN boot_s REAL;

ALTER TABLE job ADD COLUMN hosts TEXT NOT NULL DEFAULT '';
UPDATE job SET hosts = coalesce(
    (SELECT group_concat(host, ' ') FROM (
        SELECT DISTINCT substr(destination, 1,
            instr(destination, '://') + 1 + instr(substr(destination, instr(destination, '://') + 3), '/')) AS host
        FROM output WHERE output.job = job.number AND output.status IN ('queued', 'placeholder') ORDER BY 1)), '')
WHERE ended_at IS NULL;
DROP INDEX job_due;
CREATE INDEX job_due ON job (caller, hosts, run_at, number) WHERE status = 'queued';
DROP INDEX job_ended;
CREATE INDEX job_ended ON job ((status = 'failed'), ended_at, number) WHERE ended_at IS NOT NULL;

ALTER TABLE output ADD COLUMN user TEXT NOT NULL DEFAULT '';
ALTER TABLE output ADD COLUMN is_overtaken INTEGER NOT NULL DEFAULT 0;
ALTER TABLE output ADD COLUMN is_covered INTEGER NOT NULL DEFAULT 0;
ALTER TABLE output ADD COLUMN placeholder_digest BLOB;
ALTER TABLE output ADD COLUMN placeholder_bytes INTEGER;
CREATE INDEX output_abandoned ON output (id) WHERE debt = 'abandoned';
-- The user name in the URL; a text that is no JSON has none.
UPDATE output SET user = (
    SELECT substr(info, 1, instr(info || ':', ':') - 1) FROM (
        SELECT substr(authority, 1, instr(authority, '@') - 1) AS info FROM (
            SELECT substr(rest, 1, instr(rest || '/', '/') - 1) AS authority FROM (
                SELECT substr(url, instr(url, '://') + 3) AS rest FROM (
                    SELECT CAST(spec AS TEXT) ->> '$.destination.url' AS url)))))
WHERE iif(json_valid(CAST(spec AS TEXT)), json_type(CAST(spec AS TEXT), '$.destination.url'), '') = 'text'
    AND destination NOT LIKE 'file:%'
    AND job IN (SELECT number FROM job WHERE ended_at IS NULL OR status IN ('failed', 'cancelled'));
UPDATE output SET is_overtaken = 1
WHERE is_form = 0 AND status NOT IN ('delivered', 'superseded')
    AND job < (SELECT written FROM destination WHERE key = output.destination);

DELETE FROM destination WHERE holder IS NULL AND quiet_until = 0;
ALTER TABLE destination DROP COLUMN written;
