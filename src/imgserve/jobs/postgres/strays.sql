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

-- What lies there as the last word: a final, or what an outbox entry (of the kinds $4) has put in a placeholder's place.
-- Unless a newer job will write there anyway. Equal bytes came of the stray write if it was this one.
-- name: newest_end
SELECT id, job, entry FROM (
    SELECT output.id, output.job, CASE WHEN output.status <> 'delivered' THEN sent.id END AS entry
    FROM output JOIN job ON job.number = output.job LEFT JOIN outbox AS sent ON sent.output = output.id
        AND sent.state = 'done' AND sent.kind IN (SELECT jsonb_array_elements_text($4::jsonb))
    WHERE destination = $1 AND is_activated = 1 AND (output.status = 'delivered' OR sent.id IS NOT NULL)
    AND NOT EXISTS (SELECT 1 FROM output AS newer JOIN job ON job.number = newer.job
        WHERE newer.destination = $1 AND newer.job > output.job AND newer.status IN ('queued', 'placeholder')
        AND job.is_activated = 1)
    ORDER BY output.job DESC, sent.id DESC LIMIT 1) AS newest
    WHERE NOT (job = $2 AND CASE WHEN entry IS NULL THEN $3 = 'final' ELSE $3 = 'failed' END)

-- name: reopen_entry
UPDATE outbox SET state = 'pending', attempts = 0, due_at = $2, until = greatest(until, $3) WHERE id = $1

-- name: reopen_output
UPDATE output SET status = 'placeholder', is_repeat = 1, attempts = 0, crashes = 0, due_at = $2 WHERE id = $1

-- name: reopen_job
UPDATE job SET status = 'queued', run_at = $2, hosts = $3, ended_at = NULL, deadline_at = greatest(deadline_at, $4)
    WHERE number = $1 AND ended_at IS NOT NULL RETURNING principal, priority
