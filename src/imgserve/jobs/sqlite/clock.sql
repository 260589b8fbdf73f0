-- name: mark
SELECT queue_s, wall_s, boot, boot_s FROM owner

-- name: note
UPDATE owner SET queue_s = ?, wall_s = ?, boot = ?, boot_s = ?

-- name: extend_entries
UPDATE outbox SET until = max(until, ?) WHERE state = 'pending'

-- name: extend_deadlines
UPDATE job SET deadline_at = max(deadline_at, ?) WHERE ended_at IS NULL

-- The stored times of a version that stored the wall clock's.
-- name: cap
UPDATE job SET run_at = min(run_at, :due_at) WHERE status = 'queued';
UPDATE output SET due_at = min(due_at, :due_at);
UPDATE destination SET quiet_until = min(quiet_until, :quiet_until)
