-- name: due
SELECT entry.id, entry.kind, entry.attempts, until, number, job.id, traceparent, principal
    FROM outbox AS entry JOIN job ON number = entry.job
    WHERE entry.state = 'pending' AND entry.due_at <= ? ORDER BY entry.due_at, entry.id LIMIT ?
    FOR UPDATE OF entry SKIP LOCKED

-- name: claim
UPDATE outbox SET due_at = ?, token = ?, node = current_setting('imgserve.epoch')::bigint WHERE id = ?
