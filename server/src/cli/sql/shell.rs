//! Statements from the standard input: a shell for people on a terminal, a script otherwise, which ends at its first error.

use std::io::{self, BufRead, IsTerminal, Read, Write};

use signal_hook::consts::SIGINT;
use signal_hook::iterator::Signals;

use super::session::{Running, Session};
use super::statements::Statements;
use crate::cli::temporary::locked;
use crate::exit::{Exit, Failure};
use crate::output::print_line;
use crate::thread::spawn;

pub(super) fn run(session: &mut Session) -> Result<(), Failure> {
    let (stdin, is_terminal) = (io::stdin().lock(), io::stdin().is_terminal());
    if is_terminal {
        print_line("Statements end with a semicolon; .help lists commands.")?;
        watch_for_interrupts(session.running())?;
    }
    let mut shell = Shell { session, is_terminal, pending: Statements::default() };
    let mut lines = Lines { input: stdin };
    while let Some(line) = lines.next(|| shell.prompt())? {
        match shell.take(&line) {
            Ok(Next::Read) => {}
            Ok(Next::Quit) => return Ok(()),
            Err(failure) => shell.failed(failure)?,
        }
    }
    let last = std::mem::take(&mut shell.pending);
    last.rest().map_or(Ok(()), |last| shell.session.run(last)).or_else(|failure| shell.failed(failure))
}

struct Shell<'a> {
    session: &'a mut Session,
    is_terminal: bool,
    /// What was read and not yet run.
    pending: Statements,
}

enum Next {
    Read,
    Quit,
}

impl Shell<'_> {
    fn prompt(&self) -> io::Result<()> {
        if !self.is_terminal {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        out.write_all(if self.pending.is_between() { b"tidelog> " } else { b"    ...> " })?;
        out.flush()
    }

    /// Takes a line, and runs the statements that end in it.
    fn take(&mut self, line: &str) -> Result<Next, Failure> {
        if self.pending.is_between() && line.starts_with('.') {
            return self.command(line.trim_end().trim_end_matches(';'));
        }
        self.pending.push(line);
        while let Some(statement) = self.pending.next_ended() {
            self.session.run(statement)?;
        }
        check_bytes(self.pending.rest_bytes())?;
        Ok(Next::Read)
    }

    fn command(&mut self, line: &str) -> Result<Next, Failure> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            [".quit" | ".exit"] => return Ok(Next::Quit),
            [".help"] => print_line(HELP)?,
            [".tables"] => self.session.tables()?.iter().try_for_each(|table| print_line(table))?,
            [".schema"] => self.session.schema(None)?.iter().try_for_each(|table| print_line(table))?,
            [".schema", table] => self.session.schema(Some(table.trim_matches('"')))?.iter().try_for_each(|table| print_line(table))?,
            _ => return Err(Failure::new(Exit::Failed, format!("unknown command {line}: .help lists them"))),
        }
        Ok(Next::Read)
    }

    /// On a terminal it is told, and the next statement may do better.
    fn failed(&mut self, failure: Failure) -> Result<(), Failure> {
        if !self.is_terminal || matches!(failure, Failure::ClosedPipe) {
            return Err(failure);
        }
        self.pending = Statements::default();
        crate::cli::report(&failure);
        Ok(())
    }
}

/// Lines as they come, none of them longer than a statement may be.
struct Lines<R> {
    input: R,
}

impl<R: BufRead> Lines<R> {
    fn next(&mut self, prompt: impl FnOnce() -> io::Result<()>) -> Result<Option<String>, Failure> {
        prompt().map_err(Failure::output)?;
        let mut line = Vec::new();
        let limit = STATEMENT_BYTES_MAX as u64 + 1;
        let read = self.input.by_ref().take(limit).read_until(b'\n', &mut line);
        read.map_err(|error| Failure::because(Exit::Failed, "reading the standard input", error))?;
        // Before it is looked at as text: what was left out may begin in the middle of a character.
        check_bytes(line.len())?;
        let line = String::from_utf8(line).map_err(|error| Failure::because(Exit::Failed, "the standard input is no text", error))?;
        Ok((!line.is_empty()).then_some(line))
    }
}

fn check_bytes(statement_bytes: usize) -> Result<(), Failure> {
    let is_more = statement_bytes > STATEMENT_BYTES_MAX;
    if is_more { Err(Failure::new(Exit::Failed, format!("a statement of more than {STATEMENT_BYTES_MAX} bytes"))) } else { Ok(()) }
}

/// Ctrl-C ends the statement that runs, or else the program.
fn watch_for_interrupts(running: Running) -> Result<(), Failure> {
    let mut signals = Signals::new([SIGINT]).map_err(|error| Failure::because(Exit::Failed, "waiting for signals", error))?;
    spawn("wait for signals", move || {
        for signal in signals.forever() {
            match &*locked(&running) {
                Some(statement) => statement.interrupt(),
                None => std::process::exit(128 + signal),
            }
        }
    })?;
    Ok(())
}

const HELP: &str = "\
.tables          the topics, each a table
.schema [TOPIC]  the columns of a table, or of all of them
.help            this
.quit            the end; so is Ctrl-D
Everything else is SQL, up to a semicolon; a name with a slash is quoted: \"shop/orders\". Ctrl-C ends a statement.";

const STATEMENT_BYTES_MAX: usize = 1 << 20;
