//! Places whose tables have versions, as far as this build has them: SQLite files and PostgreSQL databases. Reads no position.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use tidelog::{OffsetStore, OffsetStoreError, SchemaMigration};

use crate::cli::store;
use crate::exit::{Exit, Failure};

/// `sqlite:FILE` or `postgres:URL`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) enum Tables {
    Sqlite(PathBuf),
    /// A connection string.
    Postgres(String),
}

impl FromStr for Tables {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("sqlite", file)) if !file.is_empty() => Ok(Self::Sqlite(file.into())),
            // The whole is a URL already.
            Some(("postgres" | "postgresql", rest)) if rest.starts_with("//") => Ok(Self::Postgres(text.to_owned())),
            Some(("postgres", config)) if !config.is_empty() => Ok(Self::Postgres(config.to_owned())),
            _ => Err("sqlite:FILE or postgres:URL".to_owned()),
        }
    }
}

impl fmt::Display for Tables {
    /// Without what may be a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(file) => write!(f, "sqlite:{}", file.display()),
            Self::Postgres(config) => {
                let rest = config.split_once("://").map_or("", |(_, rest)| rest);
                // A password may hold any of these as it is.
                let server = rest.rsplit_once('@').map_or(rest, |(_, server)| server);
                let shown = if config.contains("password=") { "" } else { server.split('?').next().unwrap_or_default() };
                write!(f, "postgres:{shown}")
            }
        }
    }
}

impl Tables {
    /// What is there, made if there is none, and brought up to date.
    pub(super) fn open(&self) -> Result<Box<dyn OffsetStore>, Failure> {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(file) => Ok(Box::new(tidelog::SqliteOffsetStore::open(file).map_err(|error| self.failure("opening", error))?)),
            #[cfg(feature = "postgres")]
            Self::Postgres(config) => Ok(Box::new(tidelog::PostgresOffsetStore::connect(config).map_err(|error| self.failure("opening", error))?)),
            #[allow(unreachable_patterns, reason = "not where every kind is built in")]
            _ => Err(self.not_built()),
        }
    }

    /// What is there, as it is: opened, one of an older version would be brought up to date.
    pub(super) fn open_to_read(&self) -> Result<Box<dyn OffsetStore>, Failure> {
        self.open_if_there()?.ok_or_else(|| self.failure("opening", OffsetStoreError::NotFound { place: self.to_string() }))
    }

    /// The same; none where there are no tables.
    pub(super) fn open_if_there(&self) -> Result<Option<Box<dyn OffsetStore>>, Failure> {
        if cfg!(feature = "sqlite") && matches!(self, Self::Sqlite(file) if !file.exists()) {
            return Ok(None);
        }
        let all = self.migrations()?;
        let (version, latest) = (version(&all), all.len());
        if version == 0 {
            return Ok(None);
        }
        if version < latest {
            return Err(Failure::new(
                Exit::Refused,
                format!("{self} has version {version} of the schema, and {latest} is read: `migrate --to {latest}` brings it up"),
            ));
        }
        self.open().map(Some)
    }

    /// The steps of the schema, with when they were applied. Changes nothing.
    pub(super) fn migrations(&self) -> Result<Vec<SchemaMigration>, Failure> {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(file) => tidelog::SqliteOffsetStore::migrations(file).map_err(|error| self.failure("opening", error)),
            #[cfg(feature = "postgres")]
            Self::Postgres(config) => tidelog::PostgresOffsetStore::migrations(config).map_err(|error| self.failure("opening", error)),
            #[allow(unreachable_patterns, reason = "not where every kind is built in")]
            _ => Err(self.not_built()),
        }
    }

    /// Goes to a version, up or down.
    pub(super) fn migrate(&self, version: u32) -> Result<(), Failure> {
        let _ = version; // where no kind is built in
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(file) => tidelog::SqliteOffsetStore::migrate(file, version).map_err(|error| self.failure("migrating", error)),
            #[cfg(feature = "postgres")]
            Self::Postgres(config) => tidelog::PostgresOffsetStore::migrate(config, version).map_err(|error| self.failure("migrating", error)),
            #[allow(unreachable_patterns, reason = "not where every kind is built in")]
            _ => Err(self.not_built()),
        }
    }

    /// Copies it, in use or not, to a file that is not there yet.
    pub(super) fn back_up(&self, to: &Path) -> Result<(), Failure> {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(file) => {
                tidelog::SqliteOffsetStore::backup_file(file, to).map_err(|error| self.failure(&format!("writing {} from", to.display()), error))
            }
            _ => Err(self.not_copied(to)),
        }
    }

    /// Takes a backup in the place of what is there.
    pub(super) fn restore(&self, from: &Path) -> Result<(), Failure> {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(file) => tidelog::SqliteOffsetStore::restore_file(file, from)
                .map_err(|error| self.failure(&format!("restoring {} into", from.display()), error)),
            _ => Err(self.not_copied(from)),
        }
    }

    /// A failure of what is there, with its exit code.
    fn failure(&self, doing: &str, error: OffsetStoreError) -> Failure {
        Failure::because(store::positions_exit(&error), format!("{doing} {self}"), error)
    }

    fn not_copied(&self, file: &Path) -> Failure {
        match self {
            Self::Postgres(_) => {
                Failure::new(Exit::Usage, format!("{self} and {}: a server's own tools copy what it holds (pg_dump)", file.display()))
            }
            Self::Sqlite(_) => self.not_built(),
        }
    }

    fn not_built(&self) -> Failure {
        let feature = match self {
            Self::Sqlite(_) => "sqlite",
            Self::Postgres(_) => "postgres",
        };
        Failure::new(Exit::Usage, format!("{self} needs the feature {feature}, which this build does not have"))
    }
}

/// The version that those which were applied come to.
pub(super) fn version(migrations: &[SchemaMigration]) -> usize {
    migrations.iter().filter(|migration| migration.applied_at.is_some()).count()
}
