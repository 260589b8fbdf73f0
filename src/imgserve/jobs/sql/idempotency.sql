-- name: find
SELECT idempotency.digest, job_id, number FROM idempotency LEFT JOIN job ON id = job_id
    WHERE idempotency.key = ? AND idempotency.principal = ? AND idempotency.created_at > ?

-- name: bind
INSERT INTO idempotency (key, principal, digest, job_id, created_at) VALUES (?1, ?2, ?3, ?4, ?5)
    ON CONFLICT (key, principal) DO UPDATE SET digest = ?3, job_id = ?4, created_at = ?5

-- name: unbind
DELETE FROM idempotency WHERE job_id = (SELECT id FROM job WHERE number = ?)

-- name: forget
DELETE FROM idempotency WHERE (key, principal) IN
    (SELECT key, principal FROM idempotency WHERE created_at <= ? ORDER BY created_at LIMIT ?)
