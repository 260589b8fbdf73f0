-- The hosts of a lane one after the other, each by one look into the index of due jobs.
-- name: heads
WITH RECURSIVE head (hosts) AS (
    (SELECT hosts FROM job WHERE status = 'queued' AND principal = ?1 AND priority = ?2 ORDER BY hosts LIMIT 1)
    UNION ALL
    SELECT (SELECT job.hosts FROM job WHERE status = 'queued' AND principal = ?1 AND priority = ?2
        AND job.hosts > head.hosts ORDER BY job.hosts LIMIT 1) FROM head WHERE head.hosts IS NOT NULL)
SELECT run_at, hosts FROM (SELECT (SELECT min(run_at) FROM job WHERE status = 'queued' AND principal = ?1
    AND priority = ?2 AND job.hosts = head.hosts AND format <= {format}) AS run_at, hosts FROM head WHERE hosts IS NOT NULL) AS due
    WHERE (run_at, hosts) > (?3, ?4) ORDER BY run_at, hosts LIMIT ?5

-- Another node's are passed over, and those of a newer version's format.
-- name: jobs
SELECT run_at, number FROM job WHERE status = 'queued' AND principal = ? AND priority = ? AND hosts = ?
    AND run_at <= ? AND (run_at, number) > (?, ?) AND format <= {format} ORDER BY run_at, number LIMIT ? FOR UPDATE SKIP LOCKED
