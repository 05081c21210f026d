CREATE TABLE partition_offset_checkpoints (
    partition_key TEXT PRIMARY KEY,
    ring_size INTEGER NOT NULL,
    range_start INTEGER NOT NULL,
    range_stop INTEGER NOT NULL,
    unix_time_ns INTEGER NOT NULL,
    checkpoint_offset INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
);
CREATE TABLE offset_mappings (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    partition_key TEXT NOT NULL,
    kafka_offset INTEGER NOT NULL,
    smq_timestamp INTEGER NOT NULL,
    message_size INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (partition_key, kafka_offset)
);
