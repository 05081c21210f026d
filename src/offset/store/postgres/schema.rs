//! The schema in a PostgreSQL database: its version, and the way up and down, a transaction each. Never touches a database of a newer version.

use postgres::{Client, GenericClient, IsolationLevel};

use crate::clock::now;
use crate::offset::error::OffsetStoreError;
use crate::offset::schema_migration::SchemaMigration;
use crate::offset::store::migrations::{self, Catalog, MIGRATIONS, Others};
use crate::offset::store::postgres::server::{SETTINGS, failure, not_committed};
use crate::offset::store::statements;

/// The version of the current schema of a database: 0 of an empty one.
pub(super) fn version(place: &str, client: &mut impl GenericClient, others: Others) -> Result<u32, OffsetStoreError> {
    migrations::version(&mut Opened { place, client }, place, others)
}

/// All migrations that there are, with when they were applied.
pub(super) fn all(place: &str, client: &mut impl GenericClient) -> Result<Vec<SchemaMigration>, OffsetStoreError> {
    migrations::all(&mut Opened { place, client }, place, Others::Refused)
}

/// Brings the current schema from whatever version it has to another one, one transaction a step. Who else wants to waits for the step.
pub(super) fn migrate(place: &str, client: &mut Client, wanted: u32, others: Others) -> Result<(), OffsetStoreError> {
    let failed = |error| failure("migrate", place, &error);
    loop {
        // Read committed: what is read behind the lock is what whoever held it has left.
        let mut transaction = client.build_transaction().isolation_level(IsolationLevel::ReadCommitted).start().map_err(failed)?;
        transaction.query_one(SETTINGS, &[&true]).map_err(failed)?;
        transaction.query_one("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).map_err(failed)?;
        let found = version(place, &mut transaction, others)?;
        if found == wanted {
            return transaction.commit().map_err(failed);
        }
        transaction.batch_execute(&dialect(statements::CREATE_MIGRATIONS)).map_err(failed)?;
        if found < wanted {
            let step = &MIGRATIONS[found as usize];
            transaction.batch_execute(&dialect(step.up)).map_err(failed)?;
            let row = (i64::from(step.version), now().get());
            transaction.execute(statements::NOTE_APPLIED, &[&row.0, &step.description, &row.1]).map_err(failed)?;
        } else {
            let step = &MIGRATIONS[found as usize - 1];
            transaction.batch_execute(&dialect(step.down)).map_err(failed)?;
            transaction.execute(statements::NOTE_TAKEN_BACK, &[&i64::from(step.version)]).map_err(failed)?;
        }
        transaction.commit().map_err(|error| not_committed("migrate", place, &error))?;
    }
}

/// The same in PostgreSQL: integers of 64 bits, and text in the order of its bytes, as SQLite has them.
fn dialect(sql: &str) -> String {
    sql.replace("INTEGER PRIMARY KEY AUTOINCREMENT", "BIGSERIAL PRIMARY KEY")
        .replace("INTEGER", "BIGINT")
        .replace(" TEXT", " TEXT COLLATE \"C\"")
        .replace(" BLOB", " BYTEA")
        .replace(" WITHOUT ROWID", "")
}

struct Opened<'a, C> {
    place: &'a str,
    client: &'a mut C,
}

impl<C: GenericClient> Opened<'_, C> {
    fn rows<T>(&mut self, sql: &str, row: impl FnMut(postgres::Row) -> Result<T, postgres::Error>) -> Result<Vec<T>, OffsetStoreError> {
        let found = self.client.query(sql, &[]).and_then(|rows| rows.into_iter().map(row).collect());
        found.map_err(|error| failure("read the version of", self.place, &error))
    }
}

impl<C: GenericClient> Catalog for Opened<'_, C> {
    fn tables(&mut self) -> Result<Vec<String>, OffsetStoreError> {
        // But for those of extensions, which stand wherever somebody has put them.
        let sql = "SELECT c.relname::TEXT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
            WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT EXISTS
            (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')";
        self.rows(sql, |row| row.try_get(0))
    }

    fn columns(&mut self) -> Result<Vec<String>, OffsetStoreError> {
        let sql = "SELECT a.attname::TEXT FROM pg_catalog.pg_attribute a
            WHERE a.attrelid = 'schema_migrations'::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";
        self.rows(sql, |row| row.try_get(0))
    }

    fn applied(&mut self) -> Result<Vec<(u64, String, i64)>, OffsetStoreError> {
        self.rows(statements::APPLIED, |row| Ok((row.try_get::<_, i64>(0)? as u64, row.try_get(1)?, row.try_get(2)?)))
    }
}

/// Of the advisory lock: "tidelog" in bytes.
const LOCK: i64 = 0x0074_6964_656c_6f67;
