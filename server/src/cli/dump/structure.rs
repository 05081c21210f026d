//! One structure of a file as it is printed: where it stands, its fields, what is wrong with it. Reads no bytes.

use std::io::{self, Write};

use serde_json::{Map, Value};

use crate::output::time;

/// A structure, to be printed.
pub(super) struct Structure {
    name: &'static str,
    position: Option<u64>,
    bytes: u64,
    fields: Vec<(&'static str, Field)>,
    problem: Option<String>,
}

/// What a field holds.
pub(super) enum Field {
    Value(Value),
    /// Nanoseconds; the lowest number stands for none.
    Time(i64),
    Bits32(u32),
    Bits64(u64),
}

impl<T: Into<Value>> From<T> for Field {
    fn from(value: T) -> Self {
        Self::Value(value.into())
    }
}

impl Structure {
    pub(super) fn at(position: u64, name: &'static str, bytes: u64) -> Self {
        Self { name, position: Some(position), bytes, fields: Vec::new(), problem: None }
    }

    /// One that stands nowhere in the file: it was compressed with others.
    pub(super) fn unplaced(name: &'static str, bytes: u64) -> Self {
        Self { position: None, ..Self::at(0, name, bytes) }
    }

    pub(super) fn field(mut self, name: &'static str, value: impl Into<Field>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    pub(super) fn problem(mut self, problem: impl Into<Option<String>>) -> Self {
        self.problem = problem.into().or(self.problem);
        self
    }

    /// One object on a line.
    pub(super) fn write_json(&self, out: &mut impl Write) -> io::Result<()> {
        let mut object = Map::new();
        object.insert("structure".to_owned(), self.name.into());
        object.extend(self.position.map(|position| ("position".to_owned(), position.into())));
        object.insert("bytes".to_owned(), self.bytes.into());
        object.extend(self.fields.iter().map(|(name, field)| ((*name).to_owned(), field.to_json())));
        object.extend(self.problem.iter().map(|problem| ("problem".to_owned(), problem.clone().into())));
        serde_json::to_writer(&mut *out, &object)?;
        writeln!(out)
    }

    /// A line, and more lines for fields that do not fit on it.
    pub(super) fn write_text(&self, out: &mut impl Write) -> io::Result<()> {
        let mut line = match self.position {
            Some(position) => format!("{position:>10}  {}, {} B", self.name, self.bytes),
            None => format!("{:>10}  {}, {} B", "", self.name, self.bytes),
        };
        for (name, field) in &self.fields {
            let shown = format!("{name}={}", field.to_text());
            if line.chars().count() + shown.chars().count() + 2 > LINE_CHARS {
                writeln!(out, "{line}")?;
                line = format!("{:>12}", "");
            }
            line.push_str("  ");
            line.push_str(&shown);
        }
        writeln!(out, "{line}")?;
        match &self.problem {
            Some(problem) => writeln!(out, "{:>10}  !! {problem}", ""),
            None => Ok(()),
        }
    }
}

impl Field {
    fn to_json(&self) -> Value {
        match self {
            Self::Value(value) => value.clone(),
            Self::Time(i64::MIN) => Value::Null,
            Self::Time(ns) => (*ns).into(),
            Self::Bits32(bits) => (*bits).into(),
            Self::Bits64(bits) => (*bits).into(),
        }
    }

    fn to_text(&self) -> String {
        match self {
            Self::Value(Value::String(text)) => text.clone(),
            Self::Value(Value::Null) | Self::Time(i64::MIN) => "none".to_owned(),
            Self::Value(value) => value.to_string(),
            Self::Time(ns) => time(*ns),
            Self::Bits32(bits) => format!("{bits:08x}"),
            Self::Bits64(bits) => format!("{bits:016x}"),
        }
    }
}

/// Bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

const LINE_CHARS: usize = 120;
