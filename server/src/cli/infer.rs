//! `tidelog infer`: columns that the JSON values of a topic could be exported as, printed as the file that `export --schema` takes. Changes not
//! one byte of the store.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde_json::{Map, Value};
use tidelog::export::{ColumnType, JsonPath, TypedColumn, TypedColumns};

use super::store::{self, Isolation, TopicArgs};
use crate::exit::{Exit, Failure};
use crate::output::{counted, print_line};

/// Print typed columns for the JSON values of a topic, as a file for `export --schema`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidelog infer data events > events.toml
  tidelog export data events --to parquet-out --schema events.toml

A column is proposed where all values looked at agree on a type. Look at it before it is used: a column of a table cannot be changed later.")]
pub(crate) struct Args {
    #[command(flatten)]
    topic: TopicArgs,
    /// Only this partition; otherwise all.
    #[arg(long, short = 'p', value_name = "N")]
    partition: Option<u32>,
    /// Values looked at, from the first on, in each partition.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
    /// Which records are looked at.
    #[arg(long, value_enum, default_value = "committed")]
    isolation: Isolation,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let store = store::open_read_only(&args.topic.dir)?;
    let name = &args.topic.topic;
    let topic = store.topic(name).map_err(|error| store::topic_failure(name, error))?;
    let (mut seen, mut exit) = (Sample::default(), Exit::Done);
    for view in store::views(&topic, args.partition)? {
        let view = view.with_isolation(args.isolation.into());
        let place = format!("{}/{}", view.topic(), view.index());
        let records = view.read_from(view.log_start_offset()).map_err(|error| store::read_failure(&place, error))?;
        for record in records.take(usize::try_from(args.count).unwrap_or(usize::MAX)) {
            match record {
                Ok(record) => seen.add(record.value()),
                Err(tidelog::ReadError::Corrupt { .. }) => exit = Exit::Damage,
                Err(error) => return Err(store::read_failure(&place, error)),
            }
        }
    }
    print_line(&seen.to_toml(name))?;
    Ok(exit)
}

/// What values were found to be.
#[derive(Debug, Default)]
struct Sample {
    values: u64,
    nulls: u64,
    not_json: u64,
    kind: Kind,
}

/// What all values of one place are.
#[derive(Debug, Clone, PartialEq, Default)]
enum Kind {
    /// Nothing but nulls.
    #[default]
    Null,
    Bool,
    Int,
    /// Whole numbers of which some are too large for 64 bits with a sign.
    Large,
    Float,
    Date,
    /// A time with an offset; whether it has digits below a microsecond.
    Instant {
        is_fine: bool,
    },
    /// One without.
    Local {
        is_fine: bool,
    },
    Text,
    List(Box<Self>),
    /// Members in the order they were first seen in, and in how many values.
    Object(Vec<(String, Self, u64)>),
    /// No type fits all: the names of those seen.
    Mixed(BTreeSet<&'static str>),
}

impl Sample {
    fn add(&mut self, value: Option<&[u8]>) {
        self.values += 1;
        match value.map(serde_json::from_slice::<Value>) {
            None => self.nulls += 1,
            Some(Ok(json)) => self.kind = std::mem::take(&mut self.kind).and(Kind::of(&json, 0)),
            Some(Err(_)) => self.not_json += 1,
        }
    }

    fn to_toml(&self, topic: &str) -> String {
        let mut text = format!("# Columns inferred from {} of {topic}", counted(self.values, "value", "values"));
        for (count, what) in [(self.nulls, "null"), (self.not_json, "not JSON")] {
            if count > 0 {
                write!(text, ", {count} of them {what}").expect(TAKES_ALL);
            }
        }
        text.push_str(
            ". What does not fit a column is null there,\n# and whole in _value. Once exported, a column stays what it is; others may come.",
        );
        let members = match &self.kind {
            Kind::Object(members) if members.len() > MEMBERS_MAX => {
                write!(text, "\n\n# the values have more than {MEMBERS_MAX} different members: they are no columns").expect(TAKES_ALL);
                return text;
            }
            Kind::Object(members) => members.iter().map(|(name, kind, count)| (Some(name.as_str()), kind.clone(), *count)).collect(),
            other => vec![(None, other.clone(), self.values - self.nulls - self.not_json)],
        };
        let mut names = BTreeSet::new();
        for (member, kind, count) in members {
            let path = member.map_or_else(|| ".".to_owned(), path_of);
            let kind = match kind.to_type() {
                Ok(kind) => kind,
                Err(reason) => {
                    write!(text, "\n\n# {path} {reason}").expect(TAKES_ALL);
                    continue;
                }
            };
            let name = name_of(member, &mut names);
            write!(text, "\n\n[[column]] # in {count}\nname = {}\npath = {}\ntype = {}", quoted(&name), quoted(&path), quoted(&kind))
                .expect(TAKES_ALL);
            if kind.contains("(ns") || kind.contains("timestamp(us)") {
                text.push_str(" # Delta tables have no such type: in the Parquet files alone");
            }
        }
        text
    }
}

impl Kind {
    fn of(json: &Value, depth: usize) -> Self {
        match json {
            _ if depth > DEPTH_MAX => Self::Mixed(BTreeSet::from(["too deep"])),
            Value::Null => Self::Null,
            Value::Bool(_) => Self::Bool,
            Value::Number(number) if number.is_i64() => Self::Int,
            Value::Number(number) if number.is_u64() => Self::Large,
            Value::Number(_) => Self::Float,
            Value::String(text) => Self::of_text(text),
            Value::Array(items) => Self::List(Box::new(items.iter().fold(Self::Null, |kind, item| kind.and(Self::of(item, depth + 1))))),
            Value::Object(members) => Self::of_members(members, depth),
        }
    }

    fn of_members(members: &Map<String, Value>, depth: usize) -> Self {
        Self::Object(members.iter().take(MEMBERS_MAX + 1).map(|(name, value)| (name.clone(), Self::of(value, depth + 1), 1)).collect())
    }

    fn of_text(text: &str) -> Self {
        let is_fine = |ns: i128| ns % 1000 != 0;
        if text.len() == "2006-01-02".len() && text.parse::<jiff::civil::Date>().is_ok() {
            return Self::Date;
        }
        if let Ok(instant) = text.parse::<jiff::Timestamp>() {
            return Self::Instant { is_fine: is_fine(instant.as_nanosecond()) };
        }
        match text.parse::<jiff::civil::DateTime>() {
            Ok(time) if text.contains('T') || text.contains(' ') => Self::Local { is_fine: is_fine(time.subsec_nanosecond().into()) },
            _ => Self::Text,
        }
    }

    /// What both are.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Null, kind) | (kind, Self::Null) => kind,
            (Self::Int, Self::Large) | (Self::Large, Self::Int) => Self::Large,
            (Self::Int | Self::Large, Self::Float) | (Self::Float, Self::Int | Self::Large) => Self::Float,
            (Self::Instant { is_fine: one }, Self::Instant { is_fine: two }) => Self::Instant { is_fine: one || two },
            (Self::Local { is_fine: one }, Self::Local { is_fine: two }) => Self::Local { is_fine: one || two },
            (one, two) if one == two && !matches!(one, Self::Object(_)) => one,
            (one, two) if one.is_text() && two.is_text() => Self::Text,
            (Self::List(one), Self::List(two)) => Self::List(Box::new(one.and(*two))),
            (Self::Object(mut one), Self::Object(two)) => {
                for (name, kind, count) in two {
                    let is_full = one.len() > MEMBERS_MAX;
                    match one.iter_mut().find(|(other, ..)| *other == name) {
                        Some((_, before, seen)) => (*before, *seen) = (std::mem::take(before).and(kind), *seen + count),
                        // More than there may be are not told apart: there is no column for any of them.
                        None if is_full => {}
                        None => one.push((name, kind, count)),
                    }
                }
                Self::Object(one)
            }
            (one, two) => Self::Mixed(one.names().union(&two.names()).copied().collect()),
        }
    }

    fn is_text(&self) -> bool {
        matches!(self, Self::Text | Self::Date | Self::Instant { .. } | Self::Local { .. })
    }

    fn names(&self) -> BTreeSet<&'static str> {
        BTreeSet::from([match self {
            Self::Mixed(names) => return names.clone(),
            Self::Null => "null",
            Self::Bool => "bool",
            Self::Int | Self::Large | Self::Float => "number",
            Self::Date | Self::Instant { .. } | Self::Local { .. } | Self::Text => "string",
            Self::List(_) => "array",
            Self::Object(_) => "object",
        }])
    }

    /// The type as the file names it, or why there is none.
    fn to_type(&self) -> Result<String, String> {
        let unit = |is_fine: bool| if is_fine { "ns" } else { "us" };
        Ok(match self {
            Self::Null => return Err("is null in all of them".to_owned()),
            Self::Mixed(names) => return Err(format!("is of several types: {}", names.iter().copied().collect::<Vec<_>>().join(", "))),
            Self::Bool => "bool".to_owned(),
            Self::Int => "int64".to_owned(),
            Self::Large => "decimal(20,0)".to_owned(),
            Self::Float => "float64".to_owned(),
            Self::Date => "date".to_owned(),
            Self::Instant { is_fine } => format!("timestamp({}, UTC)", unit(*is_fine)),
            Self::Local { is_fine } => format!("timestamp({})", unit(*is_fine)),
            Self::Text => "string".to_owned(),
            Self::List(item) => format!("list<{}>", item.to_type().map_err(|reason| format!("is a list, of which each item {reason}"))?),
            Self::Object(members) if members.len() > MEMBERS_MAX => return Err(format!("has more than {MEMBERS_MAX} members: they are no columns")),
            Self::Object(members) => {
                let is_word = |name: &str| !name.is_empty() && name.chars().all(|character| character.is_alphanumeric() || character == '_');
                // A member that is no field is in _value.
                let mut fields: Vec<(String, String)> = Vec::new();
                for (name, kind, _) in members {
                    if let Ok(kind) = kind.to_type()
                        && is_word(name)
                        && fields.iter().all(|(other, _)| !other.eq_ignore_ascii_case(name))
                    {
                        fields.push((name.clone(), kind));
                    }
                }
                if fields.is_empty() {
                    return Err("has no member that could be a field".to_owned());
                }
                format!("struct<{}>", fields.iter().map(|(name, kind)| format!("{name}: {kind}")).collect::<Vec<_>>().join(", "))
            }
        })
    }
}

/// A member as a path.
fn path_of(member: &str) -> String {
    let is_bare = !member.is_empty() && member.chars().all(|character| character.is_alphanumeric() || character == '_');
    if is_bare { format!(".{member}") } else { format!(".{}", quoted(member)) }
}

/// A name that a column may have, and no other has. `names` are those that others have, in small letters.
fn name_of(member: Option<&str>, names: &mut BTreeSet<String>) -> String {
    let plain: String = member.unwrap_or("value").chars().map(|character| if character.is_alphanumeric() { character } else { '_' }).collect();
    let plain = match plain.trim_matches('_') {
        "" => "column",
        other => other,
    };
    let is_taken = |name: &str| TypedColumns::new([TypedColumn::new(name, JsonPath::root(), ColumnType::String)]).is_err();
    let numbered = (1..).map(|number: u64| if number == 1 { plain.to_owned() } else { format!("{plain}_{number}") });
    let mut free = numbered.filter(|name| !is_taken(name) && names.insert(name.to_lowercase()));
    free.next().expect("with some number it is free")
}

/// A JSON string is one of TOML too, but for one character.
fn quoted(text: &str) -> String {
    Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

const TAKES_ALL: &str = "a string takes everything";
const DEPTH_MAX: usize = 16;
/// An object of more members holds data in their names.
const MEMBERS_MAX: usize = 256;
