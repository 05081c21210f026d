//! The topics of a [`tidelog`] store as SQLite tables: read, filtered and joined in SQL, beside a live writer. Appends nothing. Over a
//! store that is open for reading alone ([`LogTables::new`]) it writes nothing, anywhere.
//!
//! [`LogTables::attach`] gives a connection a table for each topic, by the topic's name (`orders`, `"shop/orders"`):
//!
//! | column | type | is |
//! |---|---|---|
//! | `_ts_ns` | INTEGER | the time, in nanoseconds since 1970 |
//! | `_key`, `_value` | BLOB | as they were appended; a null one is NULL, an empty one is an empty blob |
//! | `_headers` | TEXT | a JSON array, in order: `{"name":..,"value":..}`, with `"value":null` for a null value and `"value_base64":..` for one that is not UTF-8 |
//! | `_index` | INTEGER, hidden | the offset |
//! | `_partition` | INTEGER, hidden | the number of the partition |
//!
//! Hidden columns are named to be seen: `select *` leaves them out. Conditions on `_index`, `_partition` and the least `_ts_ns` are looked up, and
//! the rest of the log is not read; `order by _index` is not sorted. See `docs/sql.md` of the repository.
//!
//! ```
//! use tidelog::{Record, Store};
//! use tidelog_sql::{LogTables, rusqlite::Connection};
//!
//! # let dir = tempfile::tempdir()?;
//! # let data = dir.path();
//! let store = Store::open(data)?;
//! let orders = store.topic("shop/orders")?.partition(0)?;
//! for value in ["12 apples", "3 pears", "1 plum"] {
//!     orders.append(Record::new(value))?;
//! }
//! let connection = Connection::open_in_memory()?;
//! LogTables::new(Store::open_read_only(data)?).attach(&connection)?; // any number of processes, beside the writer
//! let sql = r#"select _index, cast(_value as text) from "shop/orders" where _index between 1 and 2"#;
//! let rows = connection.prepare(sql)?.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<Vec<(i64, String)>, _>>()?;
//! assert_eq!(rows, [(1, "3 pears".to_owned()), (2, "1 plum".to_owned())]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod bounds;
mod columns;
mod error;
mod log_tables;
mod partition_rows;
mod plan;
mod scan;
mod snapshot;
mod source;
mod vtab;

pub use error::AttachError;
pub use log_tables::LogTables;
pub use rusqlite;

/// Compiles the example in the guide.
#[cfg(doctest)]
#[doc = include_str!("../../docs/sql.md")]
pub struct Guide;
