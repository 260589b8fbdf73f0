-- name: add
INSERT INTO event (job, output, at, type, code) VALUES (?, ?, ?, ?, ?)

-- name: job
SELECT id, principal, webhook FROM job WHERE number = ?
