-- A transaction's settings are its own: through a pooler the next one may have another session. It waits so long for
-- another node's locks; then its transactions are tried one by one. A node that stands still keeps its locks so long, in
-- a pipeline until its takeover ends its connection.
-- The statements are written for nested loops over indexes, as SQLite runs them. One plan serves for all values, and
-- none reads a whole table, which looks cheap while the table is small and stays in use when it grows.
-- name: begin
SELECT extract(epoch FROM clock_timestamp())::double precision, set_config('search_path', 'imgserve', true),
    set_config('imgserve.epoch', $1, true), set_config('lock_timeout', '2s', true),
    set_config('idle_in_transaction_session_timeout', '10s', true),
    set_config('plan_cache_mode', 'force_generic_plan', true), set_config('jit', 'off', true),
    set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),
    set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)

-- In the order of the keys, so that two nodes do not wait for each other.
-- name: order
SELECT pg_advisory_xact_lock(hashtextextended(destination, 8602))
    FROM (SELECT DISTINCT destination FROM output WHERE job = $1 ORDER BY destination) AS place

-- name: keys
SELECT pg_advisory_xact_lock(hashtextextended(key, 8602)) FROM unnest($1::text[]) AS place (key)

-- name: job
SELECT 1 FROM job WHERE number = $1 FOR UPDATE

-- name: snapshot
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY
