-- From version 12 to 13: an output keeps the warnings of its newest picture.
ALTER TABLE output ADD COLUMN warnings BLOB;
