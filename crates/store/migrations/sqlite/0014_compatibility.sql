-- The oldest program that may use this database, by the last migration that it knows. A program that
-- finds a schema newer than its own goes by it. Migrations say it, not who runs them (`open::schema`).
CREATE TABLE compatibility (
  "only" INTEGER PRIMARY KEY CHECK ("only" = 1),
  oldest_program INTEGER NOT NULL
) STRICT;
INSERT INTO compatibility ("only", oldest_program) VALUES (1, 13);
