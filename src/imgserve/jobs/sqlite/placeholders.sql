-- name: sizes
SELECT size_bytes, max(seen_at) FROM placeholder GROUP BY size_bytes

-- name: digests
SELECT digest FROM placeholder WHERE size_bytes = ? AND seen_at > ?

-- name: note
INSERT OR REPLACE INTO placeholder VALUES (?, ?, ?)

-- name: forget
DELETE FROM placeholder WHERE seen_at <= ?
