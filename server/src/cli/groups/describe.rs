//! `tidelog groups <dir> describe GROUP`: its partitions and members, one by one. Changes not one byte.

use std::path::Path;

use serde_json::{Value, json};
use tidelog::group::{MemberLag, MemberLagReport, MemberLagRow};
use tidelog::{CommittedOffset, GroupId, GroupMetadata, MemberMetadata};

use super::{Look, check_known, metadata, state};
use crate::cli::lag::{MEMBER_CHARS, high_water_mark, seconds, without_json};
use crate::cli::offsets::place::Place;
use crate::cli::store;
use crate::exit::{Exit, Failure};
use crate::output::{Results, columns, or_dash, shown, time};

/// Describe a group: each partition with its position, lag and member, and each member.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidelog groups data describe billing
  tidelog groups data describe billing --json

State and members are those that the store noted last: whether the group is rebalancing only its coordinator knows. A partition without a
position or a member has a dash there, and so has a member whose assignment is not one of Kafka's consumer protocol.")]
pub(super) struct Args {
    /// The group.
    group: GroupId,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(dir: &Path, place: &Place, args: &Args) -> Result<Exit, Failure> {
    let mut look = Look::at(dir, place)?;
    check_known(place, Some(&*look.positions), &args.group)?;
    let report = look.report(std::slice::from_ref(&args.group))?;
    let group = Described { group: &args.group, metadata: metadata(&*look.positions, &args.group)?, report, look };
    if args.json {
        Results::default().json(&group.as_json()?)?
    } else {
        Results::default().line(&group.as_text()?)?
    }
    Ok(Exit::Done)
}

struct Described<'a> {
    group: &'a GroupId,
    metadata: Option<GroupMetadata>,
    report: MemberLagReport,
    look: Look,
}

impl Described<'_> {
    fn member(&self, id: &str) -> Option<&MemberMetadata> {
        self.metadata.as_ref()?.members.get(id)
    }

    fn position(&self, row: &MemberLagRow) -> Result<Option<CommittedOffset>, Failure> {
        self.look.positions.fetch(self.group, &row.partition).map_err(store::positions_failure)
    }

    fn as_json(&self) -> Result<Value, Failure> {
        let metadata = self.metadata.as_ref();
        Ok(json!({
            "group": self.group.as_str(),
            "state": state(metadata).to_string(),
            "generation": metadata.map(|metadata| metadata.generation),
            "protocol_type": metadata.map(|metadata| &metadata.protocol_type),
            "protocol": metadata.and_then(|metadata| metadata.protocol.as_ref()),
            "leader": metadata.and_then(|metadata| metadata.leader.as_ref()),
            "changed_ts_ns": metadata.map(|metadata| metadata.changed_at.get()),
            "partitions": self.report.rows.iter().map(|row| self.partition_json(row)).collect::<Result<Vec<_>, _>>()?,
            "members": self.report.members.iter().map(|member| self.member_json(member)).collect::<Vec<_>>(),
            "without_partition": self.report.without_partition.iter().map(|(group, key)| without_json(group, key)).collect::<Vec<_>>(),
        }))
    }

    fn partition_json(&self, row: &MemberLagRow) -> Result<Value, Failure> {
        let (position, lag, look) = (self.position(row)?, row.lag, &self.look);
        let member = row.member.as_deref().and_then(|id| self.member(id));
        Ok(json!({
            "topic": row.partition.topic.to_string(),
            "partition": look.views.number(&row.partition),
            "committed_offset": lag.map(|lag| lag.committed_offset.get()),
            "high_water_mark": high_water_mark(row, &look.views),
            "lag": lag.map(|lag| lag.records),
            "lag_seconds": lag.and_then(|lag| lag.age(look.now)).map(|age| age.as_secs_f64()),
            "deleted": lag.map(|lag| lag.deleted),
            "ahead": lag.map(|lag| lag.ahead),
            "metadata": position.as_ref().map(|position| &position.metadata),
            "committed_ts_ns": position.as_ref().map(|position| position.committed_at.get()),
            "expires_ts_ns": position.as_ref().and_then(|position| position.expires_at).map(|at| at.get()),
            "member": row.member,
            "client_id": member.map(|member| &member.client_id),
            "client_host": member.map(|member| &member.client_host),
        }))
    }

    fn member_json(&self, member: &MemberLag) -> Value {
        let metadata = self.member(&member.member);
        json!({
            "member": member.member,
            "instance_id": metadata.and_then(|metadata| metadata.instance_id.as_ref()),
            "client_id": metadata.map(|metadata| &metadata.client_id),
            "client_host": metadata.map(|metadata| &metadata.client_host),
            "partitions": (!member.is_unreadable).then_some(member.partitions.len()),
            "lag": (!member.is_unreadable).then_some(member.lag.records),
            "lag_seconds": member.lag.age(self.look.now).filter(|_| !member.is_unreadable).map(|age| age.as_secs_f64()),
        })
    }

    fn as_text(&self) -> Result<String, Failure> {
        let metadata = self.metadata.as_ref();
        let generation = or_dash(metadata.map(|metadata| metadata.generation));
        let protocol = or_dash(metadata.and_then(|metadata| metadata.protocol.as_deref()).map(short));
        let mut parts = vec![format!(
            "group       {}\nstate       {}\ngeneration  {generation}\nprotocol    {protocol}",
            short(self.group.as_str()),
            state(metadata)
        )];
        if !self.report.rows.is_empty() {
            let mut rows = vec![PARTITION_HEADING.map(str::to_owned)];
            for row in &self.report.rows {
                rows.push(self.partition_row(row)?);
            }
            parts.push(columns(&rows, &["TOPIC", "MEMBER", "CLIENT", "HOST", "EXPIRES", "METADATA"]));
        }
        if !self.report.members.is_empty() {
            let rows: Vec<_> =
                std::iter::once(MEMBER_HEADING.map(str::to_owned)).chain(self.report.members.iter().map(|member| self.member_row(member))).collect();
            parts.push(columns(&rows, &["MEMBER", "INSTANCE", "CLIENT", "HOST"]));
        }
        parts.extend(self.report.without_partition.iter().map(|(_, key)| format!("there is no partition {key} any more, and a position in it")));
        Ok(parts.join("\n\n"))
    }

    fn partition_row(&self, row: &MemberLagRow) -> Result<[String; 12], Failure> {
        let (position, lag, look) = (self.position(row)?, row.lag, &self.look);
        let member = row.member.as_deref().and_then(|id| self.member(id));
        Ok([
            row.partition.topic.to_string(),
            or_dash(look.views.number(&row.partition)),
            or_dash(lag.map(|lag| lag.committed_offset)),
            or_dash(high_water_mark(row, &look.views)),
            or_dash(lag.map(|lag| lag.records)),
            seconds(lag.and_then(|lag| lag.age(look.now))),
            or_dash(lag.map(|lag| lag.ahead)),
            or_dash(row.member.as_deref().map(short)),
            or_dash(member.map(|member| short(&member.client_id))),
            or_dash(member.map(|member| short(&member.client_host))),
            or_dash(position.as_ref().and_then(|position| position.expires_at).map(|at| time(at.get()))),
            or_dash(position.as_ref().filter(|position| !position.metadata.is_empty()).map(|position| short(&position.metadata))),
        ])
    }

    fn member_row(&self, member: &MemberLag) -> [String; 7] {
        let metadata = self.member(&member.member);
        let known = (!member.is_unreadable).then_some(member);
        [
            short(&member.member),
            or_dash(metadata.and_then(|metadata| metadata.instance_id.as_deref()).map(short)),
            or_dash(metadata.map(|metadata| short(&metadata.client_id))),
            or_dash(metadata.map(|metadata| short(&metadata.client_host))),
            or_dash(known.map(|member| member.partitions.len())),
            or_dash(known.map(|member| member.lag.records)),
            seconds(known.and_then(|member| member.lag.age(self.look.now))),
        ]
    }
}

fn short(text: &str) -> String {
    shown(Some(text.as_bytes()), MEMBER_CHARS)
}

const PARTITION_HEADING: [&str; 12] =
    ["TOPIC", "PARTITION", "COMMITTED", "HIGH WATER MARK", "LAG", "LAG SECONDS", "AHEAD", "MEMBER", "CLIENT", "HOST", "EXPIRES", "METADATA"];
const MEMBER_HEADING: [&str; 7] = ["MEMBER", "INSTANCE", "CLIENT", "HOST", "PARTITIONS", "LAG", "LAG SECONDS"];
