DROP TABLE offset_mappings;
DROP TABLE partition_offset_checkpoints;
