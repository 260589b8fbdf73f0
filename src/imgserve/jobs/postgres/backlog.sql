-- name: read
SELECT principal, priority, sum(jobs)::bigint FROM backlog GROUP BY principal, priority HAVING sum(jobs) <> 0

-- name: lock
SELECT pg_advisory_xact_lock(8602, 3)

-- name: store
INSERT INTO backlog (epoch, principal, priority, jobs) VALUES ($1, $2, $3, $4)
    ON CONFLICT (epoch, principal, priority) DO UPDATE SET jobs = backlog.jobs + excluded.jobs

-- Those of dead nodes.
-- name: take_over
WITH gone AS (DELETE FROM backlog WHERE epoch = ANY($1) RETURNING principal, priority, jobs)
INSERT INTO backlog (epoch, principal, priority, jobs)
    SELECT 0, principal, priority, sum(jobs) FROM gone GROUP BY principal, priority HAVING sum(jobs) <> 0
    ON CONFLICT (epoch, principal, priority) DO UPDATE SET jobs = backlog.jobs + excluded.jobs
