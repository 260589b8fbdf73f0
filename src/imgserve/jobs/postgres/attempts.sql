-- name: requeue_expired
UPDATE job SET status = 'queued', run_at = ?1 WHERE number IN
    (SELECT number FROM job WHERE status = 'running' AND lease_until < ?1 FOR UPDATE SKIP LOCKED)

-- name: claim
UPDATE job SET status = 'running', token = token + 1, claim = token + 1, lease_until = ?,
    node = current_setting('imgserve.epoch')::bigint WHERE number = ?
    RETURNING number, id, token, deadline_at, source, info, traceparent, principal, protocol, hosts, is_activated

-- name: note_seen
UPDATE node SET seen_at = ? WHERE epoch = ?
