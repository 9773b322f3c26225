-- The oldest program that may use this database, by the last migration that it knows. A program that
-- finds a schema newer than its own goes by it. Migrations say it, not who runs them (`open::schema`).
CREATE TABLE compatibility (
  "only" BIGINT PRIMARY KEY CHECK ("only" = 1),
  oldest_program BIGINT NOT NULL
);
INSERT INTO compatibility ("only", oldest_program) VALUES (1, 13);

-- The last migration that its program knows. One that does not know this column is of the version before.
ALTER TABLE coordinators ADD COLUMN schema BIGINT NOT NULL DEFAULT 13;
