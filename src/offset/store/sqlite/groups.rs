//! The tables of groups and their members. Knows nothing about positions.

use rusqlite::{OptionalExtension, Row, Transaction, params};
use tidelog_format::TimestampNs;

use crate::offset::group_id::GroupId;
use crate::offset::group_metadata::{GroupMetadata, MemberMetadata};

/// Replaces a group and its members, unless what is there is of a newer generation; returns whether it did.
pub(super) fn save(transaction: &Transaction<'_>, group: &GroupId, metadata: &GroupMetadata) -> rusqlite::Result<bool> {
    let mut statement = transaction.prepare_cached(
        "INSERT INTO consumer_groups (group_id, generation, protocol_type, protocol, leader, changed_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (group_id) DO UPDATE SET generation = excluded.generation, protocol_type = excluded.protocol_type,
         protocol = excluded.protocol, leader = excluded.leader, changed_at = excluded.changed_at WHERE excluded.generation >= generation",
    )?;
    let GroupMetadata { generation, protocol_type, protocol, leader, members, changed_at } = metadata;
    if statement.execute(params![group.as_str(), generation, protocol_type, protocol, leader, changed_at.get()])? == 0 {
        return Ok(false);
    }
    transaction.prepare_cached("DELETE FROM consumer_group_members WHERE group_id = ?1")?.execute([group.as_str()])?;
    let mut insert = transaction.prepare_cached(
        "INSERT INTO consumer_group_members (group_id, member_id, instance_id, client_id, client_host, session_timeout_ms, rebalance_timeout_ms,
         subscription, assignment) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?;
    for (id, member) in members {
        insert.execute(params![
            group.as_str(),
            id,
            member.instance_id,
            member.client_id,
            member.client_host,
            member.session_timeout_ms,
            member.rebalance_timeout_ms,
            member.subscription,
            member.assignment,
        ])?;
    }
    Ok(true)
}

/// A group and its members, if it is there.
pub(super) fn load(transaction: &Transaction<'_>, group: &GroupId) -> rusqlite::Result<Option<GroupMetadata>> {
    let mut statement =
        transaction.prepare_cached("SELECT generation, changed_at, protocol_type, protocol, leader FROM consumer_groups WHERE group_id = ?1")?;
    let without_members = |row: &Row<'_>| {
        let metadata = GroupMetadata::empty(row.get(0)?, TimestampNs::new(row.get(1)?));
        Ok(GroupMetadata { protocol_type: row.get(2)?, protocol: row.get(3)?, leader: row.get(4)?, ..metadata })
    };
    let Some(mut metadata) = statement.query_row([group.as_str()], without_members).optional()? else { return Ok(None) };
    let mut statement = transaction.prepare_cached(
        "SELECT member_id, instance_id, client_id, client_host, session_timeout_ms, rebalance_timeout_ms, subscription, assignment
         FROM consumer_group_members WHERE group_id = ?1",
    )?;
    metadata.members = statement.query_map([group.as_str()], |row| Ok((row.get(0)?, member(row)?)))?.collect::<rusqlite::Result<_>>()?;
    Ok(Some(metadata))
}

/// All columns of a member behind its id.
fn member(row: &Row<'_>) -> rusqlite::Result<MemberMetadata> {
    Ok(MemberMetadata {
        instance_id: row.get(1)?,
        client_id: row.get(2)?,
        client_host: row.get(3)?,
        session_timeout_ms: row.get(4)?,
        rebalance_timeout_ms: row.get(5)?,
        subscription: row.get(6)?,
        assignment: row.get(7)?,
    })
}
