-- name: lock
SELECT pg_advisory_xact_lock(8602, 1)

-- name: has_tables
SELECT to_regclass('imgserve.owner') IS NOT NULL

-- name: has_schema
SELECT to_regnamespace('imgserve') IS NOT NULL

-- Not with IF NOT EXISTS, which demands the right to create one even where one is there.
-- name: create_schema
CREATE SCHEMA imgserve

-- name: use
SELECT set_config('search_path', 'imgserve', true), set_config('imgserve.epoch', '0', true)

-- name: add_owner
INSERT INTO owner (id, schema, oldest) VALUES ($1, $2, $2)

-- name: version
SELECT schema, oldest FROM owner

-- name: set_version
UPDATE owner SET schema = $1
