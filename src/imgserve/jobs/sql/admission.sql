-- name: add_job
INSERT INTO job (id, status, source, info, digest, epoch, created_at, deadline_at, run_at, traceparent, principal,
    hosts, protocol, priority, not_before, metadata, webhook)
    VALUES (?1, 'accepting', ?2, ?3, ?4, ?5, ?6, ?7 + ?8, ?7, nullif(?9, ''), ?10, ?11, ?12, ?13, ?14, ?15, ?16)
    RETURNING number

-- name: add_output
INSERT INTO output (job, spec, destination, is_form, placeholder, "user", due_at) VALUES (?, ?, ?, ?, ?, ?, ?)
    RETURNING id

-- name: find_twin
SELECT number, id FROM job WHERE digest = ? AND is_answered = 0 AND epoch < ?
    AND (ended_at IS NULL OR status = 'succeeded' AND created_at > ?) ORDER BY number DESC LIMIT 1

-- name: specs
SELECT spec FROM output WHERE job = ? ORDER BY id

-- name: adopt
UPDATE job SET epoch = ? WHERE number = ?

-- name: activate
UPDATE job SET is_activated = CASE WHEN coalesce(not_before, 0) <= ?1 THEN 1 ELSE 0 END, status = 'queued',
    run_at = CASE WHEN coalesce(not_before, 0) <= ?1 THEN ?1 ELSE not_before END
    WHERE number = ?2 AND status = 'accepting'
    RETURNING EXISTS (SELECT 1 FROM output JOIN output AS older ON older.destination = output.destination
    WHERE output.job = number AND older.job < number),
    EXISTS (SELECT 1 FROM output WHERE output.job = number AND output.status IN ('queued', 'placeholder')),
    EXISTS (SELECT 1 FROM output WHERE output.job = number AND output.status NOT IN ('queued', 'placeholder')),
    is_activated

-- name: is_accepting
SELECT 1 FROM job WHERE number = ? AND status = 'accepting'

-- name: forget_webhook
UPDATE job SET webhook = NULL WHERE number = ?

-- name: forget
DELETE FROM job WHERE number = ? AND ended_at IS NULL RETURNING principal, priority

-- name: mark_answered
UPDATE job SET is_answered = 1 WHERE number = ?

-- name: note_placeholder
UPDATE output SET placeholder = ?1, placeholder_digest = ?3, placeholder_bytes = ?4, etag = ?5,
    status = CASE WHEN status = 'queued' AND ?1 IN ('written', 'unknown') THEN 'placeholder' ELSE status END WHERE id = ?2
