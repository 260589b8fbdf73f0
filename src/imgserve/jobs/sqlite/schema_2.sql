-- From version 1 to 2: traces that go on with a job, and a cheap count of the placeholders that are left.
ALTER TABLE job ADD COLUMN traceparent TEXT;
CREATE INDEX output_given_up ON output (id) WHERE debt = 'given_up';
