-- name: reserve
INSERT INTO upload (id, principal, size_bytes, sha256, created_at, state, due_at) VALUES (?, ?, ?, ?, ?, 'coming', ?)

-- name: resize
UPDATE upload SET size_bytes = ? WHERE id = ? AND state = 'coming'

-- name: add
UPDATE upload SET state = 'kept', due_at = NULL, job = ?, principal = ?, size_bytes = ?, sha256 = ?
    WHERE id = ? AND state = 'coming' RETURNING 1

-- name: kept
SELECT id, principal, size_bytes FROM upload WHERE state = 'kept'

-- name: bytes
SELECT CAST(coalesce(sum(CASE WHEN principal = ? THEN size_bytes ELSE 0 END), 0) AS BIGINT),
    CAST(coalesce(sum(size_bytes), 0) AS BIGINT) FROM upload

-- name: is_kept
SELECT EXISTS (SELECT 1 FROM upload WHERE id = ? AND state = 'kept')

-- name: drop
UPDATE upload SET state = 'going', due_at = ? WHERE id = ? AND job IS NULL

-- name: is_needed
SELECT EXISTS (SELECT 1 FROM upload WHERE id = ? AND job IS NOT NULL)

-- A job that was refused at intake is never retried.
-- name: release
UPDATE upload SET state = 'going', job = NULL, due_at = ? WHERE id IN (
    SELECT upload.id FROM upload LEFT JOIN job ON number = upload.job WHERE CASE state
        WHEN 'kept' THEN number IS NULL OR ended_at IS NOT NULL
            AND (status <> 'failed' OR is_activated = 0 OR ended_at <= ?)
        ELSE due_at <= ? END
    LIMIT ?) RETURNING id

-- name: forget
DELETE FROM upload WHERE id = ? AND state <> 'kept'
