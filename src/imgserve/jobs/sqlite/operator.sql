-- name: find
SELECT number, status, is_activated FROM job WHERE id = ?

-- name: make_due
UPDATE output SET due_at = ? WHERE job = ? AND status IN ('queued', 'placeholder') RETURNING destination

-- name: reopen_job
UPDATE job SET status = 'queued', run_at = ?1, deadline_at = ?1 + ?2, hosts = ?3, ended_at = NULL,
    retries = retries + 1 WHERE number = ?4
    RETURNING principal

-- name: supersede_overtaken
UPDATE output AS old SET status = 'superseded' WHERE job = ?1 AND status = 'failed' AND is_form = 0
    AND (EXISTS (SELECT 1 FROM output AS newer JOIN job ON job.number = newer.job
    WHERE newer.destination = old.destination AND newer.job > ?1 AND job.is_activated = 1
    AND principal IN ((SELECT principal FROM job WHERE number = ?1), ?2))
    OR is_overtaken)

-- name: cancel_entries
DELETE FROM outbox WHERE output IN (SELECT id FROM output WHERE job = ?1 AND status = 'failed')
    AND (kind IN (SELECT value FROM json_each(?2)) OR state = 'abandoned')

-- name: reopen_outputs
UPDATE output SET status = iif(placeholder IN ('written', 'unknown'), 'placeholder', 'queued'), is_repeat = 0,
    attempts = 0, crashes = 0, error = '', detail = '', warnings = NULL, hint = '', is_retryable = 0
    WHERE job = ? AND status = 'failed'

-- name: is_writing_a_final
SELECT EXISTS (SELECT 1 FROM output JOIN destination ON destination.holder = output.id
    WHERE output.job = ? AND destination.kind = 'final')
