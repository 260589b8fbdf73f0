-- The queue of one machine. Times are seconds since the epoch; ids of jobs are random, numbers give the order.

CREATE TABLE owner (
    epoch INTEGER NOT NULL,                -- grows with each server that takes the data directory
    id    TEXT    NOT NULL                 -- names this queue: other queues' servers may share its destinations
) STRICT;

CREATE TABLE job (
    number      INTEGER PRIMARY KEY AUTOINCREMENT,
    id          TEXT    NOT NULL UNIQUE,
    status      TEXT    NOT NULL,
    source      BLOB    NOT NULL,          -- JSON of spec.Source
    facts       BLOB    NOT NULL,          -- JSON of spec.Facts, as probed
    digest      BLOB    NOT NULL,          -- caller and request, for adoption
    reply       BLOB    NOT NULL,
    is_answered INTEGER NOT NULL DEFAULT 0,
    is_released INTEGER NOT NULL DEFAULT 0, -- a refused job never was: it has no place in the order
    epoch       INTEGER NOT NULL,          -- the owner whose intake took or adopted it
    created_at  REAL    NOT NULL,
    deadline_at REAL    NOT NULL,
    run_at      REAL    NOT NULL,
    attempts    INTEGER NOT NULL DEFAULT 0,
    crashes     INTEGER NOT NULL DEFAULT 0,
    token       INTEGER NOT NULL DEFAULT 0, -- grows with each claim; a write must show the newest
    lease_until REAL,
    error       TEXT    NOT NULL DEFAULT '',
    detail      TEXT    NOT NULL DEFAULT '',
    ended_at    REAL
) STRICT;
CREATE INDEX job_due ON job (run_at, number) WHERE status = 'queued';
CREATE INDEX job_leased ON job (lease_until) WHERE status = 'running';
CREATE INDEX job_open ON job (number) WHERE ended_at IS NULL;
CREATE INDEX job_unanswered ON job (digest) WHERE is_answered = 0;
CREATE INDEX job_ended ON job (ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE output (
    id            INTEGER PRIMARY KEY AUTOINCREMENT, -- names locks, temporary files, kept renditions: never used twice
    job           INTEGER NOT NULL REFERENCES job (number) ON DELETE CASCADE,
    spec          BLOB    NOT NULL,        -- JSON of spec.FixedOutput
    destination   TEXT    NOT NULL,        -- its key
    is_form       INTEGER NOT NULL,        -- forms are written in turn, never superseded
    status        TEXT    NOT NULL DEFAULT 'queued',
    placeholder   TEXT    NOT NULL DEFAULT 'pending',
    is_repeat     INTEGER NOT NULL DEFAULT 0,
    debt          TEXT    NOT NULL DEFAULT 'none',
    debt_at       REAL,
    debt_until    REAL,
    debt_attempts INTEGER NOT NULL DEFAULT 0,
    debt_token    INTEGER                  -- the newest payer's
) STRICT;
CREATE INDEX output_of_job ON output (job);
CREATE INDEX output_of_destination ON output (destination, job);
CREATE INDEX output_debt ON output (debt_at) WHERE debt = 'owed';

-- One row a destination: who writes there now, and the highest released job that has written.
CREATE TABLE destination (
    key         TEXT    PRIMARY KEY,
    holder      INTEGER,                   -- an output's id
    token       INTEGER,
    kind        TEXT,
    quiet_until REAL    NOT NULL DEFAULT 0,
    written     INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX destination_held ON destination (holder) WHERE holder IS NOT NULL;

CREATE TABLE placeholder (
    digest     BLOB    PRIMARY KEY,
    size_bytes INTEGER NOT NULL,
    seen_at    REAL    NOT NULL
) STRICT, WITHOUT ROWID;
