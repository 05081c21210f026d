//! What SQL stores say to their databases, where the dialects agree. Runs none of it.
//!
//! SQLite numbers `$n` in the order in which they first stand in a statement, so that they must stand there in the order of their numbers.

pub(super) const COMMIT: &str = "INSERT INTO consumer_group_positions
    (group_id, partition_key, committed_offset, leader_epoch, metadata, committed_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT (group_id, partition_key) DO UPDATE SET committed_offset = excluded.committed_offset, leader_epoch = excluded.leader_epoch,
    metadata = excluded.metadata, committed_at = excluded.committed_at, expires_at = excluded.expires_at";

/// As [`COMMIT`], where the group has no position yet.
pub(super) const COMMIT_FIRST: &str = "INSERT INTO consumer_group_positions
    (group_id, partition_key, committed_offset, leader_epoch, metadata, committed_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT (group_id, partition_key) DO NOTHING";

/// As [`COMMIT`], where the group's position is `$8` of the term `$9`.
pub(super) const COMMIT_FROM: &str = "UPDATE consumer_group_positions
    SET committed_offset = $1, leader_epoch = $2, metadata = $3, committed_at = $4, expires_at = $5
    WHERE group_id = $6 AND partition_key = $7 AND committed_offset = $8 AND leader_epoch IS NOT DISTINCT FROM $9";

pub(super) const FETCH: &str = "SELECT committed_offset, leader_epoch, metadata, committed_at, expires_at
    FROM consumer_group_positions WHERE group_id = $1 AND partition_key = $2";

pub(super) const FETCH_ALL: &str = "SELECT partition_key, committed_offset, leader_epoch, metadata, committed_at, expires_at
    FROM consumer_group_positions WHERE group_id = $1";

pub(super) const GROUPS: &str = "SELECT group_id FROM consumer_group_positions UNION SELECT group_id FROM consumer_groups ORDER BY group_id";

pub(super) const DELETE: &str = "DELETE FROM consumer_group_positions WHERE group_id = $1 AND partition_key = $2";

/// The members only if the group is gone: one that was saved behind the first statement keeps its own. The positions last: how many there were is
/// what is asked.
pub(super) const DELETE_GROUP: [&str; 3] = [
    "DELETE FROM consumer_groups WHERE group_id = $1",
    "DELETE FROM consumer_group_members WHERE group_id = $1 AND NOT EXISTS (SELECT * FROM consumer_groups WHERE group_id = $1)",
    "DELETE FROM consumer_group_positions WHERE group_id = $1",
];

pub(super) const SAVE_GROUP: &str = "INSERT INTO consumer_groups
    (group_id, generation, protocol_type, protocol, leader, changed_at) VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (group_id) DO UPDATE SET generation = excluded.generation, protocol_type = excluded.protocol_type,
    protocol = excluded.protocol, leader = excluded.leader, changed_at = excluded.changed_at
    WHERE excluded.generation > consumer_groups.generation
    OR (excluded.generation = consumer_groups.generation AND excluded.changed_at = consumer_groups.changed_at)";

pub(super) const DELETE_MEMBERS: &str = "DELETE FROM consumer_group_members WHERE group_id = $1";

pub(super) const SAVE_MEMBER: &str = "INSERT INTO consumer_group_members (group_id, member_id, instance_id, client_id, client_host,
    session_timeout_ms, rebalance_timeout_ms, subscription, assignment) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";

/// A row a member, each with the group before it, and one without a member where there is none: all of one generation.
pub(super) const LOAD_GROUP: &str =
    "SELECT g.generation, g.changed_at, g.protocol_type, g.protocol, g.leader, m.member_id, m.instance_id, m.client_id,
    m.client_host, m.session_timeout_ms, m.rebalance_timeout_ms, m.subscription, m.assignment
    FROM consumer_groups g LEFT JOIN consumer_group_members m ON m.group_id = g.group_id WHERE g.group_id = $1";

/// The positions last: how many there were is what is asked.
pub(super) const DELETE_TOPIC: [&str; 4] = [
    "DELETE FROM partition_offset_checkpoints WHERE partition_key >= $1 AND partition_key < $2",
    "DELETE FROM partition_metadata WHERE partition_key >= $1 AND partition_key < $2",
    "DELETE FROM offset_mappings WHERE partition_key >= $1 AND partition_key < $2",
    "DELETE FROM consumer_group_positions WHERE partition_key >= $1 AND partition_key < $2",
];

pub(super) const FORGET: [&str; 3] = [
    "DELETE FROM partition_offset_checkpoints WHERE partition_key = $1",
    "DELETE FROM partition_metadata WHERE partition_key = $1",
    "DELETE FROM offset_mappings WHERE partition_key = $1",
];

pub(super) const SAVE_CHECKPOINT: &str = "INSERT INTO partition_offset_checkpoints
    (partition_key, ring_size, range_start, range_stop, unix_time_ns, checkpoint_offset, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT (partition_key) DO UPDATE SET checkpoint_offset = excluded.checkpoint_offset, updated_at = excluded.updated_at
    WHERE excluded.checkpoint_offset > partition_offset_checkpoints.checkpoint_offset";

pub(super) const LOAD_CHECKPOINT: &str = "SELECT checkpoint_offset, updated_at FROM partition_offset_checkpoints WHERE partition_key = $1";

pub(super) const MAPPINGS: &str = "SELECT kafka_offset, smq_timestamp, message_size FROM offset_mappings
    WHERE partition_key = $1 AND kafka_offset >= $2 AND kafka_offset < $3 ORDER BY kafka_offset LIMIT $4";

pub(super) const HIGHEST_OFFSET: &str = "SELECT MAX(kafka_offset) FROM offset_mappings WHERE partition_key = $1";

pub(super) const SAVE_STATS: &str = "INSERT INTO partition_metadata
    (partition_key, ring_size, range_start, range_stop, unix_time_ns, created_at, last_activity_at, record_count, total_size,
     earliest_offset, latest_offset, first_record_at, last_record_at) VALUES ($1, $2, $3, $4, $5, $6, $6, $7, $8, $9, $10, $11, $12)
    ON CONFLICT (partition_key) DO UPDATE SET last_activity_at = excluded.last_activity_at, record_count = excluded.record_count,
    total_size = excluded.total_size, earliest_offset = excluded.earliest_offset, latest_offset = excluded.latest_offset,
    first_record_at = excluded.first_record_at, last_record_at = excluded.last_record_at";

pub(super) const STATS: &str = "SELECT record_count, total_size, earliest_offset, latest_offset, first_record_at, last_record_at, last_activity_at
    FROM partition_metadata WHERE partition_key = $1";

pub(super) const PARTITIONS: &str = "SELECT partition_key FROM partition_offset_checkpoints UNION SELECT partition_key FROM partition_metadata
    UNION SELECT DISTINCT partition_key FROM offset_mappings";

pub(super) const CLEAN_UP: &str = "DELETE FROM consumer_group_positions WHERE expires_at <= $1";

pub(super) const CLEAN_UP_MAPPINGS: &str = "DELETE FROM offset_mappings WHERE created_at < $1";

pub(super) const CREATE_MIGRATIONS: &str =
    "CREATE TABLE IF NOT EXISTS schema_migrations (version INTEGER PRIMARY KEY, description TEXT NOT NULL, applied_at INTEGER NOT NULL)";

/// In other programs' tables of this name they may be of other types.
pub(super) const APPLIED: &str =
    "SELECT CAST(version AS BIGINT), CAST(description AS TEXT), CAST(applied_at AS BIGINT) FROM schema_migrations ORDER BY version";

pub(super) const NOTE_APPLIED: &str = "INSERT INTO schema_migrations (version, description, applied_at) VALUES ($1, $2, $3)";

pub(super) const NOTE_TAKEN_BACK: &str = "DELETE FROM schema_migrations WHERE version = $1";

/// `unix_time_ns` of a partition: when it was made is no part of what it is known by.
pub(super) const NO_TIME: i64 = 0;
