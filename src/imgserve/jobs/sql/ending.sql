-- name: open_outputs
SELECT id, job, spec, CASE WHEN is_covered = 1 THEN 'none' ELSE placeholder END, is_repeat FROM output
    WHERE job = ?1 AND status IN ('queued', 'placeholder') AND (id = ?2 OR ?2 IS NULL) ORDER BY id

-- name: count_as_delivered
UPDATE output SET status = 'delivered', delivered_at = ? WHERE id = ?

-- name: end
UPDATE output SET status = ?, error = ?, detail = ?, hint = ?, is_retryable = ? WHERE id = ?
