//! The tables of groups and their members. Knows nothing about positions.

use rusqlite::{Connection, Row, Transaction, params};
use tidelog_format::TimestampNs;

use crate::offset::group_id::GroupId;
use crate::offset::group_metadata::{GroupMetadata, MemberMetadata};
use crate::offset::store::statements;

/// Replaces a group and its members, unless what is there is of a newer generation, or of the same one that began at another time; returns whether it did.
pub(super) fn save(transaction: &Transaction<'_>, group: &GroupId, metadata: &GroupMetadata) -> rusqlite::Result<bool> {
    let mut statement = transaction.prepare_cached(statements::SAVE_GROUP)?;
    let GroupMetadata { generation, protocol_type, protocol, leader, members, changed_at } = metadata;
    if statement.execute(params![group.as_str(), generation, protocol_type, protocol, leader, changed_at.get()])? == 0 {
        return Ok(false);
    }
    transaction.prepare_cached(statements::DELETE_MEMBERS)?.execute([group.as_str()])?;
    let mut insert = transaction.prepare_cached(statements::SAVE_MEMBER)?;
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
pub(super) fn load(connection: &Connection, group: &GroupId) -> rusqlite::Result<Option<GroupMetadata>> {
    let mut statement = connection.prepare_cached(statements::LOAD_GROUP)?;
    let mut rows = statement.query([group.as_str()])?;
    let mut found: Option<GroupMetadata> = None;
    while let Some(row) = rows.next()? {
        if found.is_none() {
            let empty = GroupMetadata::empty(row.get(0)?, TimestampNs::new(row.get(1)?));
            found = Some(GroupMetadata { protocol_type: row.get(2)?, protocol: row.get(3)?, leader: row.get(4)?, ..empty });
        }
        if let (Some(metadata), Some(id)) = (&mut found, row.get(5)?) {
            metadata.members.insert(id, member(row)?);
        }
    }
    Ok(found)
}

/// All columns of a member behind its id, which stand behind those of its group.
fn member(row: &Row<'_>) -> rusqlite::Result<MemberMetadata> {
    Ok(MemberMetadata {
        instance_id: row.get(6)?,
        client_id: row.get(7)?,
        client_host: row.get(8)?,
        session_timeout_ms: row.get(9)?,
        rebalance_timeout_ms: row.get(10)?,
        subscription: row.get(11)?,
        assignment: row.get(12)?,
    })
}
