-- The newest number that an event has had, also when it has gone.
-- name: newest
SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'event'), 0)

-- name: gone
SELECT events_gone FROM owner

-- name: first_from
SELECT number, at FROM event WHERE number >= ? ORDER BY number LIMIT 1

-- name: end_of_chunk
SELECT max(number) FROM (SELECT number FROM event WHERE number > ? ORDER BY number LIMIT ?) AS chunk

-- Both give the events of a refused job to nobody: its client knows no such job.
-- name: of_all
SELECT event.number, event.job, output, at, as_text(CAST(type AS BLOB)), as_text(CAST(job.id AS BLOB)),
    as_text(CAST(principal AS BLOB)) FROM event JOIN job ON job.number = event.job
    WHERE event.number > ?1 AND event.number <= ?2 AND (principal = ?3 OR ?3 IS NULL)
    AND (?4 = '[]' OR type IN (SELECT value FROM json_each(?4))) AND NOT (status = 'failed' AND is_activated = 0)
    ORDER BY event.number LIMIT ?5

-- name: of_job
SELECT event.number, event.job, output, at, as_text(CAST(type AS BLOB)), as_text(CAST(job.id AS BLOB)),
    as_text(CAST(principal AS BLOB)) FROM job JOIN event INDEXED BY event_of_job ON event.job = job.number
    WHERE job.id = ?6 AND event.number > ?1 AND event.number <= ?2 AND (principal = ?3 OR ?3 IS NULL)
    AND (?4 = '[]' OR type IN (SELECT value FROM json_each(?4))) AND NOT (status = 'failed' AND is_activated = 0)
    ORDER BY event.number LIMIT ?5
