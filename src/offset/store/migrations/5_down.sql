ALTER TABLE partition_metadata DROP COLUMN last_record_at;
ALTER TABLE partition_metadata DROP COLUMN first_record_at;
ALTER TABLE partition_metadata DROP COLUMN latest_offset;
ALTER TABLE partition_metadata DROP COLUMN earliest_offset;
