-- name: next_epoch
UPDATE owner SET epoch = epoch + 1 RETURNING epoch, id

-- name: last_process
SELECT version, seen_at FROM process ORDER BY epoch DESC LIMIT 1

-- name: forget_processes
DELETE FROM process WHERE epoch < (SELECT max(epoch) FROM process)

-- name: add_process
INSERT INTO process (epoch, version, format, started_at, seen_at) VALUES (?1, ?2, ?3, ?4, ?4)

-- name: skip_events
UPDATE sqlite_sequence SET seq = seq + ? WHERE name = 'event'

-- name: unfinished_writes
SELECT output.job, key, principal, user FROM destination JOIN output ON output.id = holder
    JOIN job ON job.number = output.job WHERE kind <> 'placeholder' AND is_activated = 1 AND is_form = 0

-- name: forget_destinations
DELETE FROM destination WHERE holder IS NULL AND quiet_until < ?
    AND NOT EXISTS (SELECT 1 FROM output WHERE output.destination = key)

-- name: quieten_destinations
UPDATE destination SET holder = NULL, token = NULL, kind = NULL, quiet_until = ? WHERE holder IS NOT NULL

-- name: requeue_running
UPDATE job SET status = 'queued', lease_until = NULL WHERE status = 'running'

-- A message that was not being sent waits for its time.
-- name: make_entries_due
UPDATE outbox SET due_at = ?1 WHERE state = 'pending' AND due_at > ?1
    AND (due_at <= ?1 + ?2 OR kind NOT IN (SELECT value FROM json_each(?3)))

-- name: delay_accepting
UPDATE output SET due_at = max(due_at, ?)
    WHERE job IN (SELECT number FROM job WHERE ended_at IS NULL AND status = 'accepting' AND epoch < ?)

-- name: lose_placeholders
UPDATE output SET placeholder = 'unknown', status = 'placeholder' WHERE placeholder = 'pending' AND status = 'queued'
    AND job IN (SELECT number FROM job WHERE ended_at IS NULL AND status = 'accepting' AND epoch < ?)

-- name: activate_accepting
UPDATE job SET status = 'queued', is_activated = coalesce(not_before, 0) <= ?1, run_at = max(?2, coalesce(not_before, 0)),
    lease_until = NULL
    WHERE ended_at IS NULL AND status = 'accepting' AND epoch < ?3 RETURNING number, is_activated

-- name: open_by_lane
SELECT principal, priority, count(*) FROM job INDEXED BY job_open WHERE ended_at IS NULL GROUP BY principal, priority

-- name: adoptable
SELECT digest FROM job INDEXED BY job_unanswered WHERE is_answered = 0

-- Pictures that the last server was receiving or deleting: their files go, as those that no row names.
-- name: forget_uploads
DELETE FROM upload WHERE state <> 'kept'
