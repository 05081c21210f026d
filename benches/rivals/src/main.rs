//! tidelog beside other logs and embedded stores, as a Markdown table: `cargo run --release`, from this directory.
//!
//! Every cell starts from an empty directory, writes the same values, and reads back what it wrote before it counts. A round runs all cells in
//! a new order; the table has the medians of all rounds. `TIDELOG_BENCH_ROUNDS` and `TIDELOG_BENCH_SCALE` say how many and how large; names of
//! rows or of logs as arguments choose some. What each log calls before an append returns was seen by `strace -f -c` of its cells alone.

use std::process::ExitCode;

mod cells;
mod log;
mod logs;
mod table;
#[path = "../../marks/values.rs"]
mod values;

fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let (rounds, scale) = (number_from("TIDELOG_BENCH_ROUNDS", 5.0) as usize, number_from("TIDELOG_BENCH_SCALE", 1.0));
    let cells = cells::Cells::new(&wanted, scale);
    if cells.is_empty() {
        eprintln!("nothing is named {}; rows: {}; logs: {}", wanted.join(" "), cells::row_names().join(", "), logs::names().join(", "));
        return ExitCode::from(2);
    }
    let samples = cells.run(rounds);
    print!("{}", table::markdown(&samples, rounds));
    ExitCode::SUCCESS
}

/// # Panics
/// If the variable is set to something else than a positive number.
fn number_from(variable: &str, otherwise: f64) -> f64 {
    let Ok(text) = std::env::var(variable) else { return otherwise };
    let number: f64 = text.parse().unwrap_or_else(|_| panic!("{variable} is a number, not {text}"));
    assert!(number > 0.0, "{variable} is positive, not {text}");
    number
}
