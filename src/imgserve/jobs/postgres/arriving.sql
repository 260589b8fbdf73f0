-- name: has_queue
SELECT to_regclass('imgserve.owner') IS NOT NULL

-- name: has_begun
SELECT to_regclass('imgserve_move.move') IS NOT NULL

-- name: queue_id
SELECT id FROM imgserve.owner

-- name: progress
SELECT id, epoch, ahead_s, schema FROM imgserve_move.move

-- name: forget
DROP SCHEMA IF EXISTS imgserve_move CASCADE

-- name: create_schema
CREATE SCHEMA imgserve_move

-- name: use
SELECT set_config('search_path', 'imgserve_move', true), set_config('imgserve.epoch', '0', true)

-- name: create_move
CREATE TABLE move (
    id      text   NOT NULL,           -- the queue's, and its epoch
    epoch   bigint NOT NULL,
    ahead_s double precision NOT NULL, -- added to its times
    schema  int    NOT NULL            -- of the tables here
)

-- name: add_move
INSERT INTO move (id, epoch, ahead_s, schema) VALUES ($1, $2, $3, $4)

-- name: add_owner
INSERT INTO owner (id, schema, oldest, events_gone) VALUES ($1, $2, $2, $3)

-- Of no living node.
-- name: count_backlog
INSERT INTO backlog (epoch, principal, priority, jobs)
    SELECT 0, principal, priority, count(*) FROM job WHERE ended_at IS NULL GROUP BY principal, priority

-- name: set_counter
SELECT setval($1::text::regclass, greatest($2, 1), $2 > 0)

-- name: counter_of
SELECT pg_get_serial_sequence($1, $2)

-- name: drop_move
DROP TABLE move

-- Without CASCADE: one that has something in it is somebody else's.
-- name: make_way
DROP SCHEMA IF EXISTS imgserve

-- name: become_the_queue
ALTER SCHEMA imgserve_move RENAME TO imgserve

-- name: analyze
ANALYZE
