-- name: add
INSERT INTO event (job, output, at, type, code) VALUES (?, ?, ?, ?, ?)
