ALTER TABLE partition_metadata ADD COLUMN earliest_offset INTEGER;
ALTER TABLE partition_metadata ADD COLUMN latest_offset INTEGER;
ALTER TABLE partition_metadata ADD COLUMN first_record_at INTEGER;
ALTER TABLE partition_metadata ADD COLUMN last_record_at INTEGER;
