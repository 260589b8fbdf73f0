-- name: open_outputs
SELECT id, job, spec, iif(is_covered, 'none', placeholder), is_repeat FROM output
    WHERE job = ? AND status IN ('queued', 'placeholder') ORDER BY id

-- name: output
SELECT id, job, spec, iif(is_covered, 'none', placeholder), is_repeat FROM output WHERE id = ?

-- name: count_as_delivered
UPDATE output SET status = 'delivered' WHERE id = ?

-- name: end
UPDATE output SET status = ?, error = ?, detail = ? WHERE id = ?
