-- name: sizes
SELECT size_bytes, max(seen_at) FROM placeholder GROUP BY size_bytes

-- name: digests
SELECT digest FROM placeholder WHERE size_bytes = ? AND seen_at > ?

-- name: note
INSERT INTO placeholder (digest, size_bytes, seen_at) VALUES (?1, ?2, ?3)
    ON CONFLICT (digest) DO UPDATE SET size_bytes = ?2, seen_at = ?3

-- name: forget
DELETE FROM placeholder WHERE seen_at <= ?
