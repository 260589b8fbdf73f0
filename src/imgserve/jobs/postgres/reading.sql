-- name: newest_events
SELECT output, at, type, code FROM event WHERE job = ? ORDER BY id DESC LIMIT ?
