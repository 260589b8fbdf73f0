-- name: next_ended
SELECT ended_at, number, EXISTS (SELECT 1 FROM outbox WHERE job = number AND state = 'pending'
    AND kind IN (SELECT value FROM json_each(?)))
    FROM job INDEXED BY job_ended WHERE ended_at IS NOT NULL AND (status = 'failed') = ? AND ended_at < ?
    AND (ended_at, number) > (?, ?) ORDER BY ended_at, number LIMIT ?

-- Events are missing up to this number from now on.
-- name: note_events
UPDATE owner SET events_gone = max(events_gone, (SELECT coalesce(max(event.number), 0) FROM event WHERE job = ?))

-- name: delete
DELETE FROM job WHERE number = ?
