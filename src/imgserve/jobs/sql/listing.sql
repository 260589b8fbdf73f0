-- The fields of ``Counts``, each from one partial index alone.
-- name: counts
WITH jobs AS MATERIALIZED (SELECT
    (SELECT count(*) FROM job INDEXED BY job_open WHERE ended_at IS NULL) AS open,
    (SELECT count(*) FROM job INDEXED BY job_due WHERE status = 'queued') AS queued,
    (SELECT count(*) FROM job INDEXED BY job_leased WHERE status = 'running') AS running)
SELECT open - queued - running, queued, running,
    (SELECT count(*) FROM outbox INDEXED BY outbox_due WHERE state = 'pending' AND kind <> 'webhook'),
    (SELECT count(*) FROM outbox INDEXED BY outbox_abandoned WHERE state = 'abandoned'
        AND kind NOT IN ('unreadable', 'webhook')),
    (SELECT created_at FROM job WHERE ended_at IS NULL AND (not_before IS NULL OR is_activated = 1) ORDER BY number LIMIT 1),
    (SELECT min(run_at) FROM job INDEXED BY job_due WHERE status = 'queued'),
    (SELECT count(*) FROM outbox INDEXED BY outbox_abandoned WHERE state = 'abandoned' AND kind = 'unreadable'),
    (SELECT count(*) FROM outbox INDEXED BY outbox_due WHERE state = 'pending' AND kind = 'webhook'),
    (SELECT count(*) FROM outbox INDEXED BY outbox_abandoned WHERE state = 'abandoned' AND kind = 'webhook'),
    (SELECT CAST(coalesce(sum(size_bytes), 0) AS BIGINT) FROM upload)
    FROM jobs

-- name: find
SELECT number FROM job WHERE id = ?1 AND (principal = ?2 OR ?2 IS NULL)

-- Ids are hexadecimal, so no id goes on with "g".
-- name: begins_with
SELECT number FROM job WHERE id >= ?1 AND id < ?1 || 'g' LIMIT 2

-- name: bound
SELECT job_id, digest, NOT EXISTS (SELECT 1 FROM job WHERE id = job_id) FROM idempotency
    WHERE key = ? AND principal = ? AND created_at > ?

-- name: has_ended
SELECT ended_at IS NOT NULL FROM job WHERE id = ?

-- The version of the last server, and by how many seconds the queue's time was ahead of its wall clock.
-- name: last_server
SELECT version, (SELECT coalesce(queue_s - wall_s, 0.0) FROM owner) FROM process ORDER BY epoch DESC LIMIT 1

-- Without a name: the process that has the file is the one that reads it.
-- name: nodes
SELECT '', 'all', version, started_at, seen_at,
    (SELECT count(*) FROM job INDEXED BY job_leased WHERE status = 'running')
    FROM process ORDER BY epoch DESC LIMIT 1
