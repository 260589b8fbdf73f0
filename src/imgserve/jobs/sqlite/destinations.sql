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

-- name: hold
INSERT INTO destination (key, holder, token, kind) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (key) DO UPDATE SET holder = ?2, token = ?3, kind = ?4

-- name: overtaken_outputs
SELECT output.id, token FROM output JOIN job ON job.number = output.job WHERE destination = ?
    AND (output.status = 'superseded' OR is_overtaken OR NOT is_activated) ORDER BY output.id DESC LIMIT 10

-- name: held_by_claim
SELECT output.id, destination.kind, quiet_until, output.placeholder, job.is_activated AND NOT is_form, principal,
    user, destination.key, NOT EXISTS (SELECT 1 FROM output AS other
    WHERE other.destination = destination.key AND other.job <> ?1) FROM output
    JOIN destination ON destination.holder = output.id AND destination.token = ?2
    JOIN job ON job.number = output.job WHERE output.job = ?1

-- name: free_but_quiet
UPDATE destination SET holder = NULL, token = NULL, kind = NULL WHERE key = ?

-- name: free
DELETE FROM destination WHERE key = ?
