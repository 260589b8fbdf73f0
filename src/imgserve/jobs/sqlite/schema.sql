-- The queue of one machine, as it is now; schema_N.sql brings an older file to version N. Times are the queue's own
-- (imgserve.clock), in seconds since the epoch; ids of jobs are random, numbers give the order.

CREATE TABLE owner (
    epoch INTEGER NOT NULL,                -- grows with each server that takes the data directory
    id    TEXT    NOT NULL,                -- names this queue: other queues' servers may share its destinations
    queue_s REAL,                          -- clock.Mark: the queue's own time when the owner last noted it,
    wall_s  REAL,                          -- what the wall clock said then,
    boot    TEXT,                          -- the kernel's boot_id,
    boot_s  REAL,                          -- and the seconds since that boot
    events_gone INTEGER NOT NULL DEFAULT 0 -- the highest number of the events that went with their jobs
) STRICT;

-- The server that has the file, and the one before it.
CREATE TABLE process (
    epoch      INTEGER PRIMARY KEY,        -- as owner.epoch when it took the file
    version    TEXT    NOT NULL,           -- imgserve's
    format     INTEGER NOT NULL,           -- the highest that it reads and writes (jobs.stored)
    started_at REAL    NOT NULL,
    seen_at    REAL    NOT NULL            -- its last heartbeat
) STRICT;

CREATE TABLE job (
    number      INTEGER PRIMARY KEY AUTOINCREMENT,
    id          TEXT    NOT NULL UNIQUE,
    status      TEXT    NOT NULL,
    source      BLOB    NOT NULL,          -- JSON (jobs.stored)
    info        BLOB    NOT NULL,          -- JSON (jobs.stored): the picture as probed
    digest      BLOB    NOT NULL,          -- of principal and request, for adoption
    is_answered INTEGER NOT NULL DEFAULT 0,
    is_activated INTEGER NOT NULL DEFAULT 0, -- a refused job never was: it has no place in the order
    epoch       INTEGER NOT NULL,          -- the owner whose intake took or adopted it
    created_at  REAL    NOT NULL,
    deadline_at REAL    NOT NULL,
    run_at      REAL    NOT NULL,          -- the first of its open outputs' due times
    token       INTEGER NOT NULL DEFAULT 0, -- grows with each claim, of the job's or of an outbox entry's
    lease_until REAL,                      -- of a running job's claim
    ended_at    REAL,
    traceparent TEXT,                      -- W3C: intake's span; NULL without tracing
    principal   TEXT,                      -- that posted it; '' in jobs of versions without principals
    hosts       TEXT    NOT NULL DEFAULT '', -- of its next outputs: scheme://host:port, sorted, one space between
    claim       INTEGER,                   -- the token of its newest claim; a final must show it
    protocol    TEXT    NOT NULL DEFAULT 'classic', -- that it came by
    priority    TEXT    NOT NULL DEFAULT 'normal', -- among the jobs of its principal
    not_before  REAL,                      -- it is neither activated nor claimed earlier
    metadata    BLOB,                      -- JSON (jobs.stored), its principal's own; NULL for none
    retries     INTEGER NOT NULL DEFAULT 0, -- how often it was queued again after its end
    superseded_by TEXT  NOT NULL DEFAULT '', -- the id of the newer job that took a destination from it
    webhook     BLOB                       -- JSON (jobs.stored); NULL for none
) STRICT;
CREATE INDEX job_due ON job (principal, priority, hosts, run_at, number) WHERE status = 'queued';
CREATE INDEX job_leased ON job (lease_until) WHERE status = 'running';
CREATE INDEX job_open ON job (number) WHERE ended_at IS NULL;
CREATE INDEX job_unanswered ON job (digest) WHERE is_answered = 0;
CREATE INDEX job_ended ON job ((status = 'failed'), ended_at, number) WHERE ended_at IS NOT NULL;
CREATE INDEX job_end ON job (status, number, created_at) WHERE ended_at IS NOT NULL;
CREATE INDEX job_end_of_principal ON job (principal, status, number, created_at) WHERE ended_at IS NOT NULL;

CREATE TABLE output (
    id            INTEGER PRIMARY KEY AUTOINCREMENT, -- names locks, temporary files, kept renditions: never used twice
    job           INTEGER NOT NULL REFERENCES job (number) ON DELETE CASCADE,
    spec          BLOB    NOT NULL,        -- JSON (jobs.stored)
    destination   TEXT    NOT NULL,        -- its key
    is_form       INTEGER NOT NULL,        -- forms are written one after the other, never superseded
    status        TEXT    NOT NULL DEFAULT 'queued',
    placeholder   TEXT    NOT NULL DEFAULT 'pending',
    is_repeat     INTEGER NOT NULL DEFAULT 0,
    user          TEXT    NOT NULL DEFAULT '', -- the user name in the destination's URL
    is_overtaken  INTEGER NOT NULL DEFAULT 0, -- a newer job has written here: this output writes no more
    is_covered    INTEGER NOT NULL DEFAULT 0, -- an older job's final has replaced its placeholder: it needs no entry
    placeholder_digest BLOB,               -- of the placeholder at a file destination, and its size
    placeholder_bytes INTEGER,
    attempts      INTEGER NOT NULL DEFAULT 0,
    crashes       INTEGER NOT NULL DEFAULT 0,
    due_at        REAL    NOT NULL DEFAULT 0,
    error         TEXT    NOT NULL DEFAULT '', -- of the last attempt
    detail        TEXT    NOT NULL DEFAULT '',
    warnings      BLOB,                    -- JSON (jobs.stored), of its newest picture
    hint          TEXT    NOT NULL DEFAULT '',
    is_retryable  INTEGER NOT NULL DEFAULT 0, -- time alone may heal the error
    size_bytes    INTEGER,                 -- of the delivered picture
    sha256        BLOB,
    delivered_at  REAL,
    etag          TEXT                     -- of the placeholder at an object store
) STRICT;
CREATE INDEX output_of_job ON output (job, destination);
CREATE INDEX output_of_destination ON output (destination, job);

-- What is still to be sent after a job's end, to a destination or elsewhere; ``model.OUTBOX`` has the kinds.
CREATE TABLE outbox (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    job      INTEGER NOT NULL REFERENCES job (number) ON DELETE CASCADE,
    output   INTEGER,                      -- NULL: it is the whole job's
    kind     TEXT    NOT NULL,
    payload  BLOB,                         -- the body of a message
    due_at   REAL    NOT NULL,
    until    REAL    NOT NULL,             -- a failure after this time is the last
    attempts INTEGER NOT NULL DEFAULT 0,
    token    INTEGER NOT NULL DEFAULT 0,   -- the newest claim's
    state    TEXT    NOT NULL DEFAULT 'pending', -- pending, done, abandoned
    message_id TEXT,                       -- a message's, the same in each try
    target   TEXT                          -- a message's URL
) STRICT;
CREATE INDEX outbox_of_job ON outbox (job);
CREATE INDEX outbox_of_output ON outbox (output);
CREATE INDEX outbox_due ON outbox (due_at, kind) WHERE state = 'pending';
CREATE INDEX outbox_to ON outbox (target) WHERE state = 'pending' AND target IS NOT NULL;
CREATE INDEX outbox_abandoned ON outbox (kind) WHERE state = 'abandoned';

-- The tries of a message.
CREATE TABLE webhook_try (
    number      INTEGER PRIMARY KEY,
    entry       INTEGER NOT NULL REFERENCES outbox (id) ON DELETE CASCADE,
    at          REAL    NOT NULL,
    status      INTEGER,                   -- of the HTTP answer; NULL without one
    error       TEXT    NOT NULL,          -- a code; '' for none
    duration_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX webhook_try_of_entry ON webhook_try (entry, number);

-- A source that came with its job, or comes with it now. Its picture is kept elsewhere.
CREATE TABLE upload (
    id         TEXT    PRIMARY KEY,
    job        INTEGER REFERENCES job (number) ON DELETE SET NULL, -- NULL: none yet, or none any more
    principal  TEXT    NOT NULL,
    size_bytes INTEGER NOT NULL,                -- reserved, until the picture is there
    sha256     BLOB    NOT NULL,                -- empty without a job
    created_at REAL    NOT NULL,
    state      TEXT    NOT NULL DEFAULT 'kept', -- coming, kept (for its job), going (to be deleted)
    due_at     REAL                             -- coming, going: when any server may delete it
) STRICT, WITHOUT ROWID;
CREATE INDEX upload_of_job ON upload (job);
CREATE INDEX upload_of_principal ON upload (principal, size_bytes);

-- A destination that is being written to, or was when its server died.
CREATE TABLE destination (
    key         TEXT    PRIMARY KEY,
    holder      INTEGER,                   -- an output's id
    token       INTEGER,
    kind        TEXT,
    quiet_until REAL    NOT NULL DEFAULT 0 -- bytes of a killed server may arrive until then; 0: none was killed here
) STRICT, WITHOUT ROWID;
CREATE INDEX destination_held ON destination (holder) WHERE holder IS NOT NULL;

-- What has happened, in its order: the timeline of a job. It goes with its job.
CREATE TABLE event (
    number      INTEGER PRIMARY KEY AUTOINCREMENT,
    job         INTEGER NOT NULL REFERENCES job (number) ON DELETE CASCADE,
    output      INTEGER,                   -- NULL: it is the whole job's
    at          REAL    NOT NULL,
    type        TEXT    NOT NULL,          -- model.EventType
    code        TEXT    NOT NULL DEFAULT '' -- of the error
) STRICT;
CREATE INDEX event_of_job ON event (job, number);

-- Requests that were sent with a key of their principal's, and the jobs that they made; kept longer than a job may be.
CREATE TABLE idempotency (
    key        TEXT    NOT NULL,
    principal  TEXT    NOT NULL,
    digest     BLOB    NOT NULL,           -- of the request
    job_id     TEXT    NOT NULL,
    created_at REAL    NOT NULL,
    PRIMARY KEY (key, principal)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_age ON idempotency (created_at);
CREATE INDEX idempotency_of_job ON idempotency (job_id);

CREATE TABLE placeholder (
    digest     BLOB    PRIMARY KEY,
    size_bytes INTEGER NOT NULL,
    seen_at    REAL    NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX placeholder_of_size ON placeholder (size_bytes, seen_at);
