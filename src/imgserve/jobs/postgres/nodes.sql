-- name: register
INSERT INTO node (epoch, name, role, version, format, started_at, seen_at, home)
    VALUES (nextval('epoch'), $1, $2, $3, $4, $5, $5, $6) RETURNING epoch

-- name: end_former
UPDATE node SET seen_at = '-infinity' WHERE home = $1 AND epoch <> $2

-- name: queue_id
SELECT id FROM owner

-- A pooler has told its client another number, and may give the process to other clients.
-- name: note_backend
UPDATE node SET backend = pid, backend_start = activity.backend_start FROM pg_stat_activity AS activity
    WHERE epoch = $1 AND pid = pg_backend_pid() AND pid = $2

-- Locks no rows: the node may have its own locked. NULL: this role may not end it. The start of a process is NULL where
-- the role may not see it.
-- name: end_backends
SELECT epoch, pid, usename::text, CASE
        WHEN activity.backend_start IS NOT NULL AND (NOT rolsuper OR current_setting('is_superuser') = 'on')
            AND (pg_has_role(usesysid, 'USAGE') OR pg_has_role('pg_signal_backend', 'USAGE'))
        THEN pg_terminate_backend(pid, $3::bigint) END
    FROM node JOIN pg_stat_activity AS activity ON pid = backend JOIN pg_roles ON pg_roles.oid = usesysid
    WHERE seen_at < $1 AND epoch <> $2 AND datname = current_database()
        AND coalesce(activity.backend_start = node.backend_start, true)

-- Locked, so that one node alone takes them over.
-- name: dead
SELECT epoch FROM node WHERE seen_at < $1 AND epoch <> $2 FOR UPDATE SKIP LOCKED

-- name: look
SELECT EXISTS (SELECT 1 FROM node WHERE epoch <> $1), EXISTS (SELECT 1 FROM node WHERE epoch <> $1 AND seen_at < $2),
    EXISTS (SELECT 1 FROM job WHERE status = 'running' AND lease_until < $3),
    EXISTS (SELECT 1 FROM event WHERE number IS NULL)

-- Part of each commit. Undoes it, by a division by zero, if the node is gone or has connected anew since.
-- name: mark
WITH marked AS (UPDATE node SET mark = $3 WHERE epoch = $1 AND link = $2 RETURNING 1) SELECT 1 / count(*) FROM marked

-- Waits for a commit of the older connection that has come this far.
-- name: relink
UPDATE node SET link = link + 1 WHERE epoch = $1 RETURNING link, mark

-- $3: the time of a lease. Rows that are locked are of a node that is just coming back itself.
-- name: spare
WITH own AS (SELECT seen_at FROM node WHERE epoch = $1 AND seen_at < $2 - $3 / 2),
    other AS (SELECT node.epoch FROM node, own WHERE node.epoch <> $1
        AND node.seen_at BETWEEN own.seen_at - $3 AND $2 - $3 / 2 FOR UPDATE OF node SKIP LOCKED),
    seen AS (UPDATE node SET seen_at = $2 FROM other WHERE node.epoch = other.epoch)
UPDATE job SET lease_until = $2 + $3 WHERE number IN
    (SELECT number FROM job WHERE status = 'running' AND node IN (SELECT epoch FROM other) FOR UPDATE SKIP LOCKED)

-- name: note_alive
UPDATE node SET seen_at = $2 WHERE epoch = $1

-- name: prolong_claims
UPDATE job SET lease_until = $2 WHERE status = 'running' AND node = $1

-- name: leave
UPDATE node SET seen_at = '-infinity', backend = NULL WHERE epoch = $1

-- name: forget
DELETE FROM node WHERE epoch = ANY($1)

-- name: now
SELECT extract(epoch FROM clock_timestamp())::double precision

-- name: skip_events
SELECT setval('event_number', last_value + $1) FROM event_number WHERE is_called

-- name: tell
SELECT pg_notify('imgserve', $1)
