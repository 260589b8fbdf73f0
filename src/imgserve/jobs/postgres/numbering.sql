-- One reader numbers at a time, so the order of the numbers is that in which they are seen.
-- name: lock
SELECT pg_advisory_xact_lock(8602, 2)

-- name: number
UPDATE event SET number = placed.number FROM
    (SELECT id, nextval('event_number') AS number FROM
        (SELECT id FROM event WHERE number IS NULL ORDER BY id LIMIT $1) AS next) AS placed
    WHERE event.id = placed.id
