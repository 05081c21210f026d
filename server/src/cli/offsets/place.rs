//! Where offsets are kept, as the command line names it, and how that is opened. Reads no position.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use tidelog::{LogOffsetStore, OffsetStore, OffsetStoreError, Store, StoreOptions};

use super::tables::Tables;
use crate::cli::store;
use crate::exit::Failure;

/// `log`, `sqlite:FILE` or `postgres:URL`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) enum Place {
    Log,
    Sql(Tables),
}

/// Positions to be looked at again and again.
pub(in crate::cli) enum Watched {
    /// Shows the moment of its last refresh.
    Log(Box<LogOffsetStore>),
    /// Shows what is there.
    Sql(Box<dyn OffsetStore>),
}

impl Watched {
    pub(in crate::cli) fn positions(&self) -> &dyn OffsetStore {
        match self {
            Self::Log(positions) => &**positions,
            Self::Sql(positions) => &**positions,
        }
    }

    /// Takes over what was changed meanwhile.
    pub(in crate::cli) fn refresh(&self) -> Result<(), Failure> {
        match self {
            Self::Log(positions) => positions.refresh().map_err(store::positions_failure),
            Self::Sql(_) => Ok(()),
        }
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "log" {
            return Ok(Self::Log);
        }
        text.parse().map(Self::Sql).map_err(|expected: String| format!("expected log, or {expected}"))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log => f.write_str("log"),
            Self::Sql(tables) => tables.fmt(f),
        }
    }
}

impl Place {
    /// What is there, to be read: it must be there, and the log of a store is read beside its writer.
    pub(in crate::cli) fn open_to_read(&self, dir: &Path) -> Result<Box<dyn OffsetStore>, Failure> {
        match self.open_to_watch(dir)? {
            Watched::Log(positions) => Ok(positions),
            Watched::Sql(positions) => Ok(positions),
        }
    }

    /// As [`open_to_read`](Self::open_to_read).
    pub(in crate::cli) fn open_to_watch(&self, dir: &Path) -> Result<Watched, Failure> {
        match self {
            Self::Log => {
                let store = store::open_read_only(dir)?;
                LogOffsetStore::open_read_only(&store)
                    .map(|positions| Watched::Log(Box::new(positions)))
                    .map_err(|error| self.failure("opening", error))
            }
            Self::Sql(tables) => tables.open_to_read().map(Watched::Sql),
        }
    }

    /// As [`open_to_read`](Self::open_to_read), of a place that must be there: what is lost is not taken for one without a position.
    pub(super) fn open_source(&self, dir: &Path) -> Result<Box<dyn OffsetStore>, Failure> {
        if *self == Self::Log {
            let topics = store::open_read_only(dir)?.all_topics().map_err(|error| self.failure("opening", error.into()))?;
            if !topics.iter().any(|topic| topic.to_string() == OFFSETS_TOPIC) {
                return Err(self.failure("opening", OffsetStoreError::NotFound { place: format!("the topic {OFFSETS_TOPIC}") }));
            }
        }
        self.open_to_read(dir)
    }

    /// What is there, to be looked at; none where nothing was ever kept.
    pub(in crate::cli) fn open_to_look(&self, dir: &Path) -> Result<Option<Box<dyn OffsetStore>>, Failure> {
        match self {
            Self::Log => self.open_to_read(dir).map(Some),
            Self::Sql(tables) => tables.open_if_there(),
        }
    }

    /// What is there, to be changed, with the log of a store that is open; none where nothing was ever kept.
    pub(in crate::cli) fn open_if_there(&self, store: &Store) -> Result<Option<Box<dyn OffsetStore>>, Failure> {
        match self {
            Self::Log => Ok(store::positions(store)?.map(|positions| Box::new(positions) as Box<dyn OffsetStore>)),
            Self::Sql(tables) => tables.open_if_there(),
        }
    }

    /// What is there, to be written, and made if there is none. The store is open as long as the log of it is used.
    pub(in crate::cli) fn open_to_write(&self, store: &dyn Fn() -> Result<Store, Failure>) -> Result<Box<dyn OffsetStore>, Failure> {
        match self {
            Self::Log => Ok(Box::new(LogOffsetStore::open(&store()?).map_err(|error| self.failure("opening", error))?)),
            Self::Sql(tables) => tables.open(),
        }
    }

    /// What follows a message about groups that are kept in another place than the store's own log.
    pub(in crate::cli) fn aside(&self) -> String {
        if *self == Self::Log { String::new() } else { format!(" in {self}") }
    }

    /// A failure of what is there, with its exit code.
    pub(super) fn failure(&self, doing: &str, error: OffsetStoreError) -> Failure {
        Failure::because(store::positions_exit(&error), format!("{doing} {self}"), error)
    }
}

/// The store, for writing: it must be there.
pub(super) fn open_store(dir: &Path) -> Result<Store, Failure> {
    StoreOptions::new().open_existing(dir).map_err(|error| store::opening(dir, error))
}

const OFFSETS_TOPIC: &str = "_tidelog/offsets";
