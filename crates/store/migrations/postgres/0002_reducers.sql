-- Reducers wait for the tasks that they read, each for its own: how many of them have not ended.

ALTER TABLE tasks ADD COLUMN waits_for BIGINT NOT NULL DEFAULT 0 CHECK (waits_for BETWEEN 0 AND 64);

-- The one reducer over all tasks that the schema before knew is the root of a tree of height 1, up to
-- 64 tasks. Jobs with more of them came with no release.
UPDATE tasks SET waits_for = least(64, (SELECT count(*) FROM tasks t WHERE t.job = tasks.job AND t.state < 3) - 1)
  WHERE state = 0;
