//! Runs cells, a row of a log or of its mark each, in rounds and each in a process of its own: what one log leaves in memory, or breaks, is not
//! the next one's. Measures nothing itself.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use crate::log::Entry;
use crate::logs::LOGS;
use crate::plain::values::Rng;
use crate::rows::{End, ROWS, Row};
use crate::sample::Sample;

/// A log's answers to a row, or the mark's; none if it cannot do it.
pub(crate) struct Cell {
    pub(crate) row: &'static Row,
    /// None is the row's mark.
    pub(crate) log: Option<&'static Entry>,
    pub(crate) samples: Vec<Sample>,
    /// It ended otherwise than with a sample, once at least.
    pub(crate) is_failed: bool,
}

impl Cell {
    pub(crate) fn by(&self) -> &'static str {
        self.log.map_or(MARK, |log| log.name)
    }

    fn can_be_done(&self) -> bool {
        self.log.map_or(self.row.mark.is_some(), |log| self.row.is_for(log))
    }

    fn run(&self, program: &Path, path: &Path) -> Result<Sample, String> {
        if let Some(end) = self.row.filled_by().filter(|_| self.log.is_some()) {
            let (status, _) = self.start(FILL, program, path)?;
            if !is_ended_by(end, status) {
                return Err(format!("what was to be measured was not written: {status}"));
            }
        }
        let (status, text) = self.start(MEASURE, program, path)?;
        if !status.success() {
            return Err(status.to_string());
        }
        Sample::of_line(text.lines().last().unwrap_or_default()).ok_or_else(|| format!("it printed {text:?}"))
    }

    fn start(&self, stage: &str, program: &Path, path: &Path) -> Result<(ExitStatus, String), String> {
        let mut command = Command::new(program);
        // The one log that takes its directory from the process alone, and prints what it does unless told not to.
        command.env("WALRUS_DATA_DIR", path).env("WALRUS_QUIET", "1");
        command.args([CELL, stage, self.row.name, self.by()]).arg(path).stderr(Stdio::inherit());
        let output = command.output().map_err(|error| error.to_string())?;
        Ok((output.status, String::from_utf8_lossy(&output.stdout).into_owned()))
    }
}

fn is_ended_by(end: End, status: ExitStatus) -> bool {
    match end {
        End::Closed => status.success(),
        End::Killed => status.signal() == Some(SIGKILL),
    }
}

/// What is to be measured.
pub(crate) struct Cells {
    cells: Vec<Cell>,
}

impl Cells {
    /// Those that one of the filters is for; all if there is none.
    pub(crate) fn new(filters: &[String]) -> Self {
        let contenders = || std::iter::once(None).chain(LOGS.iter().map(Some));
        let all = ROWS.iter().flat_map(|row| contenders().map(move |log| Cell { row, log, samples: Vec::new(), is_failed: false }));
        let is_wanted = |cell: &Cell| filters.is_empty() || filters.iter().any(|filter| is_for(filter, cell.row.name, cell.by()));
        Self { cells: all.filter(is_wanted).collect() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// Runs them all; what `kept` has is not run again, and what is run is added to it.
    pub(crate) fn run(mut self, rounds: usize, mut kept: Option<Kept>) -> Vec<Cell> {
        // Beside the program: the build's disk is never memory, as /tmp may be.
        let program = std::env::current_exe().expect("it has a path");
        let dir = tempfile::tempdir_in(program.parent().expect("it is in a directory")).expect("a directory");
        let mut rng = Rng(7);
        let mut order: Vec<usize> = (0..self.cells.len()).filter(|cell| self.cells[*cell].can_be_done()).collect();
        for round in 1..=rounds {
            rng.shuffle(&mut order);
            for (done, cell) in order.iter().enumerate() {
                let cell = &mut self.cells[*cell];
                if let Some(sample) = kept.as_ref().and_then(|kept| kept.get(round, cell)) {
                    cell.samples.push(sample);
                    continue;
                }
                eprintln!("round {round} of {rounds}, {} of {}: {}, {}", done + 1, order.len(), cell.by(), cell.row.name);
                let path = dir.path().join("log");
                std::fs::create_dir(&path).expect("a directory");
                match cell.run(&program, &path) {
                    Ok(sample) => {
                        if let Some(kept) = &mut kept {
                            kept.add(round, cell, &sample);
                        }
                        cell.samples.push(sample);
                    }
                    Err(why) => {
                        eprintln!("FAILED: {}, {}: {why}", cell.by(), cell.row.name);
                        cell.is_failed = true;
                    }
                }
                std::fs::remove_dir_all(&path).expect("it is removed");
            }
        }
        self.cells
    }
}

/// A file of what was measured, so that a run that is ended goes on.
pub(crate) struct Kept {
    file: File,
    samples: HashMap<String, Sample>,
}

impl Kept {
    pub(crate) fn open(path: &str) -> std::io::Result<Self> {
        let mut file = File::options().read(true).append(true).create(true).open(path)?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        // A line that was being written when the run was ended has no end.
        let whole = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
        let samples =
            whole.filter_map(|line| line.rsplit_once('\t')).filter_map(|(name, figures)| Some((name.to_owned(), Sample::of_line(figures)?)));
        Ok(Self { samples: samples.collect(), file })
    }

    fn get(&self, round: usize, cell: &Cell) -> Option<Sample> {
        self.samples.get(&name_of(round, cell)).cloned()
    }

    fn add(&mut self, round: usize, cell: &Cell, sample: &Sample) {
        let line = format!("{}\t{}\n", name_of(round, cell), sample.to_line());
        self.file.write_all(line.as_bytes()).expect("what was measured is kept");
    }
}

fn name_of(round: usize, cell: &Cell) -> String {
    format!("{round}\t{}\t{}", cell.row.name, cell.by())
}

/// `ROW:LOG`, parts of both names, or a part of one of them; small and capital letters are the same.
fn is_for(filter: &str, row: &str, log: &str) -> bool {
    let has = |name: &str, part: &str| name.to_lowercase().contains(&part.to_lowercase());
    match filter.split_once(':') {
        Some((row_part, log_part)) => has(row, row_part) && has(log, log_part),
        None => has(row, filter) || has(log, filter),
    }
}

/// First argument of the process of a cell; then come stage, row, log and directory.
pub(crate) const CELL: &str = "--cell";
pub(crate) const FILL: &str = "fill";
const MEASURE: &str = "measure";

/// What stands for a log where the row's mark is meant.
pub(crate) const MARK: &str = "mark";

const SIGKILL: i32 = 9;
