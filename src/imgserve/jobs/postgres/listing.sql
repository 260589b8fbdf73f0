-- Without those that have ended in order, which nodes.sql marks.
-- name: nodes
SELECT name, role, version, started_at, seen_at,
    (SELECT count(*) FROM job WHERE status = 'running' AND node = node.epoch)
    FROM node WHERE seen_at > '-infinity' ORDER BY epoch
