-- name: watch
CREATE TEMP TABLE head (principal TEXT, priority TEXT, hosts TEXT, run_at REAL NOT NULL,
    PRIMARY KEY (principal, priority, hosts)) STRICT, WITHOUT ROWID;
CREATE INDEX temp.head_order ON head (principal, priority, run_at, hosts);
INSERT INTO head SELECT principal, priority, hosts, min(run_at) FROM main.job INDEXED BY job_due
    WHERE status = 'queued' GROUP BY principal, priority, hosts;
CREATE TEMP TRIGGER head_came AFTER UPDATE OF status, run_at, hosts ON main.job WHEN new.status = 'queued' BEGIN
    INSERT INTO head VALUES (new.principal, new.priority, new.hosts, new.run_at)
        ON CONFLICT DO UPDATE SET run_at = excluded.run_at WHERE excluded.run_at < run_at;
END

-- name: delete
DELETE FROM head WHERE principal = ? AND priority = ? AND hosts = ?

-- name: add
INSERT INTO head SELECT principal, priority, hosts, run_at FROM main.job INDEXED BY job_due
    WHERE status = 'queued' AND principal = ? AND priority = ? AND hosts = ? ORDER BY run_at LIMIT 1
