CREATE TABLE consumer_group_positions (
    group_id TEXT NOT NULL,
    partition_key TEXT NOT NULL,
    committed_offset INTEGER NOT NULL,
    leader_epoch INTEGER,
    metadata TEXT NOT NULL,
    committed_at INTEGER NOT NULL,
    expires_at INTEGER,
    PRIMARY KEY (group_id, partition_key)
) WITHOUT ROWID;
CREATE INDEX idx_consumer_group_positions_partition ON consumer_group_positions (partition_key);
CREATE INDEX idx_consumer_group_positions_expires_at ON consumer_group_positions (expires_at) WHERE expires_at IS NOT NULL;
