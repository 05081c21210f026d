//! Connections to a server: how they are made, kept and replaced when they are lost, and what failures are called. Knows no table.

use std::collections::HashMap;
use std::error::Error;
use std::time::Duration;
use std::{fmt, io};

use parking_lot::{Condvar, Mutex};
use postgres::config::Host;
use postgres::types::ToSql;
use postgres::{Client, Config, GenericClient, IsolationLevel, NoTls, Row, Statement, Transaction};

use crate::offset::error::OffsetStoreError;

/// A database, and some connections to it that nobody uses at the moment.
pub(super) struct Server {
    pub(super) place: String,
    connect: Box<Connect>,
    pool: Mutex<Pool>,
    is_free: Condvar,
}

type Connect = dyn Fn() -> Result<Client, postgres::Error> + Send + Sync;

#[derive(Default)]
struct Pool {
    idle: Vec<Session>,
    /// Those in use as well.
    open: usize,
}

/// A connection, with the statements that were prepared on it.
struct Session {
    client: Client,
    statements: Statements,
}

type Statements = HashMap<&'static str, Statement>;

/// A transaction, in which whoever changes rows says what.
pub(super) struct Work<'a> {
    transaction: Transaction<'a>,
    statements: &'a mut Statements,
}

/// What a failure keeps a caller from: an answer of the server, or one of ours.
pub(super) enum Failed {
    Server(postgres::Error),
    Store(OffsetStoreError),
}

impl Server {
    /// Where a connection string leads; without TLS.
    pub(super) fn at(config: &str) -> Result<Self, OffsetStoreError> {
        let place = "PostgreSQL".to_owned();
        let mut config: Config = config.parse().map_err(|error| failure("read the address of", &place, &error))?;
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        if config.get_application_name().is_none() {
            config.application_name("tidelog");
        }
        Ok(Self::by(place_of(&config), move || config.connect(NoTls)))
    }

    pub(super) fn by(place: String, connect: impl Fn() -> Result<Client, postgres::Error> + Send + Sync + 'static) -> Self {
        Self { place, connect: Box::new(connect), pool: Mutex::default(), is_free: Condvar::new() }
    }

    /// A new connection, on which a commit is durable before it returns.
    pub(super) fn open(&self) -> Result<Client, OffsetStoreError> {
        let failed = |error| failure("connect to", &self.place, &error);
        let mut client = (self.connect)().map_err(failed)?;
        // Of a role or a database too: whoever has set it otherwise for himself has not meant this.
        client
            .batch_execute("SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'")
            .map_err(failed)?;
        let fsync: String = client.query_one("SHOW fsync", &[]).and_then(|row| row.try_get(0)).map_err(failed)?;
        if fsync != "on" {
            let (place, reason) = (self.place.clone(), "its fsync is off, so that power loss takes back what it has committed".to_owned());
            return Err(OffsetStoreError::Server { action: "connect to", place, sqlstate: None, reason });
        }
        Ok(client)
    }

    /// Reads, again if the connection turns out to be lost.
    pub(super) fn query(&self, action: &'static str, sql: &'static str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, OffsetStoreError> {
        self.attempt(action, |session| {
            let Session { client, statements } = session;
            let statement = prepared(client, statements, sql)?;
            Ok(client.query(&statement, params)?)
        })
    }

    /// Changes rows in one transaction: all of them, or none. What was not committed yet when the connection was lost is done again.
    ///
    /// # Errors
    /// [`OffsetStoreError::OutcomeUnknown`] if it was lost behind that.
    pub(super) fn write<T>(&self, action: &'static str, write: impl Fn(&mut Work<'_>) -> Result<T, Failed>) -> Result<T, OffsetStoreError> {
        self.attempt(action, |session| {
            let Session { client, statements } = session;
            let transaction = client.build_transaction().isolation_level(IsolationLevel::ReadCommitted).start()?;
            let mut work = Work { transaction, statements };
            let done = write(&mut work)?;
            work.transaction.commit().map_err(|error| Failed::Store(self.not_committed(action, &error)))?;
            Ok(done)
        })
    }

    fn attempt<T>(&self, action: &'static str, mut attempt: impl FnMut(&mut Session) -> Result<T, Failed>) -> Result<T, OffsetStoreError> {
        let mut attempts = 1..ATTEMPTS;
        loop {
            let mut lease = self.lease()?;
            match attempt(lease.session()) {
                Ok(done) => return Ok(done),
                Err(Failed::Store(error)) => {
                    if matches!(error, OffsetStoreError::OutcomeUnknown { .. }) {
                        lease.forget_all();
                    }
                    return Err(error);
                }
                Err(Failed::Server(error)) => {
                    let is_lost = is_lost(&error);
                    if is_lost {
                        lease.forget_all();
                    }
                    // Two that wait for each other: the server has chosen this one to begin anew.
                    let is_deadlock = error.code().is_some_and(|code| code.code() == "40P01");
                    if !(is_lost || is_deadlock) || attempts.next().is_none() {
                        return Err(failure(action, &self.place, &error));
                    }
                }
            }
        }
    }

    fn lease(&self) -> Result<Lease<'_>, OffsetStoreError> {
        let mut pool = self.pool.lock();
        while pool.idle.is_empty() && pool.open >= CONNECTIONS_MAX {
            self.is_free.wait(&mut pool);
        }
        if let Some(session) = pool.idle.pop() {
            return Ok(Lease { server: self, session: Some(session) });
        }
        pool.open += 1;
        drop(pool);
        let mut lease = Lease { server: self, session: None }; // gives its place back if the connection cannot be had
        lease.session = Some(Session { client: self.open()?, statements: HashMap::new() });
        Ok(lease)
    }

    /// What the answer to a COMMIT, or none, means.
    fn not_committed(&self, action: &'static str, error: &postgres::Error) -> OffsetStoreError {
        if error.as_db_error().is_some() && !is_lost(error) {
            return failure(action, &self.place, error);
        }
        OffsetStoreError::OutcomeUnknown { action, place: self.place.clone(), reason: reason(error) }
    }
}

impl Work<'_> {
    pub(super) fn execute(&mut self, sql: &'static str, params: &[&(dyn ToSql + Sync)]) -> Result<usize, Failed> {
        let statement = prepared(&mut self.transaction, self.statements, sql)?;
        Ok(self.transaction.execute(&statement, params)? as usize)
    }

    pub(super) fn query(&mut self, sql: &'static str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Failed> {
        let statement = prepared(&mut self.transaction, self.statements, sql)?;
        Ok(self.transaction.query(&statement, params)?)
    }
}

/// A connection that somebody uses, and gives back.
struct Lease<'a> {
    server: &'a Server,
    session: Option<Session>,
}

impl Lease<'_> {
    fn session(&mut self) -> &mut Session {
        self.session.as_mut().expect("taken by `lease`, and only `forget_all` drops it")
    }

    /// It is lost, and so, it seems, are those that nobody uses.
    fn forget_all(&mut self) {
        self.session = None;
        let mut pool = self.server.pool.lock();
        pool.open -= pool.idle.len();
        pool.idle.clear();
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        let mut pool = self.server.pool.lock();
        match self.session.take() {
            Some(session) if !session.client.is_closed() => pool.idle.push(session),
            _ => pool.open -= 1,
        }
        self.server.is_free.notify_one();
    }
}

fn prepared(client: &mut impl GenericClient, statements: &mut Statements, sql: &'static str) -> Result<Statement, postgres::Error> {
    if let Some(statement) = statements.get(sql) {
        return Ok(statement.clone());
    }
    let statement = client.prepare(sql)?;
    statements.insert(sql, statement.clone());
    Ok(statement)
}

pub(super) fn failure(action: &'static str, place: &str, error: &postgres::Error) -> OffsetStoreError {
    let sqlstate = error.code().map(|code| code.code().to_owned());
    OffsetStoreError::Server { action, place: place.to_owned(), sqlstate, reason: reason(error) }
}

fn reason(error: &postgres::Error) -> String {
    match (error.as_db_error(), error.source()) {
        (Some(server), _) => server.message().to_owned(),
        (None, Some(source)) => format!("{error}: {source}"),
        (None, None) => error.to_string(),
    }
}

/// Whether the connection is gone: closed, failed, or ended by a server that stops or starts (class 57P of SQLSTATE; class 08 is of proxies).
fn is_lost(error: &postgres::Error) -> bool {
    match error.code() {
        Some(code) => code.code().starts_with("57P") || code.code().starts_with("08"),
        None => error.is_closed() || error.source().is_some_and(|source| source.is::<io::Error>()),
    }
}

/// Without the password.
fn place_of(config: &Config) -> String {
    let hosts = config.get_hosts().iter().map(|host| match host {
        Host::Tcp(host) => host.clone(),
        Host::Unix(path) => path.display().to_string(),
    });
    let ports = config.get_ports().iter().chain(config.get_ports().last().into_iter().cycle());
    let hosts: Vec<_> =
        if config.get_ports().is_empty() { hosts.collect() } else { hosts.zip(ports).map(|(host, port)| format!("{host}:{port}")).collect() };
    format!("postgres://{}/{}", hosts.join(","), config.get_dbname().or(config.get_user()).unwrap_or_default())
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("place", &self.place).finish_non_exhaustive()
    }
}

impl From<postgres::Error> for Failed {
    fn from(error: postgres::Error) -> Self {
        Self::Server(error)
    }
}

impl From<OffsetStoreError> for Failed {
    fn from(error: OffsetStoreError) -> Self {
        Self::Store(error)
    }
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Whoever comes while all are in use waits for one.
const CONNECTIONS_MAX: usize = 8;
const ATTEMPTS: u32 = 3;
