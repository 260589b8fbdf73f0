-- The queue of one machine, as it is now; schema_N.sql leads an older file to version N. Times are the queue's own (imgserve.clock), in seconds since the epoch; ids of jobs are random, numbers give the order.

CREATE TABLE owner (
    epoch INTEGER NOT NULL,                -- grows with each server that takes the data directory
    id    TEXT    NOT NULL,                -- names this queue: other queues' servers may share its destinations
    queue_s REAL,                          -- clock.Mark: the queue's own time when the owner last noted it,
    wall_s  REAL,                          -- what the wall clock said then,
    boot    TEXT,                          -- the kernel's boot_id,
    boot_s  REAL                           -- and the seconds since that boot
) STRICT;

CREATE TABLE job (
    number      INTEGER PRIMARY KEY AUTOINCREMENT,
    id          TEXT    NOT NULL UNIQUE,
    status      TEXT    NOT NULL,
    source      BLOB    NOT NULL,          -- JSON of spec.Source
    facts       BLOB    NOT NULL,          -- JSON of spec.Facts, as probed
    digest      BLOB    NOT NULL,          -- caller and request, for adoption
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
    ended_at    REAL,
    traceparent TEXT,                      -- W3C: the span that took it in; NULL without tracing
    caller      TEXT,                      -- whose part of the queue it fills; '': nobody's, as those that an older version took in
    hosts       TEXT    NOT NULL DEFAULT '' -- of its open outputs: scheme://host:port, sorted, one space between
) STRICT;
CREATE INDEX job_due ON job (caller, hosts, run_at, number) WHERE status = 'queued';
CREATE INDEX job_leased ON job (lease_until) WHERE status = 'running';
CREATE INDEX job_open ON job (number) WHERE ended_at IS NULL;
CREATE INDEX job_unanswered ON job (digest) WHERE is_answered = 0;
CREATE INDEX job_ended ON job ((status = 'failed'), ended_at, number) WHERE ended_at IS NOT NULL;
CREATE INDEX job_end ON job (status, number, created_at) WHERE ended_at IS NOT NULL;

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
    debt_token    INTEGER,                 -- the newest payer's
    user          TEXT    NOT NULL DEFAULT '', -- the user name in the destination's URL
    is_overtaken  INTEGER NOT NULL DEFAULT 0, -- a newer job has written here: this output writes no more
    is_covered    INTEGER NOT NULL DEFAULT 0, -- an older job's final came over its placeholder: it owes nothing for that
    placeholder_digest BLOB,               -- of the placeholder that a file destination took, and its size
    placeholder_bytes INTEGER
) STRICT;
CREATE INDEX output_of_job ON output (job, destination);
CREATE INDEX output_of_destination ON output (destination, job);
CREATE INDEX output_debt ON output (debt_at) WHERE debt = 'owed';
CREATE INDEX output_given_up ON output (id) WHERE debt = 'given_up';
CREATE INDEX output_abandoned ON output (id) WHERE debt = 'abandoned';

-- A destination that is being written to, or was when its server died.
CREATE TABLE destination (
    key         TEXT    PRIMARY KEY,
    holder      INTEGER,                   -- an output's id
    token       INTEGER,
    kind        TEXT,
    quiet_until REAL    NOT NULL DEFAULT 0 -- what a killed server sent may arrive until then; 0: none was killed here
) STRICT, WITHOUT ROWID;
CREATE INDEX destination_held ON destination (holder) WHERE holder IS NOT NULL;

CREATE TABLE placeholder (
    digest     BLOB    PRIMARY KEY,
    size_bytes INTEGER NOT NULL,
    seen_at    REAL    NOT NULL
) STRICT, WITHOUT ROWID;
