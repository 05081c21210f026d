DROP TABLE consumer_group_members;
DROP TABLE consumer_groups;
