-- What a worker signed of an attempt, beside its outcome: the list that its receipt stands in (absent
-- where the attempt ended by other than its worker's word), the inputs as verified, the sandbox layers.
ALTER TABLE attempts ADD COLUMN receipt_list BIGINT;
ALTER TABLE attempts ADD COLUMN input_hash BYTEA CHECK (input_hash IS NULL OR length(input_hash) = 32);
ALTER TABLE attempts ADD COLUMN layers TEXT;
