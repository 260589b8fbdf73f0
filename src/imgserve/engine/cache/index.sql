-- name: schema
CREATE TABLE entry (name BLOB PRIMARY KEY, size INTEGER NOT NULL, used_at INTEGER NOT NULL, epoch INTEGER NOT NULL,
    source TEXT) STRICT, WITHOUT ROWID;
CREATE INDEX entry_used ON entry (used_at);
CREATE INDEX entry_source ON entry (source) WHERE source IS NOT NULL;
CREATE TABLE total (entries INTEGER NOT NULL, bytes INTEGER NOT NULL) STRICT;
INSERT INTO total VALUES (0, 0);
CREATE TRIGGER entry_came AFTER INSERT ON entry BEGIN
    UPDATE total SET entries = entries + 1, bytes = bytes + new.size;
END;
CREATE TRIGGER entry_changed AFTER UPDATE OF size ON entry BEGIN
    UPDATE total SET bytes = bytes + new.size - old.size;
END;
CREATE TRIGGER entry_went AFTER DELETE ON entry BEGIN
    UPDATE total SET entries = entries - 1, bytes = bytes - old.size;
END;
PRAGMA user_version = 2

-- name: totals
SELECT entries, bytes FROM total

-- name: put
INSERT INTO entry (name, size, used_at, epoch, source) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET size = excluded.size, used_at = max(used_at, excluded.used_at), epoch = excluded.epoch,
        source = excluded.source

-- name: use
UPDATE entry SET used_at = max(used_at, ?) WHERE name = ?

-- name: remove
DELETE FROM entry WHERE name = ?

-- name: oldest
SELECT name, size FROM entry ORDER BY used_at LIMIT ?

-- name: between
SELECT name, size FROM entry WHERE name >= ? AND name < ?

-- name: of_prefix
SELECT name FROM entry WHERE source >= ? AND source < ? AND epoch < ? LIMIT ?

-- name: unread
SELECT name, size, used_at FROM entry WHERE source IS NULL AND name > ? ORDER BY name LIMIT ?
