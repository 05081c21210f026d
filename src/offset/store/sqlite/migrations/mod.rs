//! The versions of the schema, and the way up and down between them, a transaction each. Never touches a database of a newer version.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use crate::clock::now;
use crate::offset::error::OffsetStoreError;
use crate::offset::store::sqlite::database::Database;

/// One step between two versions. What is here was applied somewhere: never change it, add another one.
struct Migration {
    version: u32,
    description: &'static str,
    up: &'static str,
    down: &'static str,
}

/// The newest version.
pub(super) const LATEST: u32 = MIGRATIONS.len() as u32;

/// The version of a database: 0 of an empty one.
pub(super) fn version(database: &Database, connection: &Connection) -> Result<u32, OffsetStoreError> {
    let tables: Vec<String> = database.run("read the tables of", || {
        let mut statement = connection.prepare("SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT GLOB 'sqlite_*'")?;
        statement.query_map([], |row| row.get(0))?.collect()
    })?;
    let has = |name: &str| tables.iter().any(|table| table == name);
    if !has("schema_migrations") {
        return match tables.first() {
            None => Ok(0),
            Some(table) => Err(database.foreign(format!("it has the table {table}, and no schema_migrations"))),
        };
    }
    let columns: Vec<String> = database.run("read the version of", || {
        connection.prepare("SELECT name FROM pragma_table_info('schema_migrations')")?.query_map([], |row| row.get(0))?.collect()
    })?;
    if columns != ["version", "description", "applied_at"] {
        return Err(database.foreign(format!("its schema_migrations has the columns {}", columns.join(", "))));
    }
    let applied: Vec<(u64, String)> = database.run("read the version of", || {
        let mut statement = connection.prepare("SELECT version, description FROM schema_migrations ORDER BY version")?;
        statement.query_map([], |row| Ok((row.get::<_, i64>(0)? as u64, row.get(1)?)))?.collect()
    })?;
    // In other programs' databases too, tables have this name.
    for ((version, description), known) in applied.iter().zip(&MIGRATIONS) {
        if (*version, description.as_str()) != (known.version.into(), known.description) {
            return Err(database.foreign(format!("its migration {version} is {description:?}")));
        }
    }
    if let (true, Some(table)) = (applied.is_empty(), tables.iter().find(|table| *table != "schema_migrations")) {
        return Err(database.foreign(format!("it has the table {table}, and no migration was applied")));
    }
    match applied.last() {
        Some(&(found, _)) if found > LATEST.into() => {
            Err(OffsetStoreError::Unsupported { place: database.path.display().to_string(), found, supported: LATEST.into() })
        }
        _ => Ok(applied.len() as u32),
    }
}

/// Brings a database from whatever version it has to another one, one transaction a step.
pub(super) fn migrate(database: &Database, connection: &mut Connection, wanted: u32) -> Result<(), OffsetStoreError> {
    loop {
        let transaction = database.run("begin to migrate", || connection.transaction_with_behavior(TransactionBehavior::Immediate))?;
        // Again in each transaction: another process may have done a step.
        let found = version(database, &transaction)?;
        if found == wanted {
            return database.run("end to migrate", || transaction.commit());
        }
        database.run("migrate", || {
            transaction.execute_batch(
                "CREATE TABLE IF NOT EXISTS schema_migrations (version INTEGER PRIMARY KEY, description TEXT NOT NULL, applied_at INTEGER NOT NULL)",
            )?;
            if found < wanted {
                let step = &MIGRATIONS[found as usize];
                transaction.execute_batch(step.up)?;
                let row = params![step.version, step.description, now().get()];
                transaction.execute("INSERT INTO schema_migrations (version, description, applied_at) VALUES (?1, ?2, ?3)", row)?;
            } else {
                let step = &MIGRATIONS[found as usize - 1];
                transaction.execute_batch(step.down)?;
                transaction.execute("DELETE FROM schema_migrations WHERE version = ?1", [step.version])?;
            }
            transaction.commit()
        })?;
    }
}

/// Whether the bytes of a database are whole, as far as it can tell itself.
pub(super) fn check_integrity(database: &Database, connection: &Connection) -> Result<(), OffsetStoreError> {
    let found: Option<String> = database.run("check", || {
        connection.query_row("SELECT * FROM pragma_integrity_check WHERE integrity_check <> 'ok' LIMIT 1", [], |row| row.get(0)).optional()
    })?;
    match found {
        None => Ok(()),
        Some(reason) => Err(OffsetStoreError::Database { action: "check", path: database.path.clone(), code: None, reason }),
    }
}

const MIGRATIONS: [Migration; 6] = [
    Migration { version: 1, description: "Create initial offset storage tables", up: include_str!("1_up.sql"), down: include_str!("1_down.sql") },
    Migration { version: 2, description: "Add indexes for performance optimization", up: include_str!("2_up.sql"), down: include_str!("2_down.sql") },
    Migration {
        version: 3,
        description: "Add partition metadata table for enhanced tracking",
        up: include_str!("3_up.sql"),
        down: include_str!("3_down.sql"),
    },
    Migration { version: 4, description: "Add positions of consumer groups", up: include_str!("4_up.sql"), down: include_str!("4_down.sql") },
    Migration {
        version: 5,
        description: "Add the bounds of the log to the partition metadata",
        up: include_str!("5_up.sql"),
        down: include_str!("5_down.sql"),
    },
    Migration { version: 6, description: "Add consumer groups and their members", up: include_str!("6_up.sql"), down: include_str!("6_down.sql") },
];
