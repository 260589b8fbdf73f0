-- The commit of the last part, whose place in the log is behind theirs, waits for all of them.
-- name: unsynced
SELECT set_config('synchronous_commit', 'off', true)

-- name: add
INSERT INTO upload_part (upload, part, data) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING

-- name: count_before
SELECT count(*) FROM upload_part WHERE upload = $1 AND part < $2

-- name: size
SELECT sum(octet_length(data))::bigint FROM upload_part WHERE upload = $1

-- name: read
SELECT data FROM upload_part WHERE upload = $1 AND part = $2

-- name: remove
DELETE FROM upload_part WHERE upload = $1
