//! The schema in a SQLite database: its version, and the way up and down, a transaction each. Never touches a database of a newer version.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use crate::clock::now;
use crate::offset::error::OffsetStoreError;
use crate::offset::schema_migration::SchemaMigration;
use crate::offset::store::migrations::{self, Catalog, MIGRATIONS, Others};
use crate::offset::store::sqlite::database::Database;
use crate::offset::store::statements;

/// The version of a database: 0 of an empty one.
pub(super) fn version(database: &Database, connection: &Connection, others: Others) -> Result<u32, OffsetStoreError> {
    migrations::version(&mut Opened { database, connection }, &database.path.display().to_string(), others)
}

/// All migrations that there are, with when they were applied.
pub(super) fn all(database: &Database, connection: &Connection) -> Result<Vec<SchemaMigration>, OffsetStoreError> {
    migrations::all(&mut Opened { database, connection }, &database.path.display().to_string(), Others::Refused)
}

/// Brings a database from whatever version it has to another one, one transaction a step.
pub(super) fn migrate(database: &Database, connection: &mut Connection, wanted: u32, others: Others) -> Result<(), OffsetStoreError> {
    loop {
        let transaction = database.run("begin to migrate", || connection.transaction_with_behavior(TransactionBehavior::Immediate))?;
        // Again in each transaction: another process may have done a step.
        let found = version(database, &transaction, others)?;
        if found == wanted {
            return database.run("end to migrate", || transaction.commit());
        }
        database.run("migrate", || {
            transaction.execute_batch(statements::CREATE_MIGRATIONS)?;
            if found < wanted {
                let step = &MIGRATIONS[found as usize];
                transaction.execute_batch(step.up)?;
                let row = params![step.version, step.description, now().get()];
                transaction.execute(statements::NOTE_APPLIED, row)?;
            } else {
                let step = &MIGRATIONS[found as usize - 1];
                transaction.execute_batch(step.down)?;
                transaction.execute(statements::NOTE_TAKEN_BACK, [step.version])?;
            }
            transaction.commit()
        })?;
    }
}

/// The names of its tables and views.
pub(super) fn tables(database: &Database, connection: &Connection) -> Result<Vec<String>, OffsetStoreError> {
    Opened { database, connection }.tables()
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

struct Opened<'a> {
    database: &'a Database,
    connection: &'a Connection,
}

impl Opened<'_> {
    fn rows<T>(
        &self,
        action: &'static str,
        sql: &str,
        row: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, OffsetStoreError> {
        self.database.run(action, || self.connection.prepare(sql)?.query_map([], row)?.collect())
    }
}

impl Catalog for Opened<'_> {
    fn tables(&mut self) -> Result<Vec<String>, OffsetStoreError> {
        let sql = "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT GLOB 'sqlite_*'";
        self.rows("read the tables of", sql, |row| row.get(0))
    }

    fn columns(&mut self) -> Result<Vec<String>, OffsetStoreError> {
        self.rows("read the version of", "SELECT name FROM pragma_table_info('schema_migrations')", |row| row.get(0))
    }

    fn applied(&mut self) -> Result<Vec<(u64, String, i64)>, OffsetStoreError> {
        self.rows("read the version of", statements::APPLIED, |row| Ok((row.get::<_, i64>(0)? as u64, row.get(1)?, row.get(2)?)))
    }
}
