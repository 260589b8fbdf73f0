-- name: repair_owner
UPDATE owner SET id = hex(CAST(id AS BLOB)) WHERE NOT is_text(CAST(id AS BLOB))

-- name: drop_destinations
DELETE FROM destination WHERE NOT is_text(CAST(key || coalesce(kind, '') AS BLOB))

-- name: repair_entries
UPDATE outbox SET kind = iif(message_id IS NULL, 'error_image', 'webhook'),
    message_id = iif(is_text(CAST(message_id AS BLOB)), message_id, 'msg_' || lower(hex(CAST(message_id AS BLOB))))
    WHERE state = 'pending' AND NOT (is_text(CAST(kind AS BLOB)) AND is_text(CAST(message_id AS BLOB)))

-- Its job's source, whose id is another one now, fails as lost.
-- name: drop_uploads
DELETE FROM upload WHERE NOT is_text(CAST(id AS BLOB))

-- name: repair_uploads
UPDATE upload SET principal = as_text(CAST(principal AS BLOB)), state = iif(is_text(CAST(state AS BLOB)), state, 'kept')
    WHERE NOT is_text(CAST(principal || state AS BLOB))

-- The jobs that are open or have a pending entry; all others are only listed.
-- name: damaged
WITH looked_at AS (SELECT number FROM job WHERE ended_at IS NULL
    UNION SELECT job FROM outbox INDEXED BY outbox_due WHERE state = 'pending')
SELECT number FROM job WHERE number IN looked_at AND (principal IS NULL OR NOT is_text(CAST(
    id || ' ' || status || ' ' || coalesce(traceparent, '') || ' ' || principal || ' ' || hosts || ' ' || priority
    || ' ' || protocol AS BLOB)))
UNION SELECT job FROM output WHERE job IN looked_at AND NOT is_text(CAST(
    destination || ' ' || status || ' ' || placeholder || ' ' || user || ' ' || error || ' ' || detail || ' ' || hint
    || ' ' || coalesce(etag, '') AS BLOB))
ORDER BY 1

-- name: repair_job
UPDATE job SET id = as_text(CAST(id AS BLOB)), principal = as_text(CAST(coalesce(principal, '') AS BLOB)),
    traceparent = iif(is_text(CAST(traceparent AS BLOB)), traceparent, NULL),
    status = iif(is_text(CAST(status AS BLOB)), status, 'queued'),
    priority = iif(is_text(CAST(priority AS BLOB)), priority, 'normal'),
    protocol = iif(is_text(CAST(protocol AS BLOB)), protocol, 'classic') WHERE number = ?

-- name: repair_outputs
UPDATE output SET destination = as_text(CAST(destination AS BLOB)), user = as_text(CAST(user AS BLOB)),
    error = as_text(CAST(error AS BLOB)), detail = as_text(CAST(detail AS BLOB)), hint = as_text(CAST(hint AS BLOB)),
    status = iif(is_text(CAST(status AS BLOB)), status, 'queued'),
    placeholder = iif(is_text(CAST(placeholder AS BLOB)), placeholder, 'unknown'),
    etag = iif(is_text(CAST(etag AS BLOB)), etag, NULL)
    WHERE job = ?

-- name: open_destinations
SELECT destination FROM output WHERE job = ? AND status IN ('queued', 'placeholder')

-- name: set_hosts
UPDATE job SET hosts = ? WHERE number = ?
