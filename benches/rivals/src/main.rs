//! tidelog beside other logs and embedded stores, as a Markdown table: `cargo run --release`, from this directory; `--help` says the rest.
//!
//! Every cell starts from an empty directory and in a process of its own, writes the same values, and reads back what it wrote before it
//! counts. Each row has a mark, plain code that does the least possible. A round runs all cells in a new order; the table has the medians of all
//! rounds. `.ci/traced` checks that each log makes the calls which the table names.

use std::path::Path;
use std::process::ExitCode;

mod cell;
mod cells;
mod chart;
mod log;
mod logs;
mod marks;
/// Of the engine's own benches, a part.
#[path = "../../marks"]
#[allow(dead_code)]
mod plain {
    pub(crate) mod map_log;
    pub(crate) mod mapped_checksum;
    pub(crate) mod resident;
    mod slot;
    pub(crate) mod synced_writes;
    pub(crate) mod values;
    pub(crate) mod write_log;

    pub(crate) use slot::{load, store, stored_bytes};
}
mod rows;
mod sample;
mod table;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (rounds, scale) = (number_from("TIDELOG_BENCH_ROUNDS", 5.0) as usize, number_from("TIDELOG_BENCH_SCALE", 1.0));
    if let [flag, stage, row, log, dir] = arguments.as_slice()
        && flag == cells::CELL
    {
        if stage == cells::FILL {
            cell::fill(row, log, Path::new(dir), scale);
        } else {
            println!("{}", cell::measure(row, log, Path::new(dir), scale).to_line());
        }
        return ExitCode::SUCCESS;
    }
    if arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
        println!("{USAGE}\n\nRows:\n{}\nLogs: {}", lines(rows::ROWS.iter().map(|row| row.name)), logs::names().join(", "));
        return ExitCode::SUCCESS;
    }
    let Some(asked) = Asked::new(arguments) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let cells = cells::Cells::new(&asked.filters);
    if cells.is_empty() {
        eprintln!("no row and no log is named {}: see --help", asked.filters.join(" or "));
        return ExitCode::from(2);
    }
    let kept = match asked.keep.as_deref().map(cells::Kept::open).transpose() {
        Ok(kept) => kept,
        Err(error) => {
            eprintln!("{}: {error}", asked.keep.unwrap_or_default());
            return ExitCode::FAILURE;
        }
    };
    let cells = cells.run(rounds, kept);
    let table = table::Table::new(&cells, rounds, scale);
    let text = match asked.form {
        Form::Full => table.markdown(),
        Form::Best => table.best_markdown(),
        Form::Short => table.short_markdown(),
    };
    print!("{text}");
    if let Some(path) = asked.svg
        && let Err(error) = std::fs::write(&path, chart::svg(&table))
    {
        eprintln!("{path}: {error}");
        return ExitCode::FAILURE;
    }
    if cells.iter().any(|cell| cell.is_failed) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// What the command line asks for.
struct Asked {
    filters: Vec<String>,
    svg: Option<String>,
    keep: Option<String>,
    form: Form,
}

enum Form {
    Full,
    Best,
    Short,
}

impl Asked {
    /// None if there is an option that is not known, or without its file.
    fn new(arguments: Vec<String>) -> Option<Self> {
        let (mut asked, mut arguments) = (Self { filters: Vec::new(), svg: None, keep: None, form: Form::Full }, arguments.into_iter());
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--svg" => asked.svg = Some(arguments.next()?),
                "--keep" => asked.keep = Some(arguments.next()?),
                "--best" => asked.form = Form::Best,
                "--short" => asked.form = Form::Short,
                option if option.starts_with('-') => return None,
                _ => asked.filters.push(argument),
            }
        }
        if let Ok(filters) = std::env::var("TIDELOG_BENCH_ONLY") {
            asked.filters.extend(filters.split(';').map(str::to_owned));
        }
        Some(asked)
    }
}

fn lines<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|name| format!("  {name}\n")).collect()
}

/// # Panics
/// If the variable is set to something else than a positive number.
fn number_from(variable: &str, otherwise: f64) -> f64 {
    let Ok(text) = std::env::var(variable) else { return otherwise };
    let number: f64 = text.parse().unwrap_or_else(|_| panic!("{variable} is a number, not {text}"));
    assert!(number > 0.0, "{variable} is positive, not {text}");
    number
}

const USAGE: &str = "usage: tidelog-rivals [--best | --short] [--svg FILE] [--keep FILE] [FILTER]...
Measures tidelog beside other logs and stores and beside plain code, and prints a Markdown table. Progress goes to stderr.
Exit codes: 1 a cell failed, or the file could not be written; 2 nothing is named so, or an option is not known.

  --best                the best other log of each row alone
  --short               the same of fewer rows, without CPU times and marks
  --svg FILE            draws the table as well, as bars
  --keep FILE           keeps what is measured there, and does not measure again what is in it: a run that was ended goes on
  FILTER                ROW:LOG, parts of the names of both, or a part of one of them; only the cells that one of the filters is for.
                        One cell: 'durable append, 8 threads:raft-engine'. The plain code of a row is the log named mark.
  TIDELOG_BENCH_ONLY    more filters, with ; between them
  TIDELOG_BENCH_ROUNDS  how often each cell is run; the table has medians; 5 unless set
  TIDELOG_BENCH_SCALE   how many times the usual number of records; 1 unless set";
