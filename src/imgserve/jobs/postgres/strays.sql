-- name: add
INSERT INTO stray (key, job, token, kind, epoch, at)
    SELECT key, output.job, destination.token, kind, epoch, $2 FROM destination JOIN output ON output.id = holder
    WHERE epoch = ANY($1) AND is_form = 0 ON CONFLICT DO NOTHING

-- name: ended
DELETE FROM stray WHERE job = $1 AND token = $2 RETURNING key, job, kind

-- name: of_nodes
DELETE FROM stray WHERE epoch = ANY($1) RETURNING key, job, kind

-- name: follow
UPDATE stray SET epoch = $2 WHERE epoch = $1

-- name: forget
DELETE FROM stray WHERE at < $1

-- Unless a newer job will write there anyway. Equal bytes came of the stray write if it was this job's own final.
-- name: newest_final
SELECT id, job FROM (
    SELECT output.id, output.job FROM output JOIN job ON job.number = output.job
    WHERE destination = $1 AND output.status = 'delivered' AND is_activated = 1
    AND NOT EXISTS (SELECT 1 FROM output AS newer JOIN job ON job.number = newer.job
        WHERE newer.destination = $1 AND newer.job > output.job AND newer.status IN ('queued', 'placeholder')
        AND job.is_activated = 1)
    ORDER BY output.job DESC LIMIT 1) AS newest
    WHERE NOT (job = $2 AND $3 = 'final')

-- name: reopen_output
UPDATE output SET status = 'placeholder', is_repeat = 1, attempts = 0, crashes = 0, due_at = $2 WHERE id = $1

-- name: reopen_job
UPDATE job SET status = 'queued', run_at = $2, hosts = $3, ended_at = NULL, deadline_at = greatest(deadline_at, $4)
    WHERE number = $1 AND ended_at IS NOT NULL RETURNING principal, priority
