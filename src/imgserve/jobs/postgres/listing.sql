-- Without those that have ended in order, which nodes.sql marks.
-- name: nodes
SELECT name, role, version, started_at, seen_at,
    (SELECT count(*) FROM job WHERE status = 'running' AND node = node.epoch)
    FROM node WHERE seen_at > '-infinity' ORDER BY epoch

-- The fields of ``Counts``. Queued jobs may be a million: they are those in the backlog that are in no other state, and
-- the next one is looked for from lane to lane and hosts to hosts.
-- name: counts
WITH RECURSIVE jobs AS MATERIALIZED (SELECT
    (SELECT coalesce(sum(jobs), 0)::bigint FROM backlog) AS open,
    (SELECT count(*) FROM job WHERE status = 'accepting') AS accepting,
    (SELECT count(*) FROM job WHERE status = 'running') AS running),
head AS (
    (SELECT principal, priority, hosts, run_at FROM job WHERE status = 'queued'
        ORDER BY principal, priority, hosts, run_at LIMIT 1)
    UNION ALL
    SELECT next.* FROM head, LATERAL (SELECT principal, priority, hosts, run_at FROM job WHERE status = 'queued'
        AND (principal, priority, hosts) > (head.principal, head.priority, head.hosts)
        ORDER BY principal, priority, hosts, run_at LIMIT 1) AS next)
SELECT accepting, open - accepting - running, running,
    (SELECT count(*) FROM outbox WHERE state = 'pending' AND kind <> 'webhook'),
    (SELECT count(*) FROM outbox WHERE state = 'abandoned' AND kind NOT IN ('unreadable', 'webhook')),
    (SELECT created_at FROM job WHERE ended_at IS NULL AND (not_before IS NULL OR is_activated = 1)
        ORDER BY number LIMIT 1),
    (SELECT min(run_at) FROM head),
    (SELECT count(*) FROM outbox WHERE state = 'abandoned' AND kind = 'unreadable'),
    (SELECT count(*) FROM outbox WHERE state = 'pending' AND kind = 'webhook'),
    (SELECT count(*) FROM outbox WHERE state = 'abandoned' AND kind = 'webhook'),
    (SELECT coalesce(sum(size_bytes), 0)::bigint FROM upload)
    FROM jobs
