//! A record as one line of JSON. Bytes that are not UTF-8 go under a name of their own, so that nothing is lost or guessed.

use std::io::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{Gap, Row};

pub(super) fn write_row(out: &mut impl Write, row: &Row<'_>) -> io::Result<()> {
    out.write_all(b"{")?;
    if let Some(partition) = row.partition {
        write!(out, "\"partition\":{partition},")?;
    }
    write!(out, "\"offset\":{},\"ts_ns\":{},", row.offset, row.ts_ns)?;
    write_bytes(out, "key", row.key)?;
    out.write_all(b",")?;
    write_bytes(out, "value", row.value)?;
    out.write_all(b",\"headers\":[")?;
    for (index, (name, value)) in row.headers.iter().enumerate() {
        out.write_all(if index == 0 { b"{\"name\":" } else { b",{\"name\":" })?;
        serde_json::to_writer(&mut *out, name)?;
        out.write_all(b",")?;
        write_bytes(out, "value", *value)?;
        out.write_all(b"}")?;
    }
    out.write_all(b"]}\n")
}

pub(super) fn write_gap(out: &mut impl Write, gap: &Gap) -> io::Result<()> {
    out.write_all(b"{\"gap\":{")?;
    if let Some(partition) = gap.partition {
        write!(out, "\"partition\":{partition},")?;
    }
    write!(out, "\"from\":{},\"to\":{},\"reason\":", gap.from, gap.to)?;
    serde_json::to_writer(&mut *out, &gap.reason)?;
    out.write_all(b"}}\n")
}

/// `"name":"text"`, `"name_base64":"..."` or `"name":null`.
pub(crate) fn write_bytes(out: &mut impl Write, name: &str, bytes: Option<&[u8]>) -> io::Result<()> {
    let text = bytes.map(std::str::from_utf8);
    match text {
        Some(Err(_)) => serde_json::to_writer(&mut *out, &format!("{name}_base64"))?,
        _ => serde_json::to_writer(&mut *out, name)?,
    }
    match text {
        None => out.write_all(b":null"),
        Some(Ok(text)) => {
            out.write_all(b":")?;
            Ok(serde_json::to_writer(out, text)?)
        }
        Some(Err(_)) => write!(out, ":\"{}\"", STANDARD.encode(bytes.unwrap_or_default())),
    }
}
