//! A connection with the topics as tables, and statements that are run on it. SQLite itself refuses whatever would write, or open a file.

use std::sync::{Arc, Mutex};

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::{Connection, ErrorCode, InterruptHandle};
use tidelog::{ReadIsolation, ReadOnlyStore, TopicName};
use tidelog_sql::LogTables;

use super::format::{Format, Printer};
use super::statements::Statements;
use super::table_names::TableNames;
use crate::cli::say;
use crate::cli::store::topic_failure;
use crate::cli::temporary::locked;
use crate::exit::{Exit, Failure};
use crate::output::stdout;

pub(super) struct Session {
    store: ReadOnlyStore,
    tables: LogTables,
    format: Format,
    connection: Connection,
    /// What the connection has tables of, and their names.
    topics: Vec<TopicName>,
    table_names: Vec<String>,
    running: Running,
}

/// The statement that is being run, if there is one: whoever holds this may interrupt it.
pub(super) type Running = Arc<Mutex<Option<InterruptHandle>>>;

impl Session {
    pub(super) fn new(store: ReadOnlyStore, isolation: ReadIsolation, format: Format) -> Result<Self, Failure> {
        let tables = LogTables::new(store.clone()).isolation(isolation);
        let topics = store.topics().map_err(|error| topic_failure("*", error))?;
        let (connection, table_names) = connect(&tables, &topics)?;
        Ok(Self { connection, topics, table_names, store, tables, format, running: Running::default() })
    }

    /// What a statement can be interrupted by.
    pub(super) fn running(&self) -> Running {
        self.running.clone()
    }

    /// Runs all statements of a text, the last one with or without a semicolon.
    pub(super) fn run_all(&mut self, text: &str) -> Result<(), Failure> {
        let mut statements = Statements::of(text);
        while let Some(statement) = statements.next_ended() {
            self.run(statement)?;
        }
        statements.rest().map_or(Ok(()), |last| self.run(last))
    }

    /// Runs one statement, and prints its rows.
    pub(super) fn run(&mut self, statement: &str) -> Result<(), Failure> {
        self.look_again()?;
        *locked(&self.running) = Some(self.connection.get_interrupt_handle());
        let outcome = print_rows(&self.connection, statement, self.format);
        *locked(&self.running) = None;
        outcome
    }

    /// The names of the tables.
    pub(super) fn tables(&mut self) -> Result<&[String], Failure> {
        self.look_again()?;
        Ok(&self.table_names)
    }

    /// A table as SQL would make it, or all of them.
    pub(super) fn schema(&mut self, table: Option<&str>) -> Result<Vec<String>, Failure> {
        self.look_again()?;
        match table {
            Some(table) => Ok(vec![self.schema_of(table)?]),
            None => self.table_names.iter().map(|table| self.schema_of(table)).collect(),
        }
    }

    fn schema_of(&self, table: &str) -> Result<String, Failure> {
        let sql = "select group_concat(name || ' ' || type || iif(hidden, ' HIDDEN', ''), ', ') from pragma_table_xinfo(?1)";
        let columns: Option<String> = self.connection.query_row(sql, [table], |row| row.get(0)).map_err(failure)?;
        let columns = columns.ok_or_else(|| Failure::new(Exit::Failed, format!("there is no table {table}")))?;
        Ok(format!("create table \"{table}\" ({columns});"))
    }

    /// Topics come and go beside this process.
    fn look_again(&mut self) -> Result<(), Failure> {
        let topics = self.store.topics().map_err(|error| topic_failure("*", error))?;
        if topics != self.topics {
            (self.connection, self.table_names) = connect(&self.tables, &topics)?;
            self.topics = topics;
        }
        Ok(())
    }
}

/// With the names of its tables. A topic that SQL has no table for costs none of the others.
fn connect(tables: &LogTables, topics: &[TopicName]) -> Result<(Connection, Vec<String>), Failure> {
    let mut connection = Connection::open_in_memory().map_err(failure)?;
    // What is sorted stays in memory: no file is made.
    connection.pragma_update(None, "temp_store", "memory").map_err(failure)?;
    tables.register(&connection).map_err(|error| Failure::because(Exit::Failed, "sql", error))?;
    let TableNames { named, alike } = TableNames::of(topics);
    for topic in alike {
        say(&format!("sql: no table for topic {topic}: SQL does not tell its name from that of another topic"));
    }
    let mut names = Vec::new();
    for (name, topic) in named {
        // The name of a topic has no quotes.
        match connection.execute_batch(&format!("create virtual table temp.\"{name}\" using tidelog('{topic}')")) {
            Ok(()) => names.push(name),
            Err(error) => say(&format!("sql: no table for topic {topic}: {error}")),
        }
    }
    connection.authorizer(Some(judge)).map_err(failure)?;
    Ok((connection, names))
}

/// What reads is let through.
fn judge(context: AuthContext<'_>) -> Authorization {
    match context.action {
        AuthAction::Select | AuthAction::Read { .. } | AuthAction::Recursive => Authorization::Allow,
        AuthAction::Function { function_name } if function_name != "load_extension" => Authorization::Allow,
        AuthAction::Pragma { pragma_name, .. } if READING_PRAGMAS.contains(&pragma_name) => Authorization::Allow,
        _ => Authorization::Deny,
    }
}

fn print_rows(connection: &Connection, sql: &str, format: Format) -> Result<(), Failure> {
    let mut statement = connection.prepare(sql).map_err(failure)?;
    let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let columns = names.len();
    let mut printer = Printer::new(stdout(), format, names).map_err(Failure::output)?;
    let mut rows = statement.query([]).map_err(failure)?;
    loop {
        match rows.next() {
            Ok(Some(row)) => {
                let values = (0..columns).map(|at| row.get_ref(at)).collect::<Result<Vec<_>, _>>().map_err(failure)?;
                printer.row(&values).map_err(Failure::output)?;
            }
            Ok(None) => return printer.finish().map_err(Failure::output),
            Err(error) => {
                // The rows before it are rows.
                printer.finish().map_err(Failure::output)?;
                return Err(failure(error));
            }
        }
    }
}

/// What SQLite says, with the exit code.
fn failure(error: rusqlite::Error) -> Failure {
    let exit = if error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt) { Exit::Damage } else { Exit::Failed };
    let is_denied = error.sqlite_error_code() == Some(ErrorCode::AuthorizationForStatementDenied);
    match error {
        _ if is_denied => Failure::new(exit, "sql: not authorized: this command reads alone"),
        rusqlite::Error::SqlInputError { msg, .. } => Failure::new(exit, format!("sql: {msg}")),
        error => Failure::new(exit, format!("sql: {error}")),
    }
}

const READING_PRAGMAS: [&str; 6] = ["collation_list", "compile_options", "function_list", "table_info", "table_list", "table_xinfo"];
