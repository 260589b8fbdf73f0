-- name: add
INSERT INTO outbox (job, kind, payload, due_at, until, message_id, target)
    VALUES (?, 'webhook', ?, ?, ?, ?, ?)

-- name: add_try
INSERT INTO webhook_try (entry, at, status, error, duration_ms) VALUES (?, ?, ?, ?, ?)

-- name: forget_tries
DELETE FROM webhook_try WHERE entry = ?1 AND number <=
    (SELECT number FROM webhook_try WHERE entry = ?1 ORDER BY number DESC LIMIT 1 OFFSET ?2)

-- name: abandon_target
UPDATE outbox SET state = 'abandoned' WHERE state = 'pending' AND target = ?1
    AND (SELECT principal FROM job WHERE number = outbox.job) = ?2

-- name: replay
UPDATE outbox SET state = 'pending', due_at = ?1, until = ?2, attempts = 0
    WHERE job = ?3 AND kind = 'webhook' AND state <> 'pending'

-- name: of_job
SELECT id, as_text(CAST(message_id AS BLOB)), payload, as_text(CAST(state AS BLOB)), due_at FROM outbox
    WHERE job = ? AND kind = 'webhook' ORDER BY id

-- name: tries
SELECT at, status, as_text(CAST(error AS BLOB)), duration_ms FROM webhook_try WHERE entry = ? ORDER BY number
