//! The bytes of a change in the log of a store: format/SPEC.md, "Offset log". Does no I/O; decoding never panics.

use std::collections::BTreeMap;

use tidelog_format::{LeaderEpoch, Offset, TimestampNs};

use crate::offset::committed_offset::CommittedOffset;
use crate::offset::group_metadata::{GroupMetadata, MemberMetadata};
use crate::offset::offset_checkpoint::OffsetCheckpoint;
use crate::offset::offset_mapping::OffsetMapping;
use crate::offset::partition_stats::PartitionStats;
use crate::offset::store::notes::Change;
use crate::topic::{PartitionKey, RingRange, TopicName};

/// What one record of the log says.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Entry {
    /// A change.
    Change(Change),
    /// A change that leads from nothing to the notes at the begin of a snapshot.
    Snapshot(Change),
    /// A snapshot begins.
    Begin,
    /// A snapshot is complete: it began at `begin`, and has so many records between its begin and this.
    End { begin: Offset, records: u32 },
}

/// Why the value of a record is not an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EntryError {
    /// A newer version wrote it.
    Version(u8),
    /// No version writes it.
    Malformed(&'static str),
}

impl Entry {
    /// The value of its record.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Out(vec![VERSION, 0]);
        let kind = match self {
            Self::Change(change) => out.change(change),
            Self::Snapshot(change) => out.change(change) | OF_SNAPSHOT,
            Self::Begin => BEGIN,
            Self::End { begin, records } => {
                out.u64(begin.get());
                out.u32(*records);
                END
            }
        };
        out.0[1] = kind;
        out.0
    }

    /// What the value of a record says.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, EntryError> {
        let mut input = Input(bytes);
        match input.u8()? {
            VERSION => {}
            0 => return Err(EntryError::Malformed("version 0")),
            newer => return Err(EntryError::Version(newer)),
        }
        let entry = match input.u8()? {
            BEGIN => Self::Begin,
            END => Self::End { begin: input.offset()?, records: input.u32()? },
            kind if kind & OF_SNAPSHOT != 0 => Self::Snapshot(input.change(kind & !OF_SNAPSHOT)?),
            kind => Self::Change(input.change(kind)?),
        };
        if input.0.is_empty() { Ok(entry) } else { Err(EntryError::Malformed("bytes behind its end")) }
    }
}

struct Out(Vec<u8>);

impl Out {
    /// Puts the body of a change; returns its kind.
    fn change(&mut self, change: &Change) -> u8 {
        match change {
            Change::Commit { group, positions } => {
                self.text(group.as_str());
                self.u32(positions.len() as u32);
                for (partition, position) in positions {
                    self.partition(partition);
                    self.position(position);
                }
                COMMIT
            }
            Change::Delete { group, partitions } => {
                self.text(group.as_str());
                self.u32(partitions.len() as u32);
                partitions.iter().for_each(|partition| self.partition(partition));
                DELETE
            }
            Change::DeleteGroup { group } => {
                self.text(group.as_str());
                DELETE_GROUP
            }
            Change::SaveGroup { group, metadata } => {
                self.text(group.as_str());
                self.group_metadata(metadata);
                SAVE_GROUP
            }
            Change::DeleteTopic { topic } => {
                self.topic(topic);
                DELETE_TOPIC
            }
            Change::Checkpoint { partition, checkpoint } => {
                self.partition(partition);
                self.u64(checkpoint.offset.get());
                self.i64(checkpoint.saved_at.get());
                CHECKPOINT
            }
            Change::Mappings { partition, saved_at, rows } => {
                self.partition(partition);
                self.i64(saved_at.get());
                self.u32(rows.len() as u32);
                for row in rows {
                    self.u64(row.offset.get());
                    self.i64(row.timestamp.get());
                    self.u64(row.bytes);
                }
                MAPPINGS
            }
            Change::Stats { partition, stats } => {
                self.partition(partition);
                self.stats(stats);
                STATS
            }
            Change::Forget { partition } => {
                self.partition(partition);
                FORGET
            }
            Change::CleanUp { now } => {
                self.i64(now.get());
                CLEAN_UP
            }
            Change::CleanUpMappings { saved_before } => {
                self.i64(saved_before.get());
                CLEAN_UP_MAPPINGS
            }
        }
    }

    fn position(&mut self, position: &CommittedOffset) {
        self.u64(position.offset.get());
        self.i64(position.committed_at.get());
        self.option(position.leader_epoch, |out, epoch| out.u32(epoch.get()));
        self.option(position.expires_at, |out, at| out.i64(at.get()));
        self.text(&position.metadata);
    }

    fn group_metadata(&mut self, metadata: &GroupMetadata) {
        self.0.extend(metadata.generation.to_le_bytes());
        self.i64(metadata.changed_at.get());
        self.text(&metadata.protocol_type);
        for name in [&metadata.protocol, &metadata.leader] {
            self.option(name.as_deref(), Self::text);
        }
        self.u32(metadata.members.len() as u32);
        for (id, member) in &metadata.members {
            self.text(id);
            self.option(member.instance_id.as_deref(), Self::text);
            self.text(&member.client_id);
            self.text(&member.client_host);
            self.u32(member.session_timeout_ms);
            self.u32(member.rebalance_timeout_ms);
            self.bytes(&member.subscription);
            self.bytes(&member.assignment);
        }
    }

    fn stats(&mut self, stats: &PartitionStats) {
        self.u64(stats.record_count);
        self.u64(stats.total_bytes);
        self.i64(stats.counted_at.get());
        for offset in [stats.earliest, stats.latest] {
            self.option(offset, |out, offset| out.u64(offset.get()));
        }
        for time in [stats.first_record_at, stats.last_record_at] {
            self.option(time, |out, time| out.i64(time.get()));
        }
    }

    fn partition(&mut self, partition: &PartitionKey) {
        self.topic(&partition.topic);
        let range = partition.range;
        [range.size(), range.start(), range.stop()].into_iter().for_each(|slot| self.u32(slot));
    }

    fn topic(&mut self, topic: &TopicName) {
        self.text(&topic.namespace);
        self.text(&topic.name);
    }

    fn option<T>(&mut self, value: Option<T>, put: impl FnOnce(&mut Self, T)) {
        self.0.push(u8::from(value.is_some()));
        if let Some(value) = value {
            put(self, value);
        }
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.u32(bytes.len() as u32);
        self.0.extend(bytes);
    }

    /// Names have 32,767 bytes at most, and notes 4,096.
    fn text(&mut self, text: &str) {
        self.0.extend((text.len() as u16).to_le_bytes());
        self.0.extend(text.as_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.0.extend(value.to_le_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.0.extend(value.to_le_bytes());
    }

    fn i64(&mut self, value: i64) {
        self.0.extend(value.to_le_bytes());
    }
}

/// What is left to be read.
struct Input<'a>(&'a [u8]);

type Found<T> = Result<T, EntryError>;

impl<'a> Input<'a> {
    fn change(&mut self, kind: u8) -> Found<Change> {
        Ok(match kind {
            COMMIT => Change::Commit { group: self.group()?, positions: self.list(|input| Ok((input.partition()?, input.position()?)))? },
            DELETE => Change::Delete { group: self.group()?, partitions: self.list(Self::partition)? },
            DELETE_GROUP => Change::DeleteGroup { group: self.group()? },
            SAVE_GROUP => Change::SaveGroup { group: self.group()?, metadata: self.group_metadata()? },
            DELETE_TOPIC => Change::DeleteTopic { topic: self.topic()? },
            CHECKPOINT => {
                let partition = self.partition()?;
                Change::Checkpoint { partition, checkpoint: OffsetCheckpoint { offset: self.offset()?, saved_at: self.time()? } }
            }
            MAPPINGS => Change::Mappings { partition: self.partition()?, saved_at: self.time()?, rows: self.list(Self::row)? },
            STATS => Change::Stats { partition: self.partition()?, stats: self.stats()? },
            FORGET => Change::Forget { partition: self.partition()? },
            CLEAN_UP => Change::CleanUp { now: self.time()? },
            CLEAN_UP_MAPPINGS => Change::CleanUpMappings { saved_before: self.time()? },
            // A kind that is added comes with a version.
            _ => return Err(EntryError::Malformed("no kind of change")),
        })
    }

    fn row(&mut self) -> Found<OffsetMapping> {
        Ok(OffsetMapping { offset: self.offset()?, timestamp: self.time()?, bytes: self.u64()? })
    }

    fn position(&mut self) -> Found<CommittedOffset> {
        let (offset, committed_at) = (self.offset()?, self.time()?);
        let leader_epoch = self.option(|input| Ok(LeaderEpoch::new(input.u32()?)))?;
        let expires_at = self.option(Self::time)?;
        Ok(CommittedOffset { offset, committed_at, leader_epoch, expires_at, metadata: self.text()?.to_owned() })
    }

    fn stats(&mut self) -> Found<PartitionStats> {
        let (record_count, total_bytes, counted_at) = (self.u64()?, self.u64()?, self.time()?);
        let (earliest, latest) = (self.option(Self::offset)?, self.option(Self::offset)?);
        let (first_record_at, last_record_at) = (self.option(Self::time)?, self.option(Self::time)?);
        Ok(PartitionStats { record_count, total_bytes, earliest, latest, first_record_at, last_record_at, counted_at })
    }

    fn group_metadata(&mut self) -> Found<GroupMetadata> {
        let (generation, changed_at) = (i32::from_le_bytes(self.array()?), self.time()?);
        let protocol_type = self.text()?.to_owned();
        let (protocol, leader) = (self.option(Self::owned_text)?, self.option(Self::owned_text)?);
        let mut members = BTreeMap::new();
        for _ in 0..self.u32()? {
            let (id, member) = (self.owned_text()?, self.member()?);
            if members.last_key_value().is_some_and(|(last, _)| *last >= id) {
                return Err(EntryError::Malformed("members that are not in the order of their ids"));
            }
            members.insert(id, member);
        }
        Ok(GroupMetadata { generation, protocol_type, protocol, leader, members, changed_at })
    }

    fn member(&mut self) -> Found<MemberMetadata> {
        let instance_id = self.option(Self::owned_text)?;
        let (client_id, client_host) = (self.owned_text()?, self.owned_text()?);
        let (session_timeout_ms, rebalance_timeout_ms) = (self.u32()?, self.u32()?);
        let (subscription, assignment) = (self.bytes()?, self.bytes()?);
        Ok(MemberMetadata { instance_id, client_id, client_host, session_timeout_ms, rebalance_timeout_ms, subscription, assignment })
    }

    fn group(&mut self) -> Found<crate::offset::GroupId> {
        self.text()?.parse().map_err(|_| EntryError::Malformed("no name of a group"))
    }

    fn partition(&mut self) -> Found<PartitionKey> {
        let (topic, size, start, stop) = (self.topic()?, self.u32()?, self.u32()?, self.u32()?);
        Ok(PartitionKey { topic, range: RingRange::new(size, start, stop).map_err(|_| EntryError::Malformed("no range of a ring"))? })
    }

    fn topic(&mut self) -> Found<TopicName> {
        let (namespace, name) = (self.text()?, self.text()?);
        format!("{namespace}/{name}").parse().map_err(|_| EntryError::Malformed("no name of a topic"))
    }

    /// A count, and so many of them. Nothing is set aside for what is not there: the count may be wrong.
    fn list<T>(&mut self, item: impl Fn(&mut Self) -> Found<T>) -> Found<Vec<T>> {
        let count = self.u32()?;
        (0..count).map(|_| item(self)).collect::<Found<Vec<T>>>()
    }

    fn option<T>(&mut self, value: impl Fn(&mut Self) -> Found<T>) -> Found<Option<T>> {
        match self.u8()? {
            0 => Ok(None),
            1 => value(self).map(Some),
            _ => Err(EntryError::Malformed("a mark that is neither 0 nor 1")),
        }
    }

    fn text(&mut self) -> Found<&'a str> {
        let bytes = u16::from_le_bytes(self.array()?);
        std::str::from_utf8(self.take(bytes.into())?).map_err(|_| EntryError::Malformed("no UTF-8"))
    }

    fn owned_text(&mut self) -> Found<String> {
        self.text().map(str::to_owned)
    }

    fn bytes(&mut self) -> Found<Vec<u8>> {
        let bytes = self.u32()?;
        Ok(self.take(bytes as usize)?.to_vec())
    }

    fn offset(&mut self) -> Found<Offset> {
        let offset = self.u64()?;
        if i64::try_from(offset).is_ok() { Ok(Offset::new(offset)) } else { Err(EntryError::Malformed("an offset above the highest")) }
    }

    fn time(&mut self) -> Found<TimestampNs> {
        Ok(TimestampNs::new(i64::from_le_bytes(self.array()?)))
    }

    fn u8(&mut self) -> Found<u8> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    fn u32(&mut self) -> Found<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Found<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn array<const N: usize>(&mut self) -> Found<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk().ok_or(CUT)?;
        self.0 = rest;
        Ok(*array)
    }

    fn take(&mut self, bytes: usize) -> Found<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(bytes).ok_or(CUT)?;
        self.0 = rest;
        Ok(taken)
    }
}

const CUT: EntryError = EntryError::Malformed("it ends too early");

/// The version that is written, and the newest that is read.
pub(super) const VERSION: u8 = 1;

// Persisted: never renumber.
const COMMIT: u8 = 1;
const DELETE: u8 = 2;
const DELETE_GROUP: u8 = 3;
const DELETE_TOPIC: u8 = 4;
const CHECKPOINT: u8 = 5;
const MAPPINGS: u8 = 6;
const STATS: u8 = 7;
const FORGET: u8 = 8;
const CLEAN_UP: u8 = 9;
const CLEAN_UP_MAPPINGS: u8 = 10;
const SAVE_GROUP: u8 = 11;
const BEGIN: u8 = 0x40;
const END: u8 = 0x41;
/// Added to the kind of a change that is part of a snapshot.
const OF_SNAPSHOT: u8 = 0x80;

#[cfg(test)]
mod tests;
