-- name: first_lease
SELECT min(lease_until) FROM job WHERE status = 'running'

-- name: requeue_expired
UPDATE job SET status = 'queued', run_at = ?1 WHERE status = 'running' AND lease_until < ?1

-- name: claim
UPDATE job SET status = 'running', token = token + 1, claim = token + 1, lease_until = ? WHERE number = ?
    RETURNING number, id, token, deadline_at, source, info, traceparent, principal, protocol, hosts, is_activated

-- name: give_back
UPDATE job SET status = 'queued', lease_until = NULL WHERE number = ? AND status = 'running'

-- name: due_outputs
SELECT id, destination, spec, placeholder, is_repeat, attempts, crashes, etag FROM output
    WHERE job = ? AND status IN ('queued', 'placeholder') AND due_at <= ? ORDER BY id

-- name: note_seen
UPDATE process SET seen_at = ? WHERE epoch = ?

-- name: prolong_claim
UPDATE job SET lease_until = ? WHERE number = ? AND claim = ? AND status = 'running'

-- name: requeue
UPDATE job SET status = 'queued', lease_until = NULL, run_at = ?, hosts = ? WHERE number = ?

-- name: note_result
UPDATE output SET status = ?, is_repeat = CASE WHEN is_repeat = 1 OR ? = 1 THEN 1 ELSE 0 END, attempts = attempts + ?, crashes = crashes + ?,
    due_at = ?, error = ?, detail = ?, warnings = coalesce(?, warnings), hint = ?, is_retryable = ?,
    size_bytes = coalesce(?, size_bytes), sha256 = coalesce(?, sha256), delivered_at = ? WHERE id = ?
