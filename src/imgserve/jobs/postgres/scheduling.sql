-- The hosts of a lane one after the other, each by one look into the index of due jobs. Jobs that were claimed stay in
-- the index until the next vacuum, and each look at their hosts passes them.
-- name: heads
WITH RECURSIVE head (run_at, hosts) AS (
    (SELECT run_at, hosts FROM job WHERE status = 'queued' AND principal = ?1 AND priority = ?2 AND format <= {format}
        ORDER BY hosts, run_at LIMIT 1)
    UNION ALL
    SELECT later.run_at, later.hosts FROM head CROSS JOIN LATERAL (SELECT run_at, hosts FROM job WHERE status = 'queued'
        AND principal = ?1 AND priority = ?2 AND job.hosts > head.hosts AND format <= {format}
        ORDER BY hosts, run_at LIMIT 1) AS later)
SELECT run_at, hosts FROM head WHERE (run_at, hosts) > (?3, ?4) ORDER BY run_at, hosts LIMIT ?5

-- Another node's are passed over, and those of a newer version's format.
-- name: jobs
SELECT run_at, number FROM job WHERE status = 'queued' AND principal = ? AND priority = ? AND hosts = ?
    AND run_at <= ? AND (run_at, number) > (?, ?) AND format <= {format} ORDER BY run_at, number LIMIT ? FOR UPDATE SKIP LOCKED
