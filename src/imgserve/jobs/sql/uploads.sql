-- name: add
INSERT INTO upload (id, job, principal, size_bytes, sha256, created_at) VALUES (?, ?, ?, ?, ?, ?)

-- name: kept
SELECT as_text(CAST(id AS BLOB)), as_text(CAST(principal AS BLOB)), size_bytes FROM upload

-- name: is_kept
SELECT EXISTS (SELECT 1 FROM upload WHERE id = ?)

-- A job that was refused at intake is never retried.
-- name: release
DELETE FROM upload WHERE id IN (SELECT upload.id FROM upload LEFT JOIN job ON number = upload.job
    WHERE number IS NULL OR ended_at IS NOT NULL AND (status <> 'failed' OR is_activated = 0 OR ended_at <= ?)
    LIMIT ?) RETURNING as_text(CAST(id AS BLOB))
