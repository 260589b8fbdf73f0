-- From version 6 to 7: a reply is made from the job's outputs by the protocol that gives it.
ALTER TABLE job DROP COLUMN reply;
