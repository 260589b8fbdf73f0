-- A node that is dead has no row.
-- name: find_twin
SELECT number, id FROM job WHERE digest = ?1 AND is_answered = 0 AND epoch <> ?2
    AND epoch NOT IN (SELECT epoch FROM node)
    AND (ended_at IS NULL OR status = 'succeeded' AND created_at > ?3) ORDER BY number DESC LIMIT 1
