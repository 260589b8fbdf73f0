-- ?1 is a list of numbers.
-- name: jobs
SELECT number, as_text(CAST(id AS BLOB)), as_text(CAST(protocol AS BLOB)), as_text(CAST(status AS BLOB)), source, info,
    created_at, not_before, deadline_at, ended_at, as_text(CAST(superseded_by AS BLOB)),
    as_text(CAST(priority AS BLOB)), metadata, retries, as_text(CAST(coalesce(principal, '') AS BLOB)), webhook
    FROM job WHERE number IN (SELECT CAST(value AS BIGINT) FROM json_each(?1))

-- name: outputs
SELECT job, id, as_text(CAST(destination AS BLOB)), as_text(CAST(status AS BLOB)), as_text(CAST(placeholder AS BLOB)),
    spec, attempts, crashes, due_at, as_text(CAST(error AS BLOB)), as_text(CAST(detail AS BLOB)),
    as_text(CAST(hint AS BLOB)), is_retryable, size_bytes, sha256, delivered_at, warnings
    FROM output WHERE job IN (SELECT CAST(value AS BIGINT) FROM json_each(?1)) ORDER BY id

-- name: entries
SELECT job, output, as_text(CAST(kind AS BLOB)), state FROM outbox
    WHERE job IN (SELECT CAST(value AS BIGINT) FROM json_each(?1)) AND output IS NOT NULL ORDER BY id

-- name: newest_events
SELECT output, at, as_text(CAST(type AS BLOB)), as_text(CAST(code AS BLOB)) FROM event WHERE job = ?
    ORDER BY number DESC LIMIT ?
