//! The tables of groups and their members. Knows nothing about positions.

use postgres::{Error, Row};
use tidelog_format::TimestampNs;

use crate::offset::group_id::GroupId;
use crate::offset::group_metadata::{GroupMetadata, MemberMetadata};
use crate::offset::store::postgres::server::{Failed, Work};
use crate::offset::store::statements;

/// Replaces a group and its members, unless what is there is of a newer generation, or of the same one that began at another time; returns whether it did.
pub(super) fn save(work: &mut Work<'_>, group: &GroupId, metadata: &GroupMetadata) -> Result<bool, Failed> {
    let GroupMetadata { generation, protocol_type, protocol, leader, members, changed_at } = metadata;
    let (group, generation, changed_at) = (group.as_str(), i64::from(*generation), changed_at.get());
    if work.execute(statements::SAVE_GROUP, &[&group, &generation, protocol_type, protocol, leader, &changed_at])? == 0 {
        return Ok(false);
    }
    work.execute(statements::DELETE_MEMBERS, &[&group])?;
    for (id, member) in members {
        let MemberMetadata { instance_id, client_id, client_host, session_timeout_ms, rebalance_timeout_ms, subscription, assignment } = member;
        let (session, rebalance) = (i64::from(*session_timeout_ms), i64::from(*rebalance_timeout_ms));
        work.execute(statements::SAVE_MEMBER, &[&group, id, instance_id, client_id, client_host, &session, &rebalance, subscription, assignment])?;
    }
    Ok(true)
}

/// A group and its members, from what [`statements::LOAD_GROUP`] has found.
pub(super) fn load(rows: &[Row]) -> Result<Option<GroupMetadata>, Error> {
    let Some(first) = rows.first() else { return Ok(None) };
    let empty = GroupMetadata::empty(first.try_get::<_, i64>(0)? as i32, TimestampNs::new(first.try_get(1)?));
    let mut metadata = GroupMetadata { protocol_type: first.try_get(2)?, protocol: first.try_get(3)?, leader: first.try_get(4)?, ..empty };
    for row in rows {
        if let Some(id) = row.try_get(5)? {
            metadata.members.insert(id, member(row)?);
        }
    }
    Ok(Some(metadata))
}

/// All columns of a member behind its id, which stand behind those of its group.
fn member(row: &Row) -> Result<MemberMetadata, Error> {
    Ok(MemberMetadata {
        instance_id: row.try_get(6)?,
        client_id: row.try_get(7)?,
        client_host: row.try_get(8)?,
        session_timeout_ms: row.try_get::<_, i64>(9)? as u32,
        rebalance_timeout_ms: row.try_get::<_, i64>(10)? as u32,
        subscription: row.try_get(11)?,
        assignment: row.try_get(12)?,
    })
}
