-- name: hold
INSERT INTO destination (key, holder, token, kind) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (key) DO UPDATE SET holder = ?2, token = ?3, kind = ?4, epoch = excluded.epoch
