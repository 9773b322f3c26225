-- What a restore jumped over. The log goes on behind `resumes_after`: positions from `head` to there
-- were told to readers by events that the backup did not have, and none of them is used again. The
-- same holds for fences up to `fence_floor` in tasks that had not ended, and for sessions up to
-- `last_session`, which have ended.
CREATE TABLE restores (
  key INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,
  backup BLOB NOT NULL CHECK (length(backup) = 16),
  backed_up INTEGER NOT NULL,
  head INTEGER NOT NULL CHECK (head >= 0),
  resumes_after INTEGER NOT NULL CHECK (resumes_after > head),
  last_session INTEGER NOT NULL,
  fence_floor INTEGER NOT NULL CHECK (fence_floor BETWEEN 1 AND 4294967295)
) STRICT;
