//! `tidelog infer`: columns that the JSON values of a topic could be exported as, printed as the file that `export --schema` takes. Changes not
//! one byte of the store.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde_json::{Map, Value};
use tidelog::export::{TypedColumn, TypedColumns};

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
                write!(text, ", {count} of them {what}").expect("a string takes everything");
            }
        }
        text.push_str(
            ". What does not fit a column is null there,\n# and whole in _value. Once exported, a column stays what it is; others may come.",
        );
        let members = match &self.kind {
            Kind::Object(members) => members.clone(),
            other => vec![(String::new(), other.clone(), self.values)],
        };
        let mut columns: Vec<TypedColumn> = Vec::new();
        for (member, kind, count) in members {
            let path = path_of(&member);
            let kind = match kind.to_type() {
                Ok(kind) => kind,
                Err(reason) => {
                    write!(text, "\n\n# {path} {reason}").expect("a string takes everything");
                    continue;
                }
            };
            let wanted = if member.is_empty() { "value".to_owned() } else { plain_name(&member) };
            let column = (1..).find_map(|number| {
                let name = if number == 1 { wanted.clone() } else { format!("{wanted}_{number}") };
                let column = TypedColumn::new(name.clone(), path.parse().ok()?, kind.parse().ok()?);
                TypedColumns::new(columns.iter().cloned().chain([column.clone()])).is_ok().then_some((name, column))
            });
            let (name, column) = column.expect("with some number the name is another's no more");
            columns.push(column);
            let (name, path, kind) = (quoted(&name), quoted(&path), quoted(&kind));
            write!(text, "\n\n[[column]] # in {count}\nname = {name}\npath = {path}\ntype = {kind}").expect("a string takes everything");
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
            Value::Number(_) => Self::Float,
            Value::String(text) => Self::of_text(text),
            Value::Array(items) => Self::List(Box::new(items.iter().fold(Self::Null, |kind, item| kind.and(Self::of(item, depth + 1))))),
            Value::Object(members) => Self::of_members(members, depth),
        }
    }

    fn of_members(members: &Map<String, Value>, depth: usize) -> Self {
        Self::Object(members.iter().map(|(name, value)| (name.clone(), Self::of(value, depth + 1), 1)).collect())
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
            (Self::Int, Self::Float) | (Self::Float, Self::Int) => Self::Float,
            (Self::Instant { is_fine: one }, Self::Instant { is_fine: two }) => Self::Instant { is_fine: one || two },
            (Self::Local { is_fine: one }, Self::Local { is_fine: two }) => Self::Local { is_fine: one || two },
            (one, two) if one == two && !matches!(one, Self::Object(_)) => one,
            (one, two) if one.is_text() && two.is_text() => Self::Text,
            (Self::List(one), Self::List(two)) => Self::List(Box::new(one.and(*two))),
            (Self::Object(mut one), Self::Object(two)) => {
                for (name, kind, count) in two {
                    match one.iter_mut().find(|(other, ..)| *other == name) {
                        Some((_, before, seen)) => (*before, *seen) = (std::mem::take(before).and(kind), *seen + count),
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
            Self::Int | Self::Float => "number",
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
            Self::Float => "float64".to_owned(),
            Self::Date => "date".to_owned(),
            Self::Instant { is_fine } => format!("timestamp({}, UTC)", unit(*is_fine)),
            Self::Local { is_fine } => format!("timestamp({})", unit(*is_fine)),
            Self::Text => "string".to_owned(),
            Self::List(item) => format!("list<{}>", item.to_type().map_err(|reason| format!("is a list, of which each item {reason}"))?),
            Self::Object(members) if members.len() > MEMBERS_MAX => return Err(format!("has {} members: they are no columns", members.len())),
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
    match member {
        "" => ".".to_owned(),
        _ if member.contains(['.', '[', ']', '"']) => format!(".{}", quoted(member)),
        _ => format!(".{member}"),
    }
}

/// A name that columns may have, but for others of the same name.
fn plain_name(member: &str) -> String {
    let plain: String = member.chars().map(|character| if character.is_alphanumeric() { character } else { '_' }).collect();
    let plain = plain.trim_matches('_');
    if plain.is_empty() { "column".to_owned() } else { plain.to_owned() }
}

/// A JSON string is one of TOML too.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

const DEPTH_MAX: usize = 16;
/// An object of more members holds data in their names.
const MEMBERS_MAX: usize = 256;
