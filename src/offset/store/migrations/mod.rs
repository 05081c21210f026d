//! The versions of the schema that all SQL stores share, and which of them a database has. Runs no statement.

use tidelog_format::TimestampNs;

use crate::offset::error::OffsetStoreError;
use crate::offset::schema_migration::SchemaMigration;

/// One step between two versions, as SQLite reads it. What is here was applied somewhere: never change it, add another one.
pub(super) struct Migration {
    pub(super) version: u32,
    pub(super) description: &'static str,
    pub(super) up: &'static str,
    pub(super) down: &'static str,
}

/// The newest version.
pub(super) const LATEST: u32 = MIGRATIONS.len() as u32;

/// What a database says of itself, asked for as far as it is needed.
pub(super) trait Catalog {
    /// The names of its tables and views.
    fn tables(&mut self) -> Result<Vec<String>, OffsetStoreError>;
    /// The columns of its `schema_migrations`, in order.
    fn columns(&mut self) -> Result<Vec<String>, OffsetStoreError>;
    /// Versions, descriptions and times in its `schema_migrations`, in order.
    fn applied(&mut self) -> Result<Vec<(u64, String, i64)>, OffsetStoreError>;
}

/// Whether tables that are none of ours may be where no migration was applied.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Others {
    /// It is somebody else's database.
    Refused,
    /// It is somebody else's database, and he has asked for our tables in it.
    Allowed,
}

/// The version of a database: 0 of one in which no migration was applied.
///
/// # Errors
/// As [`all`].
pub(super) fn version(catalog: &mut impl Catalog, place: &str, others: Others) -> Result<u32, OffsetStoreError> {
    Ok(all(catalog, place, others)?.iter().filter(|migration| migration.applied_at.is_some()).count() as u32)
}

/// All that there are, with when they were applied to a database.
///
/// # Errors
/// [`OffsetStoreError::Unsupported`], [`OffsetStoreError::Foreign`]; and as the catalog.
pub(super) fn all(catalog: &mut impl Catalog, place: &str, others: Others) -> Result<Vec<SchemaMigration>, OffsetStoreError> {
    let applied = applied(catalog, place, others)?;
    let with_time = |(at, known): (usize, &Migration)| SchemaMigration {
        version: known.version,
        description: known.description,
        applied_at: applied.get(at).map(|(.., time)| TimestampNs::new(*time)),
    };
    Ok(MIGRATIONS.iter().enumerate().map(with_time).collect())
}

fn applied(catalog: &mut impl Catalog, place: &str, others: Others) -> Result<Vec<(u64, String, i64)>, OffsetStoreError> {
    let foreign = |found| OffsetStoreError::Foreign { place: place.to_owned(), found };
    let tables = catalog.tables()?;
    let other = tables.iter().find(|table| *table != "schema_migrations").filter(|_| others == Others::Refused);
    if !tables.iter().any(|table| table == "schema_migrations") {
        return match other {
            None => Ok(Vec::new()),
            Some(table) => Err(foreign(format!("it has the table {table}, and no schema_migrations"))),
        };
    }
    let columns = catalog.columns()?;
    if columns != ["version", "description", "applied_at"] {
        return Err(foreign(format!("its schema_migrations has the columns {}", columns.join(", "))));
    }
    let applied = catalog.applied()?;
    // In other programs' databases too, tables have this name.
    for ((version, description, _), known) in applied.iter().zip(&MIGRATIONS) {
        if (*version, description.as_str()) != (known.version.into(), known.description) {
            return Err(foreign(format!("its migration {version} is {description:?}")));
        }
    }
    match (applied.last(), other) {
        (None, Some(table)) => Err(foreign(format!("it has the table {table}, and no migration was applied"))),
        (Some(&(found, ..)), _) if found > LATEST.into() => {
            Err(OffsetStoreError::Unsupported { place: place.to_owned(), found, supported: LATEST.into() })
        }
        _ => Ok(applied),
    }
}

/// Whether there is such a version to migrate to.
pub(super) fn check_wanted(version: u32) -> Result<(), OffsetStoreError> {
    if version <= LATEST {
        return Ok(());
    }
    Err(OffsetStoreError::Unsupported { place: "the migration".to_owned(), found: version.into(), supported: LATEST.into() })
}

pub(super) const MIGRATIONS: [Migration; 6] = [
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
