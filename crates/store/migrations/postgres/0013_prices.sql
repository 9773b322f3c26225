-- What an attempt's worker asked for an hour of it when it was granted; NULL where it asked nothing.

ALTER TABLE attempts ADD COLUMN price TEXT CHECK (price IS NULL OR length(price) = 39);
