-- A node that is dead has no row.
-- name: find_twin
SELECT number, id FROM job WHERE digest = ?1 AND is_answered = 0 AND epoch <> ?2
    AND epoch NOT IN (SELECT epoch FROM node)
    AND (ended_at IS NULL OR status = 'succeeded' AND created_at > ?3) ORDER BY number DESC LIMIT 1

-- name: add_job
INSERT INTO job (id, status, source, info, digest, epoch, created_at, deadline_at, run_at, traceparent, principal,
    hosts, protocol, priority, not_before, metadata, webhook, format)
    VALUES (?1, 'accepting', ?2, ?3, ?4, ?5, ?6, ?7 + ?8, ?7, nullif(?9, ''), ?10, ?11, ?12, ?13, ?14, ?15, ?16,
    {format})
    RETURNING number
