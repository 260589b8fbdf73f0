-- From version 9 to 10: the server that has the file is known, with its version, and a principal's jobs are found.
CREATE TABLE process (
    epoch      INTEGER PRIMARY KEY,
    version    TEXT    NOT NULL,
    format     INTEGER NOT NULL,
    started_at REAL    NOT NULL,
    seen_at    REAL    NOT NULL
) STRICT;
CREATE INDEX job_of_principal ON job (caller, number);
