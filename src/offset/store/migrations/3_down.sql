DROP TABLE partition_metadata;
