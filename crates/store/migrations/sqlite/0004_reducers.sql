-- Reducers wait for the tasks that they read, each for its own: how many of them have not ended.

ALTER TABLE tasks ADD COLUMN waits_for INTEGER NOT NULL DEFAULT 0 CHECK (waits_for BETWEEN 0 AND 64);

-- A reducer that waits now has at most 64 tasks below it: it becomes the root of a tree of height 1.
UPDATE tasks SET waits_for = min(64, (SELECT count(*) FROM tasks t WHERE t.job = tasks.job AND t.state < 3) - 1)
  WHERE state = 0;
