-- All of them are about the nodes of the epochs $1, which are dead.

-- name: numbers
SELECT number FROM job WHERE status = 'accepting' AND epoch = ANY($1)
    UNION SELECT number FROM job WHERE status = 'running' AND node = ANY($1)
    UNION SELECT output.job FROM destination JOIN output ON output.id = holder WHERE destination.epoch = ANY($1)
    ORDER BY 1

-- name: unfinished_writes
SELECT output.job, key, principal, "user" FROM destination JOIN output ON output.id = holder
    JOIN job ON job.number = output.job
    WHERE kind <> 'placeholder' AND is_activated = 1 AND is_form = 0 AND destination.epoch = ANY($1)

-- name: quieten_destinations
UPDATE destination SET holder = NULL, token = NULL, kind = NULL, quiet_until = $2
    WHERE holder IS NOT NULL AND epoch = ANY($1)

-- name: forget_destinations
DELETE FROM destination WHERE holder IS NULL AND quiet_until < $1
    AND NOT EXISTS (SELECT 1 FROM output WHERE output.destination = key)

-- name: requeue_running
UPDATE job SET status = 'queued', lease_until = NULL WHERE status = 'running' AND node = ANY($1)

-- name: make_entries_due
UPDATE outbox SET due_at = $2 WHERE state = 'pending' AND due_at > $2 AND due_at <= $3 AND node = ANY($1)

-- name: delay_accepting
UPDATE output SET due_at = greatest(due_at, $2)
    WHERE job IN (SELECT number FROM job WHERE status = 'accepting' AND epoch = ANY($1))

-- name: lose_placeholders
UPDATE output SET placeholder = 'unknown', status = 'placeholder' WHERE placeholder = 'pending' AND status = 'queued'
    AND job IN (SELECT number FROM job WHERE status = 'accepting' AND epoch = ANY($1))

-- name: activate_accepting
UPDATE job SET status = 'queued', lease_until = NULL,
    is_activated = CASE WHEN coalesce(not_before, 0) <= $2 THEN 1 ELSE 0 END,
    run_at = greatest($3, coalesce(not_before, 0))
    WHERE status = 'accepting' AND epoch = ANY($1) RETURNING number, is_activated

-- Their rows stay until their pictures are deleted.
-- name: give_up_uploads
UPDATE upload SET due_at = $2 WHERE state = 'coming' AND epoch = ANY($1)

-- name: adoptable
SELECT digest FROM job WHERE is_answered = 0 AND epoch NOT IN (SELECT epoch FROM node)

-- Once no node was alive for a while.
-- name: extend_entries
UPDATE outbox SET until = greatest(until, $1) WHERE state = 'pending'

-- name: extend_deadlines
UPDATE job SET deadline_at = $1 WHERE ended_at IS NULL AND deadline_at < $1

-- name: make_all_entries_due
UPDATE outbox SET due_at = $1 WHERE state = 'pending' AND due_at > $1
    AND (due_at <= $2 OR kind NOT IN (SELECT jsonb_array_elements_text($3::text::jsonb)))
