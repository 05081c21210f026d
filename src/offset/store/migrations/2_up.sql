CREATE INDEX idx_partition_offset_checkpoints_partition ON partition_offset_checkpoints (partition_key);
CREATE INDEX idx_offset_mappings_partition_offset ON offset_mappings (partition_key, kafka_offset);
CREATE INDEX idx_offset_mappings_timestamp ON offset_mappings (partition_key, smq_timestamp);
CREATE INDEX idx_offset_mappings_created_at ON offset_mappings (created_at);
