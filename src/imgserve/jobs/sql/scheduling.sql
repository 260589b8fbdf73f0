-- The first two walk down one index only, on from the row that was read last.

-- name: heads
SELECT run_at, hosts FROM head INDEXED BY head_order WHERE principal = ? AND priority = ?
    AND (run_at, hosts) > (?, ?)
    ORDER BY run_at, hosts LIMIT ?

-- name: jobs
SELECT run_at, number FROM job INDEXED BY job_due WHERE status = 'queued' AND principal = ? AND priority = ? AND hosts = ?
    AND run_at <= ? AND (run_at, number) > (?, ?) ORDER BY run_at, number LIMIT ?

-- name: running_by_principal
SELECT principal, count(*) FROM job INDEXED BY job_leased WHERE status = 'running' GROUP BY principal
