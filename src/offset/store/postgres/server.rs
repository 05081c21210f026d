//! Connections to a server: how they are made, kept and replaced when they are lost, and what failures are called. Knows no table.

use std::collections::HashMap;
use std::error::Error;
use std::time::Duration;
use std::{fmt, io};

use parking_lot::{Condvar, Mutex};
use postgres::config::Host;
use postgres::error::Severity;
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
        let config = config_of(config).map_err(|error| failure("read the address of", "PostgreSQL", &error))?;
        Ok(Self::by(place_of(&config), move || config.connect(NoTls)))
    }

    pub(super) fn by(place: String, connect: impl Fn() -> Result<Client, postgres::Error> + Send + Sync + 'static) -> Self {
        Self { place, connect: Box::new(connect), pool: Mutex::default(), is_free: Condvar::new() }
    }

    /// A new connection, whose reads do not wait for ever. A server that does not sync is refused.
    pub(super) fn open(&self) -> Result<Client, OffsetStoreError> {
        let failed = |error| failure("connect to", &self.place, &error);
        let mut client = (self.connect)().map_err(failed)?;
        let set = client.query_one(SETTINGS, &[&false]).map_err(failed)?;
        check_fsync("connect to", &self.place, &set)?;
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
            for set in work.query(SETTINGS, &[&true])? {
                check_fsync(action, &self.place, &set)?;
            }
            let done = write(&mut work)?;
            work.transaction.commit().map_err(|error| not_committed(action, &self.place, &error))?;
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
}

impl Drop for Server {
    /// By a thread of its own: a client blocks when it is dropped, which panics on a thread of tokio's runtime.
    fn drop(&mut self) {
        let idle = std::mem::take(&mut self.pool.get_mut().idle);
        if !idle.is_empty()
            && let Ok(closing) = std::thread::Builder::new().spawn(move || drop(idle))
        {
            let _ = closing.join();
        }
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

/// What the answer to a COMMIT, or none, means.
pub(super) fn not_committed(action: &'static str, place: &str, error: &postgres::Error) -> OffsetStoreError {
    if is_refused(error) {
        return failure(action, place, error);
    }
    OffsetStoreError::OutcomeUnknown { action, place: place.to_owned(), reason: reason(error) }
}

/// Whether the row that [`SETTINGS`] answers with is of a server that syncs.
pub(super) fn check_fsync(action: &'static str, place: &str, set: &Row) -> Result<(), OffsetStoreError> {
    match set.try_get(0) {
        Ok("on") => Ok(()),
        Ok(_) => {
            let (place, reason) = (place.to_owned(), "its fsync is off, so that power loss takes back what it has committed".to_owned());
            Err(OffsetStoreError::Server { action, place, sqlstate: None, reason })
        }
        Err(error) => Err(failure(action, place, &error)),
    }
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

/// Whether the server says no, and goes on: what is worse than an ERROR ends the connection, and class 08 of SQLSTATE is what proxies say without it.
fn is_refused(error: &postgres::Error) -> bool {
    error.as_db_error().is_some_and(|answer| {
        let is_error = answer.parsed_severity().map_or(answer.severity() == "ERROR", |severity| severity == Severity::Error);
        is_error && !answer.code().code().starts_with("08")
    })
}

/// Whether the connection is gone: closed, failed, or ended by the server.
fn is_lost(error: &postgres::Error) -> bool {
    if error.as_db_error().is_some() {
        return !is_refused(error);
    }
    error.is_closed() || error.source().is_some_and(|source| source.is::<io::Error>())
}

/// A connection string, and what it does not say of how long to wait.
pub(super) fn config_of(text: &str) -> Result<Config, postgres::Error> {
    let mut config: Config = text.parse()?;
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT_TIMEOUT);
    }
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(SILENCE_MAX);
    }
    // It has a default, of two hours, that does not tell itself from what was given.
    if !text.contains("keepalives_idle") {
        config.keepalives_idle(SILENCE_MAX / 3);
    }
    if config.get_keepalives_interval().is_none() {
        config.keepalives_interval(SILENCE_MAX / 6);
    }
    if config.get_keepalives_retries().is_none() {
        config.keepalives_retries(4);
    }
    if config.get_application_name().is_none() {
        config.application_name("tidelog");
    }
    Ok(config)
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

/// What is set for a transaction, or for a session if `$1` is false; answered with whether the server syncs.
///
/// For each transaction: a reload of the server's configuration changes what a session has, and behind a pooler sessions are others' too. A commit waits
/// for the disk, whatever was set; 30 seconds is how long it waits for what others hold, and how long the server waits for us while we hold something,
/// unless another limit was set.
pub(super) const SETTINGS: &str = "SELECT current_setting('fsync'),
    set_config('synchronous_commit', CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, $1),
    set_config('lock_timeout', CASE current_setting('lock_timeout') WHEN '0' THEN '30s' ELSE current_setting('lock_timeout') END, $1),
    set_config('idle_in_transaction_session_timeout', CASE current_setting('idle_in_transaction_session_timeout')
        WHEN '0' THEN '30s' ELSE current_setting('idle_in_transaction_session_timeout') END, $1)";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Without an answer of the other machine, to data or to keepalives.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// Whoever comes while all are in use waits for one.
const CONNECTIONS_MAX: usize = 8;
const ATTEMPTS: u32 = 3;
