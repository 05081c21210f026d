//! The tables as SQLite calls them: every `unsafe` of this package. Hands everything on to safe code; reads nothing itself.
//!
//! # Invariants
//!
//! SQLite knows a table and a cursor by the address of a C struct, and casts it to what this file made: `rusqlite` does the casts, and asks for
//! the two traits below that what it casts to is laid out as it thinks. Each `unsafe impl` names what it rests on:
//!
//! - **V1 first**: the type is `repr(C)`, and the C struct is its first field, so that a pointer to the one is a pointer to the other. Checked when
//!   it is compiled, by [`BASE_AT`].
//! - **V2 untouched**: nothing here reads or writes that field after it was made: `rusqlite` and SQLite keep the table and the message of an
//!   error in it.
//! - **V3 owned**: a cursor borrows nothing from its table: it may be closed before or after it.
//! - **V4 sent**: a connection may go to another thread, and its tables and cursors with it: what they own may be used there. Checked when it is
//!   compiled, by [`is_sent`].
#![allow(unsafe_code)]

use std::borrow::Cow;
use std::ffi::{CStr, c_int};
use std::mem::offset_of;
use std::sync::{Arc, Weak};

use rusqlite::vtab::{
    Context, CreateVTab, Filters, IndexInfo, Module, VTab, VTabConnection, VTabCursor, VTabKind, dequote, sqlite3_vtab, sqlite3_vtab_cursor,
};
use rusqlite::{Connection, Error, Result};
use tidelog::TopicName;

use crate::columns::{Column, DECLARATION};
use crate::log_tables::Shared;
use crate::plan::Plan;
use crate::scan::Scan;
use crate::snapshot::Snapshot;

/// Gives a connection the module, under a name.
pub(crate) fn register(connection: &Connection, name: &str, shared: Arc<Shared>) -> Result<()> {
    const MODULE: Module<'_, LogTable> = Module::read_only_module().without_rowid();
    connection.create_module(name, &MODULE, Some(shared))
}

/// One topic.
#[repr(C)]
struct LogTable {
    base: sqlite3_vtab,
    shared: Arc<Shared>,
    topic: TopicName,
    /// What cursors that are open see, if there are any.
    snapshot: Weak<Snapshot>,
}

/// One scan of it, or several, one after the other.
#[repr(C)]
struct LogCursor {
    base: sqlite3_vtab_cursor,
    snapshot: Arc<Snapshot>,
    scan: Option<Scan>,
}

// SAFETY: V1, V2, V4.
unsafe impl VTab<'_> for LogTable {
    type Aux = Arc<Shared>;
    type Cursor = LogCursor;

    fn connect(
        _: &mut VTabConnection,
        shared: Option<&Self::Aux>,
        _module: &[u8],
        _schema: &[u8],
        _table: &[u8],
        arguments: &[&[u8]],
    ) -> Result<(Cow<'static, CStr>, Self)> {
        let [topic] = arguments else { return Err(Error::ModuleError(format!("expected the name of one topic, found {}", arguments.len()))) };
        let shared = shared.ok_or_else(|| Error::ModuleError("the module has no store".to_owned()))?;
        let topic = dequote(std::str::from_utf8(topic)?.trim()).parse().map_err(|error| Error::ModuleError(format!("{error}")))?;
        Ok((DECLARATION.into(), Self { base: sqlite3_vtab::default(), shared: shared.clone(), topic, snapshot: Weak::new() }))
    }

    fn best_index(&self, info: &mut IndexInfo) -> Result<bool> {
        Plan::choose(info);
        Ok(true)
    }

    /// A statement opens its cursors when it begins, and none while another is open sees more than that one.
    fn open(&mut self) -> Result<LogCursor> {
        let snapshot = match self.snapshot.upgrade() {
            Some(snapshot) => snapshot,
            None => Arc::new(Snapshot::take(&self.shared, &self.topic)?),
        };
        self.snapshot = Arc::downgrade(&snapshot);
        Ok(LogCursor { base: sqlite3_vtab_cursor::default(), snapshot, scan: None })
    }
}

impl CreateVTab<'_> for LogTable {
    const KIND: VTabKind = VTabKind::Default;
}

// SAFETY: V1, V2, V3, V4.
unsafe impl VTabCursor for LogCursor {
    fn filter(&mut self, number: c_int, text: Option<&str>, values: &Filters<'_>) -> Result<()> {
        let plan = Plan::parse(number, text.unwrap_or_default()).ok_or_else(|| Error::ModuleError("the plan is none of this module".to_owned()))?;
        self.scan = None;
        self.scan = Some(Scan::begin(&self.snapshot, plan.ranges(values.iter()), plan.order)?);
        Ok(())
    }

    fn next(&mut self) -> Result<()> {
        self.scan.as_mut().map_or(Ok(()), Scan::advance)
    }

    fn eof(&self) -> bool {
        self.scan.as_ref().is_none_or(|scan| scan.row().is_none())
    }

    fn column(&self, context: &mut Context, number: c_int) -> Result<()> {
        match (Column::of(number), self.scan.as_ref().and_then(Scan::row)) {
            (Some(column), Some((partition, record))) => column.tell(context, partition, record),
            _ => Ok(()),
        }
    }

    /// Never called: the module has none.
    fn rowid(&self) -> Result<i64> {
        Err(Error::ModuleError("a log has no rowid".to_owned()))
    }
}

/// Where the C structs stand.
const BASE_AT: (usize, usize) = (offset_of!(LogTable, base), offset_of!(LogCursor, base));
const _: () = assert!(BASE_AT.0 == 0 && BASE_AT.1 == 0);

/// Of all that [`LogTable`] and [`LogCursor`] have behind the C structs.
const fn is_sent<T: Send>() {}
const _: () = is_sent::<(Arc<Shared>, TopicName, Weak<Snapshot>, Arc<Snapshot>, Option<Scan>)>();
