//! Runs cells, a row of a log each, in rounds and each in a process of its own: what one log leaves in memory, or breaks, is not the next one's.
//! Measures nothing itself.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::log::Entry;
use crate::logs::LOGS;
use crate::rows::{ROWS, Row};
use crate::sample::Sample;
use crate::values::Rng;

/// A log's answers to a row; none if it cannot do it.
pub(crate) struct Cell {
    pub(crate) row: &'static Row,
    pub(crate) log: &'static Entry,
    pub(crate) samples: Vec<Sample>,
    /// It ended otherwise than with a sample, once at least.
    pub(crate) is_failed: bool,
}

/// What is to be measured.
pub(crate) struct Cells {
    cells: Vec<Cell>,
}

impl Cells {
    /// Those that one of the filters is for; all if there is none.
    pub(crate) fn new(filters: &[String]) -> Self {
        let is_wanted = |row: &Row, log: &Entry| filters.is_empty() || filters.iter().any(|filter| is_for(filter, row.name, log.name));
        let all = ROWS.iter().flat_map(|row| LOGS.iter().map(move |log| (row, log)));
        let wanted = all.filter(|(row, log)| is_wanted(row, log));
        Self { cells: wanted.map(|(row, log)| Cell { row, log, samples: Vec::new(), is_failed: false }).collect() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    pub(crate) fn run(mut self, rounds: usize) -> Vec<Cell> {
        // Beside the program: the build's disk is never memory, as /tmp may be.
        let program = std::env::current_exe().expect("it has a path");
        let dir = tempfile::tempdir_in(program.parent().expect("it is in a directory")).expect("a directory");
        let mut rng = Rng(7);
        let mut order: Vec<usize> = (0..self.cells.len()).filter(|cell| self.cells[*cell].row.is_for(self.cells[*cell].log)).collect();
        for round in 1..=rounds {
            rng.shuffle(&mut order);
            for (done, cell) in order.iter().enumerate() {
                let Cell { row, log, samples, is_failed } = &mut self.cells[*cell];
                eprintln!("round {round} of {rounds}, {} of {}: {}, {}", done + 1, order.len(), log.name, row.name);
                let path = dir.path().join("log");
                std::fs::create_dir(&path).expect("a directory");
                match run(&program, row, log, &path) {
                    Ok(sample) => samples.push(sample),
                    Err(why) => {
                        eprintln!("FAILED: {}, {}: {why}", log.name, row.name);
                        *is_failed = true;
                    }
                }
                std::fs::remove_dir_all(&path).expect("it is removed");
            }
        }
        self.cells
    }
}

/// `ROW:LOG`, parts of both names, or a part of one of them; small and capital letters are the same.
fn is_for(filter: &str, row: &str, log: &str) -> bool {
    let has = |name: &str, part: &str| name.to_lowercase().contains(&part.to_lowercase());
    match filter.split_once(':') {
        Some((row_part, log_part)) => has(row, row_part) && has(log, log_part),
        None => has(row, filter) || has(log, filter),
    }
}

fn run(program: &Path, row: &Row, log: &Entry, path: &Path) -> Result<Sample, String> {
    let mut command = Command::new(program);
    // The one log that takes its directory from the process alone, and prints what it does unless told not to.
    command.env("WALRUS_DATA_DIR", path).env("WALRUS_QUIET", "1");
    command.arg(CELL).args([row.name, log.name]).arg(path).stderr(Stdio::inherit());
    let output = command.output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(output.status.to_string());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Sample::of_line(text.lines().last().unwrap_or_default()).ok_or_else(|| format!("it printed {text:?}"))
}

/// First argument of the process of a cell; then come row, log and directory.
pub(crate) const CELL: &str = "--cell";
