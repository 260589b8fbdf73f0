-- The fields of ``Counts``, each from one partial index alone.
-- name: counts
WITH jobs AS MATERIALIZED (SELECT
    (SELECT count(*) FROM job INDEXED BY job_open WHERE ended_at IS NULL) AS open,
    (SELECT count(*) FROM job INDEXED BY job_due WHERE status = 'queued') AS queued,
    (SELECT count(*) FROM job INDEXED BY job_leased WHERE status = 'running') AS running)
SELECT open - queued - running, queued, running,
    (SELECT count(*) FROM outbox INDEXED BY outbox_due WHERE state = 'pending'),
    (SELECT count(*) FROM outbox INDEXED BY outbox_abandoned WHERE state = 'abandoned' AND kind <> 'unreadable'),
    (SELECT created_at FROM job WHERE ended_at IS NULL AND (not_before IS NULL OR is_activated) ORDER BY number LIMIT 1),
    (SELECT min(run_at) FROM job INDEXED BY job_due WHERE status = 'queued'),
    (SELECT count(*) FROM outbox INDEXED BY outbox_abandoned WHERE state = 'abandoned' AND kind = 'unreadable')
    FROM jobs

-- name: find
SELECT number FROM job WHERE id = ?1 AND (?2 IS NULL OR principal = ?2)

-- Ids are hexadecimal, so no id goes on with "g".
-- name: begins_with
SELECT number FROM job WHERE id >= ?1 AND id < ?1 || 'g' LIMIT 2

-- name: job
SELECT number, as_text(CAST(id AS BLOB)), as_text(CAST(protocol AS BLOB)), as_text(CAST(status AS BLOB)), source, info,
    created_at, not_before, deadline_at, ended_at, as_text(CAST(superseded_by AS BLOB)),
    as_text(CAST(priority AS BLOB)), metadata, retries, as_text(CAST(coalesce(principal, '') AS BLOB))
    FROM job WHERE number = ?

-- name: outputs
SELECT id, as_text(CAST(destination AS BLOB)), as_text(CAST(status AS BLOB)), as_text(CAST(placeholder AS BLOB)),
    spec, attempts, crashes, due_at, as_text(CAST(error AS BLOB)), as_text(CAST(detail AS BLOB)),
    as_text(CAST(hint AS BLOB)), is_retryable, size_bytes, sha256, delivered_at, warnings
    FROM output WHERE job = ? ORDER BY id

-- name: entries
SELECT output, as_text(CAST(kind AS BLOB)), state FROM outbox WHERE job = ? ORDER BY id

-- name: newest_events
SELECT output, at, as_text(CAST(type AS BLOB)), as_text(CAST(code AS BLOB)) FROM event WHERE job = ?
    ORDER BY number DESC LIMIT ?

-- name: bound
SELECT job_id, digest, NOT EXISTS (SELECT 1 FROM job WHERE id = job_id) FROM idempotency
    WHERE key = ? AND principal = ? AND created_at > ?

-- name: has_ended
SELECT ended_at IS NOT NULL FROM job WHERE id = ?

-- The version of the last server, and by how many seconds the queue's time was ahead of its wall clock.
-- name: last_server
SELECT version, (SELECT coalesce(queue_s - wall_s, 0.0) FROM owner) FROM process ORDER BY epoch DESC LIMIT 1
