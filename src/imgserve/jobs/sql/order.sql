-- The first six are bound to the values of a Writer. ``older``: an output of an earlier job at the same destination,
-- over which the writer has precedence.

-- name: supersede_older
UPDATE output AS older SET status = 'superseded' WHERE status IN ('queued', 'placeholder')
    AND older.destination = :key AND older.job < :number
    AND ((SELECT principal FROM job WHERE job.number = older.job) = :principal OR :principal = :operator
        OR :is_taken = 1 AND older.user = :user)
    RETURNING job

-- name: overtake_older
UPDATE output AS older SET is_overtaken = 1 WHERE is_overtaken = 0 AND status NOT IN ('delivered', 'superseded')
    AND older.destination = :key AND older.job < :number
    AND ((SELECT principal FROM job WHERE job.number = older.job) = :principal OR :principal = :operator
        OR :is_taken = 1 AND older.user = :user)

-- name: cancel_entries_of_older
DELETE FROM outbox WHERE state = 'pending' AND kind IN (SELECT value FROM json_each(:giving_way)) AND output IN
    (SELECT id FROM output AS older WHERE older.destination = :key AND older.job < :number
    AND ((SELECT principal FROM job WHERE job.number = older.job) = :principal OR :principal = :operator
        OR :is_taken = 1 AND older.user = :user))

-- A job that was refused at intake has no place in the order: a final of any age has replaced its placeholder.
-- name: cancel_entries_of_refused
DELETE FROM outbox WHERE state = 'pending' AND kind IN (SELECT value FROM json_each(:giving_way)) AND output IN
    (SELECT refused.id FROM output AS refused JOIN job ON number = refused.job WHERE refused.destination = :key
    AND job.is_activated = 0 AND (job.principal = :principal OR refused.user = :user))

-- ``newer``: jobs of other principals whose placeholder may lie there, or may have been replaced by this final.
-- name: cover_newer
UPDATE output AS newer SET is_covered = 1 WHERE status IN ('queued', 'placeholder')
    AND newer.destination = :key AND newer.job > :number AND newer.user = :user AND newer.placeholder = 'unknown'
    AND (SELECT principal FROM job WHERE job.number = newer.job) <> :principal

-- name: cancel_entries_of_newer
DELETE FROM outbox WHERE state = 'pending' AND kind IN (SELECT value FROM json_each(:giving_way)) AND output IN
    (SELECT id FROM output AS newer
    WHERE newer.destination = :key AND newer.job > :number AND newer.user = :user AND newer.placeholder = 'unknown'
    AND (SELECT principal FROM job WHERE job.number = newer.job) <> :principal)

-- name: placeholder_of_older
SELECT placeholder_digest, placeholder_bytes, etag FROM output AS older
    WHERE placeholder IN ('pending', 'written', 'unknown') AND status IN ('queued', 'placeholder')
    AND older.destination = :key AND older.job < :number
    AND ((SELECT principal FROM job WHERE job.number = older.job) = :principal OR :principal = :operator)
    ORDER BY job DESC LIMIT 1

-- name: inherit_placeholder
UPDATE output SET placeholder = 'written', placeholder_digest = ?, placeholder_bytes = ?, etag = ? WHERE id = ?

-- name: outputs_with_older
SELECT newer.id, newer.placeholder, destination, principal, "user" FROM output AS newer JOIN job ON number = job
    WHERE newer.job = ? AND is_form = 0 AND EXISTS (SELECT 1 FROM output AS older
    WHERE older.destination = newer.destination AND older.job < newer.job)

-- name: output_with_others
SELECT output.job, destination, principal, "user" FROM output JOIN job ON number = job WHERE output.id = ?
    AND is_form = 0 AND EXISTS (SELECT 1 FROM output AS other
    WHERE other.destination = output.destination AND other.job <> output.job)

-- name: activate
UPDATE job SET is_activated = 1 WHERE number = ?

-- name: states
SELECT status, due_at, destination FROM output WHERE job = ?

-- name: wait
UPDATE job SET hosts = ?, run_at = ? WHERE number = ? AND status = 'queued'

-- The id of another principal's job is not this one's to see.
-- name: name_superseding
UPDATE job SET superseded_by = coalesce((SELECT newer.id FROM output JOIN output AS place
    ON place.destination = output.destination AND place.job > output.job JOIN job AS newer ON newer.number = place.job
    WHERE output.job = job.number AND output.status = 'superseded' AND newer.principal = job.principal
    AND newer.is_activated = 1 ORDER BY newer.number DESC LIMIT 1), '') WHERE number = ?

-- name: end
UPDATE job SET status = ?1, ended_at = ?2, lease_until = NULL
    WHERE number = ?3 AND ended_at IS NULL AND (status <> 'accepting' OR ?4 = 1)
    RETURNING id, principal, priority, created_at,
    CASE WHEN ?1 = 'succeeded' THEN '' ELSE coalesce(
        (SELECT error FROM output WHERE output.job = number AND error <> '' ORDER BY output.id LIMIT 1), '') END,
    webhook IS NOT NULL
