-- name: next_ended
SELECT ended_at, number, EXISTS (SELECT 1 FROM outbox WHERE outbox.job = number AND state = 'pending'
    AND kind IN (SELECT value FROM json_each(?1)))
    FROM job WHERE ended_at IS NOT NULL AND (status = 'failed') = (?2 = 1) AND ended_at < ?3
    AND (ended_at, number) > (?4, ?5) ORDER BY ended_at, number LIMIT ?6 FOR UPDATE OF job SKIP LOCKED

-- name: note_events
UPDATE owner SET events_gone = greatest(events_gone, gone) FROM
    (SELECT max(event.number) AS gone FROM event WHERE job = ?) AS newest WHERE gone > events_gone
