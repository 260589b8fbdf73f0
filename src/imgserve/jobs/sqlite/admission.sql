-- name: add_job
INSERT INTO job (id, status, source, facts, digest, epoch, created_at, deadline_at, run_at,
    traceparent, caller, hosts, lease_until)
    VALUES (?1, 'accepting', ?2, ?3, ?4, ?5, ?6, ?6 + ?7, ?6, nullif(?8, ''), ?9, ?10, ?6 + ?11)

-- name: add_output
INSERT INTO output (job, spec, destination, is_form, placeholder, user, due_at) VALUES (?, ?, ?, ?, ?, ?, ?)

-- name: find_twin
SELECT number, id FROM job WHERE digest = ? AND is_answered = 0 AND epoch < ?
    AND (ended_at IS NULL OR status = 'succeeded' AND created_at > ?) ORDER BY number DESC LIMIT 1

-- name: specs
SELECT spec FROM output WHERE job = ? ORDER BY id

-- name: adopt
UPDATE job SET epoch = ? WHERE number = ?

-- name: release
UPDATE job SET is_released = 1, status = 'queued', run_at = ?1, lease_until = NULL
    WHERE number = ?2 AND status = 'accepting'
    RETURNING EXISTS (SELECT 1 FROM output JOIN output AS older ON older.destination = output.destination
    WHERE output.job = number AND older.job < number),
    EXISTS (SELECT 1 FROM output WHERE job = number AND status IN ('queued', 'placeholder'))

-- name: forget
DELETE FROM job WHERE number = ?

-- name: note_refusal
UPDATE output SET error = ?, detail = ? WHERE job = ?

-- name: mark_answered
UPDATE job SET is_answered = 1 WHERE number = ?

-- name: open_outputs
SELECT id, spec, iif(is_covered, 'none', placeholder), is_repeat FROM output
    WHERE job = ? AND status IN ('queued', 'placeholder') ORDER BY id

-- name: count_as_delivered
UPDATE output SET status = 'delivered' WHERE id = ?

-- name: end_output
UPDATE output SET status = ? WHERE id = ?

-- name: next_epoch
UPDATE owner SET epoch = epoch + 1

-- name: forget_processes
DELETE FROM process WHERE epoch < (SELECT max(epoch) FROM process)

-- name: add_process
INSERT INTO process (epoch, version, format, started_at, seen_at) SELECT epoch, ?, ?, ?3, ?3 FROM owner

-- name: cut_off_writes
SELECT output.job, key, caller, user FROM destination JOIN output ON output.id = holder
    JOIN job ON job.number = output.job WHERE kind <> 'placeholder' AND is_released = 1 AND is_form = 0

-- name: forget_destinations
DELETE FROM destination WHERE holder IS NULL AND quiet_until < ?
    AND NOT EXISTS (SELECT 1 FROM output WHERE output.destination = key)

-- name: leave_destinations_alone
UPDATE destination SET holder = NULL, token = NULL, kind = NULL, quiet_until = ? WHERE holder IS NOT NULL

-- name: requeue_running
UPDATE job SET status = 'queued', lease_until = NULL WHERE status = 'running'

-- name: make_entries_due
UPDATE outbox SET due_at = ? WHERE state = 'pending' AND due_at > ?

-- name: accepting_jobs
SELECT number FROM job WHERE status = 'accepting' ORDER BY number

-- name: release_accepting
UPDATE job SET status = 'queued', is_released = 1, run_at = ?, lease_until = NULL WHERE number = ?

-- name: delay_outputs
UPDATE output SET due_at = ? WHERE job = ?

-- name: lose_placeholders
UPDATE output SET placeholder = 'unknown', status = 'placeholder'
    WHERE job = ? AND placeholder = 'pending' AND status = 'queued'

-- name: epoch
SELECT epoch FROM owner

-- name: note_placeholder
UPDATE output SET placeholder = ?1, placeholder_digest = ?3, placeholder_bytes = ?4,
    status = iif(status = 'queued' AND ?1 IN ('written', 'unknown'), 'placeholder', status) WHERE id = ?2
