-- What happened to one worker, in order. Events of jobs name no worker in this column, so that a
-- grant does not touch this index.
CREATE INDEX events_worker ON events (worker, position) WHERE worker IS NOT NULL;
