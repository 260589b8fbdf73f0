-- name: add
INSERT INTO event (job, output, at, type, code) VALUES (?, ?, ?, ?, ?)

-- name: job
SELECT principal, id FROM job WHERE number = ?

-- name: webhook
SELECT webhook FROM job WHERE number = ?
