CREATE TABLE partition_metadata (
    partition_key TEXT PRIMARY KEY,
    ring_size INTEGER NOT NULL,
    range_start INTEGER NOT NULL,
    range_stop INTEGER NOT NULL,
    unix_time_ns INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    last_activity_at INTEGER NOT NULL,
    record_count INTEGER DEFAULT 0,
    total_size INTEGER DEFAULT 0
);
CREATE INDEX idx_partition_metadata_activity ON partition_metadata (last_activity_at);
