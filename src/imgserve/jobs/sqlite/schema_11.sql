-- From version 10 to 11: columns have the names that the code uses, and placeholders are found by their size.
ALTER TABLE job RENAME COLUMN caller TO principal;
ALTER TABLE job RENAME COLUMN facts TO info;
ALTER TABLE job RENAME COLUMN is_released TO is_activated;
CREATE INDEX placeholder_of_size ON placeholder (size_bytes, seen_at);
