-- From version 15 to 16: uploaded sources have rows while they are received and deleted.
ALTER TABLE upload ADD COLUMN state TEXT NOT NULL DEFAULT 'kept';
ALTER TABLE upload ADD COLUMN due_at REAL;
