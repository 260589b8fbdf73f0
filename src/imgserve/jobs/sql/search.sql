-- Each of the first walks down one index and stops at the limit. Bound are: ?1 and ?2 numbers between these, ?3 and ?4
-- times from and to, ?5 the limit, ?6 a principal or NULL, ?7 status or statuses.

-- name: all_jobs
SELECT number FROM job WHERE number > ?1 AND number < ?2 AND created_at >= ?3 AND created_at <= ?4
    ORDER BY number DESC LIMIT ?5

-- name: open_jobs
SELECT number FROM job WHERE ended_at IS NULL AND status IN (SELECT value FROM json_each(?7))
    AND number > ?1 AND number < ?2 AND created_at >= ?3 AND created_at <= ?4 AND (principal = ?6 OR ?6 IS NULL)
    ORDER BY number DESC LIMIT ?5

-- name: ended_jobs
SELECT number FROM job INDEXED BY job_end WHERE ended_at IS NOT NULL AND ?6 IS NULL AND status = ?7
    AND number > ?1 AND number < ?2 AND created_at >= ?3 AND created_at <= ?4 ORDER BY number DESC LIMIT ?5

-- name: ended_jobs_of_principal
SELECT number FROM job INDEXED BY job_end_of_principal WHERE ended_at IS NOT NULL AND principal = ?6 AND status = ?7
    AND number > ?1 AND number < ?2 AND created_at >= ?3 AND created_at <= ?4 ORDER BY number DESC LIMIT ?5

-- name: jobs_of_key
SELECT number FROM idempotency JOIN job ON id = job_id WHERE idempotency.key = ?6
    AND (idempotency.principal = ?7 OR ?7 IS NULL) AND status IN (SELECT value FROM json_each(?8))
    AND number > ?1 AND number < ?2 AND job.created_at >= ?3 AND job.created_at <= ?4 ORDER BY number DESC LIMIT ?5

-- name: newest
SELECT max(number) FROM job

-- name: first_from
SELECT number, created_at FROM job WHERE number >= ? ORDER BY number LIMIT 1

-- ?1 numbers, ?2 a text, ?3 a piece of it as the spec's JSON spells it. The spec is NULL where it does not hold it.

-- name: with_text
SELECT job, CASE WHEN instr(spec, ?3) > 0 THEN spec END, destination FROM output
    WHERE job IN (SELECT value FROM json_each(?1)) AND (instr(destination, ?2) > 0 OR instr(spec, ?3) > 0)
