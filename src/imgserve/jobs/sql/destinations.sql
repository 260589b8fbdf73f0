-- name: right_to_write
SELECT job.status, job.epoch, job.claim, job.lease_until, output.status, NULL, NULL, output.is_overtaken,
    holder, destination.token, quiet_until
    FROM output JOIN job ON job.number = output.job LEFT JOIN destination ON key = ?2 WHERE output.id = ?1

-- name: right_to_write_of_entry
SELECT job.status, job.epoch, job.claim, job.lease_until, output.status, entry.state, entry.token,
    output.is_overtaken, holder, destination.token, quiet_until
    FROM output JOIN job ON job.number = output.job LEFT JOIN destination ON key = ?2
    LEFT JOIN outbox AS entry ON entry.output = output.id AND entry.kind IN (SELECT value FROM json_each(?3))
    WHERE output.id = ?1

-- name: lock
SELECT holder, token, quiet_until FROM destination WHERE key = ?

-- name: hold_first
INSERT INTO destination (key, holder, token, kind) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING

-- name: hold
INSERT INTO destination (key, holder, token, kind) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (key) DO UPDATE SET holder = ?2, token = ?3, kind = ?4

-- name: overtaken_outputs
SELECT output.id, token FROM output JOIN job ON job.number = output.job WHERE destination = ?
    AND (output.status = 'superseded' OR is_overtaken = 1 OR is_activated = 0) ORDER BY output.id DESC LIMIT 10

-- All outputs of a job; of those that hold their destination with this token the lock's kind too.
-- name: outputs_of_claim
SELECT output.id, output.status, due_at, output.destination, job.status = 'running' AND claim = ?2,
    lock.kind, quiet_until, placeholder, is_activated = 1 AND is_form = 0, principal, "user",
    EXISTS (SELECT 1 FROM output AS other WHERE other.destination = lock.key AND other.job <> ?1),
    webhook IS NOT NULL
    FROM output JOIN job ON number = output.job
    LEFT JOIN destination AS lock ON lock.holder = output.id AND lock.token = ?2 WHERE output.job = ?1

-- name: free_but_quiet
UPDATE destination SET holder = NULL, token = NULL, kind = NULL WHERE key = ?

-- name: free
DELETE FROM destination WHERE key = ?
