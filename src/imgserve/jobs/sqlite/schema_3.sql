-- From version 2 to 3: what operators ask for, jobs by status, newest first, and their destinations, each from one index.
CREATE INDEX job_end ON job (status, number, created_at) WHERE ended_at IS NOT NULL;
DROP INDEX output_of_job;
CREATE INDEX output_of_job ON output (job, destination);
