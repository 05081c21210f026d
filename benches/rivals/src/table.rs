//! The table, in Markdown: a row a question, a column a log, ratios to the best of the others.

use std::fmt::Write;

use crate::cells::Cell;
use crate::log::Entry;
use crate::rows::ROWS;
use crate::sample::Sample;

/// Medians of all rounds.
pub(crate) fn markdown(cells: &[Cell], rounds: usize, scale: f64) -> String {
    let mut logs: Vec<&'static Entry> = Vec::new();
    cells.iter().for_each(|of| {
        if logs.iter().all(|log| log.name != of.log.name) {
            logs.push(of.log);
        }
    });
    let names: Vec<&str> = logs.iter().map(|log| log.name).collect();
    let mut text = format!(
        "Medians of {rounds} rounds at scale {scale}; in brackets CPU time of the whole process; bold is the fastest; a dash is what a log does not offer.\n\n"
    );
    let _ = writeln!(text, "| | {} | tidelog to the best other |\n|---|{}--:|", names.join(" | "), "--:|".repeat(names.len()));
    let calls = |which: fn(&Entry) -> Option<&'static str>| logs.iter().map(|log| which(log).unwrap_or("-")).collect::<Vec<_>>().join(" | ");
    let _ = writeln!(text, "| calls before an append returns that survives a kill | {} | |", calls(|log| log.kill));
    let _ = writeln!(text, "| and that survives the loss of power | {} | |", calls(|log| log.power_loss));
    let _ = writeln!(text, "| reads verify checksums | {} | |", calls(|log| Some(if log.verifies { "yes" } else { "no" })));
    for row in ROWS {
        let of = |log: &Entry| cells.iter().find(|of| of.row.name == row.name && of.log.name == log.name);
        let medians: Vec<Option<Sample>> = logs.iter().map(|log| of(log).and_then(|of| median(&of.samples))).collect();
        if medians.iter().all(Option::is_none) {
            continue;
        }
        let best = medians.iter().flatten().map(|sample| sample.wall).fold(f64::INFINITY, f64::min);
        let shown: Vec<String> =
            medians.iter().map(|sample| sample.map_or("-".to_owned(), |sample| cell(sample, row.is_once(), sample.wall == best))).collect();
        let others = logs
            .iter()
            .zip(&medians)
            .filter(|(log, _)| log.name != "tidelog")
            .filter_map(|(_, sample)| Some((*sample)?.wall))
            .fold(f64::INFINITY, f64::min);
        let own = logs.iter().zip(&medians).find(|(log, _)| log.name == "tidelog").and_then(|(_, sample)| *sample);
        let ratio = own.filter(|_| others.is_finite()).map_or(String::new(), |own| format!("{:.2}x", others / own.wall));
        let _ = writeln!(text, "| {} | {} | {ratio} |", row.name, shown.join(" | "));
    }
    text
}

/// The sample of the median wall time.
fn median(samples: &[Sample]) -> Option<Sample> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(|left, right| left.wall.total_cmp(&right.wall));
    sorted.get(sorted.len() / 2).copied()
}

fn cell(sample: Sample, is_once: bool, is_best: bool) -> String {
    let rate = |ns: f64| match 1e9 / ns {
        rate if rate >= 1e6 => format!("{:.2} M/s", rate / 1e6),
        rate => format!("{:.1} k/s", rate / 1e3),
    };
    let wall = if is_once { time(sample.wall) } else { rate(sample.wall) };
    let wall = if is_best { format!("**{wall}**") } else { wall };
    format!("{wall} [{}]", time(sample.cpu))
}

fn time(ns: f64) -> String {
    match ns {
        ns if ns < 1e3 => format!("{ns:.0} ns"),
        ns if ns < 1e6 => format!("{:.1} us", ns / 1e3),
        ns => format!("{:.1} ms", ns / 1e6),
    }
}
