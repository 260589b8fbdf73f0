-- Running and accepting jobs are few, and are sorted. Queued ones, which may be a million, come in order from an index:
-- by comparing rows, those of a principal can come from no other index than theirs.
-- name: open_jobs
WITH few AS MATERIALIZED (SELECT number, status, principal, created_at FROM job WHERE status = 'running'
    UNION ALL SELECT number, status, principal, created_at FROM job WHERE status = 'accepting'),
wanted AS MATERIALIZED (SELECT value FROM json_each(?7))
(SELECT number FROM few WHERE status IN (SELECT value FROM wanted) AND (principal = ?6 OR ?6::text IS NULL)
    AND number > ?1 AND number < ?2 AND created_at >= ?3 AND created_at <= ?4)
UNION ALL
(SELECT number FROM job WHERE status = 'queued' AND ended_at IS NULL AND ?6::text IS NULL
    AND EXISTS (SELECT 1 FROM wanted WHERE value = 'queued')
    AND number > ?1 AND number < ?2 AND created_at >= ?3 AND created_at <= ?4 ORDER BY number DESC LIMIT ?5)
UNION ALL
(SELECT number FROM job WHERE status = 'queued' AND EXISTS (SELECT 1 FROM wanted WHERE value = 'queued')
    AND (principal, number) > (?6, ?1) AND (principal, number) < (?6, ?2)
    AND created_at >= ?3 AND created_at <= ?4 ORDER BY principal DESC, number DESC LIMIT ?5)
ORDER BY number DESC LIMIT ?5

-- name: ended_jobs
SELECT number FROM job WHERE ended_at IS NOT NULL AND ?6::text IS NULL AND status = ?7
    AND number > ?1 AND number < ?2 AND created_at >= ?3 AND created_at <= ?4 ORDER BY number DESC LIMIT ?5

-- name: with_text
SELECT job, CASE WHEN position(?3 IN spec) > 0 THEN spec END, destination FROM output
    WHERE job IN (SELECT value::bigint FROM json_each(?1)) AND (strpos(destination, ?2) > 0 OR position(?3 IN spec) > 0)
