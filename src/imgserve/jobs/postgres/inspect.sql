-- name: server
SELECT current_setting('server_version'), current_setting('server_version_num')::int, current_user::text,
    pg_encoding_to_char(encoding), current_setting('max_connections')::int,
    (SELECT sum(numbackends) FROM pg_stat_database)::int,
    CASE WHEN to_regnamespace('imgserve') IS NULL THEN has_database_privilege(current_database(), 'CREATE')
        ELSE has_schema_privilege('imgserve', 'CREATE') END
    FROM pg_database WHERE datname = current_database()

-- name: backend
SELECT pg_backend_pid()

-- name: tables
SELECT relname::text, has_table_privilege(oid, 'SELECT') AND has_table_privilege(oid, 'INSERT')
    AND has_table_privilege(oid, 'UPDATE') AND has_table_privilege(oid, 'DELETE')
    FROM pg_class WHERE relkind = 'r' AND relnamespace = to_regnamespace('imgserve')
