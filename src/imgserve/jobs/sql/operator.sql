-- name: find
SELECT number, status, is_activated FROM job WHERE id = ?1 AND (principal = ?2 OR ?2 IS NULL)

-- name: source
SELECT source FROM job WHERE number = ?

-- All outputs of a job, and whether a newer job has their destinations.
-- name: retryable
SELECT id, spec, status, is_form = 0 AND (is_overtaken = 1 OR EXISTS (SELECT 1 FROM output AS newer
    JOIN job ON job.number = newer.job WHERE newer.destination = old.destination AND newer.job > ?1
    AND job.is_activated = 1 AND principal IN ((SELECT principal FROM job WHERE number = ?1), ?2)))
    FROM output AS old WHERE job = ?1 ORDER BY id

-- name: supersede
UPDATE output SET status = 'superseded' WHERE id = ?

-- name: cancel_entries
DELETE FROM outbox WHERE output = ?1 AND (kind IN (SELECT value FROM json_each(?2)) OR state = 'abandoned')

-- name: reopen_output
UPDATE output SET status = CASE WHEN placeholder IN ('written', 'unknown') THEN 'placeholder' ELSE 'queued' END, is_repeat = 0,
    attempts = 0, crashes = 0, error = '', detail = '', warnings = NULL, hint = '', is_retryable = 0, due_at = ?
    WHERE id = ?

-- name: open_destinations
SELECT destination FROM output WHERE job = ? AND status IN ('queued', 'placeholder')

-- name: reopen_job
UPDATE job SET status = 'queued', run_at = ?1, deadline_at = ?1 + ?2, hosts = ?3, ended_at = NULL,
    retries = retries + 1 WHERE number = ?4 RETURNING principal, priority

-- name: prolong_job
UPDATE job SET deadline_at = ?1 + ?2, retries = retries + 1 WHERE number = ?3

-- Open outputs whose destination no final holds.
-- name: idle_outputs
SELECT id FROM output WHERE job = ? AND status IN ('queued', 'placeholder')
    AND NOT EXISTS (SELECT 1 FROM destination WHERE holder = output.id AND kind = 'final') ORDER BY id
