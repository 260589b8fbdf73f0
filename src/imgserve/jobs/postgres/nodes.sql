-- name: register
INSERT INTO node (epoch, name, role, version, format, started_at, seen_at)
    VALUES (nextval('epoch'), $1, $2, $3, $4, $5, $5) RETURNING epoch

-- name: queue_id
SELECT id FROM owner

-- Locked, so that one node alone takes them over.
-- name: dead
SELECT epoch FROM node WHERE seen_at < $1 AND epoch <> $2 FOR UPDATE SKIP LOCKED

-- name: others
SELECT count(*) FROM node WHERE epoch <> $1

-- name: leave
UPDATE node SET seen_at = '-infinity' WHERE epoch = $1

-- name: forget
DELETE FROM node WHERE epoch = ANY($1)

-- name: now
SELECT extract(epoch FROM clock_timestamp())::double precision

-- name: skip_events
SELECT setval('event_number', last_value + $1) FROM event_number WHERE is_called
