-- name: add
INSERT INTO outbox (job, output, kind, due_at, until, state) VALUES (?, ?, ?, ?, ?, ?)

-- name: due
SELECT entry.id, entry.kind, entry.attempts, until, number, job.id, traceparent, principal
    FROM outbox AS entry JOIN job ON number = entry.job
    WHERE entry.state = 'pending' AND entry.due_at <= ? ORDER BY entry.due_at LIMIT ?

-- name: output
SELECT output.id, spec, placeholder, is_repeat, placeholder_digest, placeholder_bytes, etag
    FROM outbox JOIN output ON output.id = outbox.output WHERE outbox.id = ?

-- name: message
SELECT message_id, payload, webhook FROM outbox JOIN job ON number = job WHERE outbox.id = ?

-- name: give_up
UPDATE outbox SET state = 'abandoned' WHERE id = ?

-- name: abandon
UPDATE outbox SET kind = 'unreadable', state = 'abandoned' WHERE id = ?

-- name: claim
UPDATE outbox SET due_at = ?, token = ? WHERE id = ?

-- name: put_off
UPDATE outbox SET due_at = ? WHERE id = ? AND state = 'pending' AND token = ?

-- name: put_off_others
UPDATE outbox SET due_at = ?5 + ?6 * place FROM (
    SELECT id AS due_id, row_number() OVER (ORDER BY due_at, id) AS place
        FROM (SELECT entry.id, entry.due_at, coalesce(target, destination) AS goes_to
            FROM outbox AS entry LEFT JOIN output ON output.id = entry.output
            WHERE entry.state = 'pending' AND entry.due_at <= ?1 ORDER BY entry.due_at LIMIT ?2)
        AS due WHERE goes_to >= ?3 AND goes_to < ?4) AS others
    WHERE id = due_id

-- name: next_due
SELECT min(due_at) FROM outbox WHERE state = 'pending'

-- name: next_token_of_entry
UPDATE outbox SET token = token + 1 WHERE id = ? RETURNING token

-- name: next_token_of_job
UPDATE job SET token = token + 1 WHERE number = ? RETURNING token

-- name: cancel
DELETE FROM outbox WHERE id = ? AND state = 'pending' AND token = ?

-- name: finish
UPDATE outbox SET state = 'done', attempts = attempts + 1 WHERE id = ? AND state = 'pending'

-- name: fail
UPDATE outbox SET state = ?3, due_at = coalesce(?4, due_at), attempts = attempts + 1
    WHERE id = ?1 AND state = 'pending' AND token = ?2

-- name: count_abandoned
SELECT count(*) FILTER (WHERE kind = 'unreadable'), count(*) FILTER (WHERE kind = 'webhook')
    FROM outbox INDEXED BY outbox_abandoned WHERE state = 'abandoned'
