DROP TABLE consumer_group_positions;
