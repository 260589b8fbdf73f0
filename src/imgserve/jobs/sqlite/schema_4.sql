-- From version 3 to 4: whose job it is, so that one caller's part of the queue is known after a restart too.
ALTER TABLE job ADD COLUMN caller TEXT;
