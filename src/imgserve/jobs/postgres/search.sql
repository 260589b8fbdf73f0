-- name: ended_jobs
SELECT number FROM job WHERE ended_at IS NOT NULL AND ?6::text IS NULL AND status = ?7
    AND number > ?1 AND number < ?2 AND created_at >= ?3 AND created_at <= ?4 ORDER BY number DESC LIMIT ?5

-- name: with_text
SELECT job, CASE WHEN position(?3 IN spec) > 0 THEN spec END, destination FROM output
    WHERE job IN (SELECT value::bigint FROM json_each(?1)) AND (strpos(destination, ?2) > 0 OR position(?3 IN spec) > 0)
