//! What a command ended with: an exit code and, if it failed, one line that says what and why. Prints nothing itself.

use std::error::Error;
use std::fmt;
use std::io;
use std::process::ExitCode;

use crate::input::InputError;

/// The exit codes, the same for every command; the help has the table. Of several, the highest says most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Everything asked for was done.
    Done = 0,
    /// Input or output failed, or the input is wrong.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// The store or the source may not be touched: locked, of another version, foreign, changed.
    Refused = 3,
    /// Damage was found in the store.
    Damage = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command did not do what it was asked for.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Whoever read the output has gone, and the output was all that there was to do: nothing is left to say.
    ClosedPipe,
    /// An error to be shown.
    Error {
        /// The exit code.
        exit: Exit,
        /// What failed.
        what: String,
        /// Why, if there is more to say.
        source: Option<Box<dyn Error + Send + Sync>>,
    },
}

impl Failure {
    /// A failure that says all there is to say.
    pub(crate) fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self::Error { exit, what: what.into(), source: None }
    }

    /// A failure with its cause.
    pub(crate) fn because(exit: Exit, what: impl Into<String>, source: impl Error + Send + Sync + 'static) -> Self {
        Self::Error { exit, what: what.into(), source: Some(Box::new(source)) }
    }

    /// Input that cannot be read or does not fit.
    pub(crate) fn input(error: InputError) -> Self {
        let what = error.to_string();
        match error {
            InputError::Read { source, .. } => Self::because(Exit::Failed, what, source),
            _ => Self::new(Exit::Failed, what),
        }
    }

    /// A failed write to the standard output.
    pub(crate) fn output(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::ClosedPipe,
            _ => Self::because(Exit::Failed, "writing the output", error),
        }
    }

    /// The same failure under another exit code.
    pub(crate) fn with_exit(self, exit: Exit) -> Self {
        match self {
            Self::ClosedPipe => Self::ClosedPipe,
            Self::Error { what, source, .. } => Self::Error { exit, what, source },
        }
    }

    /// The exit code.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::ClosedPipe => Exit::Done,
            Self::Error { exit, .. } => *exit,
        }
    }
}

impl fmt::Display for Failure {
    /// `what: why: why`, on one line. A cause whose text its parent already gave is not repeated.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Error { what, source, .. } = self else { return f.write_str("the output was closed") };
        let mut line = what.clone();
        let mut cause: Option<&dyn Error> = source.as_ref().map(|source| &**source as &dyn Error);
        while let Some(error) = cause {
            let text = error.to_string();
            if !line.contains(&text) {
                line.push_str(": ");
                line.push_str(&text);
            }
            cause = error.source();
        }
        f.write_str(&line.replace(['\n', '\r'], " "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer of\n{0}")]
    struct Outer(#[source] io::Error);

    #[test]
    fn a_failure_is_one_line_that_names_each_cause_once() {
        let failure = Failure::because(Exit::Refused, "opening data", Outer(io::Error::other("inner")));
        assert_eq!(failure.to_string(), "opening data: outer of inner");
        assert_eq!(failure.exit(), Exit::Refused);
    }

    #[test]
    fn a_closed_pipe_is_no_failure_for_the_caller() {
        assert_eq!(Failure::output(io::ErrorKind::BrokenPipe.into()).exit(), Exit::Done);
        assert_eq!(Failure::output(io::ErrorKind::StorageFull.into()).exit(), Exit::Failed);
    }
}
