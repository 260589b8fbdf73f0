-- name: watch
CREATE TEMP TABLE head (principal TEXT, hosts TEXT, run_at REAL NOT NULL, PRIMARY KEY (principal, hosts))
    STRICT, WITHOUT ROWID;
CREATE INDEX temp.head_order ON head (principal, run_at, hosts);
INSERT INTO head SELECT principal, hosts, min(run_at) FROM main.job INDEXED BY job_due WHERE status = 'queued'
    GROUP BY principal, hosts;
CREATE TEMP TRIGGER head_came AFTER UPDATE OF status, run_at, hosts ON main.job WHEN new.status = 'queued' BEGIN
    INSERT INTO head VALUES (new.principal, new.hosts, new.run_at)
        ON CONFLICT DO UPDATE SET run_at = excluded.run_at WHERE excluded.run_at < run_at;
END

-- name: delete
DELETE FROM head WHERE principal = ? AND hosts = ?

-- name: add
INSERT INTO head SELECT principal, hosts, run_at FROM main.job INDEXED BY job_due
    WHERE status = 'queued' AND principal = ? AND hosts = ? ORDER BY run_at LIMIT 1
