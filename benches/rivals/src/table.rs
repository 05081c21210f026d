//! The medians as a table of figures, and that table in Markdown: a row a question, a column a log, ratios to the best of the others that do as
//! much, and to the mark.

use std::fmt::Write;

use crate::cells::Cell;
use crate::log::{Entry, Opens, Reads};
use crate::rows::{End, Line, ROWS, Row, SHORT, Unit};
use crate::sample::{Sample, median};

/// All that was measured.
pub(crate) struct Table {
    /// In the order of the columns.
    pub(crate) logs: Vec<&'static Entry>,
    pub(crate) lines: Vec<TableLine>,
    rounds: usize,
    scale: f64,
}

/// One line, and what each did for it.
pub(crate) struct TableLine {
    pub(crate) line: Line,
    row: &'static Row,
    pub(crate) mark: Option<Figures>,
    /// Of each log.
    pub(crate) figures: Vec<Answer>,
}

pub(crate) enum Answer {
    Figures(Figures),
    /// It does not offer this, or was not asked.
    None,
    /// It ended otherwise than with a figure.
    Failed,
}

/// A figure, and what is shown beside it.
#[derive(Clone, Copy)]
pub(crate) struct Figures {
    pub(crate) value: f64,
    beside: [f64; 2],
    /// Of something that does as much as the engine: it is compared.
    pub(crate) is_matched: bool,
}

impl Table {
    pub(crate) fn new(cells: &[Cell], rounds: usize, scale: f64) -> Self {
        let mut logs: Vec<&'static Entry> = Vec::new();
        for log in cells.iter().filter_map(|cell| cell.log) {
            if logs.iter().all(|known| known.name != log.name) {
                logs.push(log);
            }
        }
        let lines = ROWS.iter().flat_map(|row| lines_of(row, cells, &logs)).collect();
        Self { logs, lines, rounds, scale }
    }

    pub(crate) fn markdown(&self) -> String {
        let names: Vec<&str> = self.logs.iter().map(|log| log.name).collect();
        let mut text = format!("{} {LEGEND}\n\n", self.run());
        let _ =
            writeln!(text, "| | mark | {} | to the best other | to the mark |\n|---|--:|{}--:|--:|", names.join(" | "), "--:|".repeat(names.len()));
        for (name, of) in TRAITS {
            let _ = writeln!(text, "| {name} | | {} | | |", self.logs.iter().map(|log| of(log)).collect::<Vec<_>>().join(" | "));
        }
        for line in &self.lines {
            let best = line.best(|_| true).map(|(_, figures)| figures.value);
            let own = self.own(line);
            // What is compared has its own ratio behind it.
            let cell = |(log, answer): (&&Entry, &Answer)| {
                let compared = answer.figures().filter(|figures| figures.is_matched && log.name != OWN);
                format!(
                    "{}{}",
                    line.answer(answer, best),
                    own.zip(compared).map_or(String::new(), |(own, other)| format!(" {}", ratio(own, other.value)))
                )
            };
            let cells: Vec<String> = self.logs.iter().zip(&line.figures).map(cell).collect();
            let _ = writeln!(text, "| {} | {} | {} | {} |", line.line.name, line.mark_cell(), cells.join(" | "), self.ratios(line));
        }
        text
    }

    /// The same with the best of the others alone.
    pub(crate) fn best_markdown(&self) -> String {
        let mut text =
            format!("{} {LEGEND}\n\n| | mark | tidelog | best other | to the best other | to the mark |\n|---|--:|--:|--:|--:|--:|\n", self.run());
        for line in &self.lines {
            let best = line.best(|_| true).map(|(_, figures)| figures.value);
            let own = self.own(line).map_or("-".to_owned(), |own| line.cell(own, best));
            let other = self.best_other(line).map_or("-".to_owned(), |(at, other)| format!("{} {}", line.cell(other, best), self.logs[at].name));
            let _ = writeln!(text, "| {} | {} | {own} | {other} | {} |", line.line.name, line.mark_cell(), self.ratios(line));
        }
        text
    }

    /// A choice of rows, with what an append of each survives, for those who look once.
    pub(crate) fn short_markdown(&self) -> String {
        assert!(SHORT.iter().all(|(name, ..)| ROWS.iter().any(|row| row.name == *name)), "a row that is none");
        let mut text = format!("{}\n\n| | survives | tidelog | best other | ratio |\n|---|---|--:|--:|--:|\n", self.run());
        let mut missing = Vec::new();
        for (row, name, survives) in SHORT {
            let line = self.lines.iter().find(|line| line.row.name == *row && line.line.at == 0);
            let measured = line.and_then(|line| Some((line, self.own(line)?, self.best_other(line)?)));
            let Some((line, own, (at, other))) = measured else {
                missing.push(*name);
                continue;
            };
            let [left, right] = [(own, other), (other, own)].map(|(figures, than)| {
                let shown = shown(line.line.unit, figures.value);
                if figures.value <= than.value { format!("**{shown}**") } else { shown }
            });
            let note = if self.logs[at].reads == Reads::Trusting { ", whose reads verify nothing" } else { "" };
            let _ = writeln!(text, "| {name} | {survives} | {left} | {right} {}{note} | {} |", self.logs[at].name, ratio(own, other.value));
        }
        if !missing.is_empty() {
            let _ = writeln!(text, "\nNot measured: {}", missing.join("; "));
        }
        text
    }

    /// To the best of the others, and to the mark: the last two columns.
    fn ratios(&self, line: &TableLine) -> String {
        let own = self.own(line);
        let to = |other: Option<f64>| own.zip(other).map_or(String::new(), |(own, other)| ratio(own, other));
        format!("{} | {}", to(self.best_other(line).map(|(_, other)| other.value)), to(line.mark.map(|mark| mark.value)))
    }

    fn best_other(&self, line: &TableLine) -> Option<(usize, Figures)> {
        line.best(|at| self.logs[at].name != OWN)
    }

    /// How the figures were made.
    pub(crate) fn run(&self) -> String {
        format!("Medians of {} interleaved rounds, at scale {} of the records that a row names.", self.rounds, self.scale)
    }

    fn own(&self, line: &TableLine) -> Option<Figures> {
        let at = self.logs.iter().position(|log| log.name == OWN)?;
        line.figures[at].figures().copied()
    }
}

/// Above 1 is the engine ahead.
fn ratio(own: Figures, other: f64) -> String {
    format!("{:.2}x", other / own.value)
}

const LEGEND: &str = "In brackets CPU time of the whole process, a record or of all. Bold is the best of those that do as much as tidelog; what is \
                      slanted and in brackets does less, and is not compared: it reads from memory, or opens without a checksum. A dash is what a \
                      log does not offer. A ratio above 1 is tidelog ahead.";

/// What the engine is called among the logs.
pub(crate) const OWN: &str = "tidelog";

type Trait = (&'static str, fn(&Entry) -> &'static str);

const TRAITS: &[Trait] = &[
    ("calls before an append returns that survives a kill", |log| log.kill.unwrap_or("-")),
    ("and that survives the loss of power", |log| log.power_loss.unwrap_or("-")),
    ("reads", |log| match log.reads {
        Reads::Verified => "verified",
        Reads::Trusting => "not verified",
        Reads::Memory => "from its memory",
    }),
    ("open after a clean close", |log| opens(log.opens(End::Closed))),
    ("open after a kill", |log| opens(log.opens(End::Killed))),
];

fn opens(opens: Opens) -> &'static str {
    match opens {
        Opens::Verified => "verified",
        Opens::Trusting => "not verified",
        Opens::Lost => "-",
    }
}

fn lines_of(row: &'static Row, cells: &[Cell], logs: &[&'static Entry]) -> Vec<TableLine> {
    let of = |by: Option<&str>| cells.iter().find(|cell| cell.row.name == row.name && cell.log.map(|log| log.name) == by);
    let medians: Vec<(&Entry, Option<&Cell>, Option<Sample>)> =
        logs.iter().map(|log| (*log, of(Some(log.name)), of(Some(log.name)).and_then(|cell| median(&cell.samples)))).collect();
    let mark = of(None).and_then(|cell| median(&cell.samples));
    if mark.is_none() && medians.iter().all(|(_, cell, sample)| sample.is_none() && !cell.is_some_and(|cell| cell.is_failed)) {
        return Vec::new();
    }
    let line_of = |line: Line| {
        // What this system does not count is no figure.
        let figures = |sample: &Sample, is_matched| Some(Figures::new(&line, sample, is_matched)).filter(|figures| !figures.value.is_nan());
        let answer = |(log, cell, sample): &(&Entry, Option<&Cell>, Option<Sample>)| match sample {
            Some(sample) => figures(sample, row.is_matched_by(log)).map_or(Answer::None, Answer::Figures),
            None if cell.is_some_and(|cell| cell.is_failed) => Answer::Failed,
            None => Answer::None,
        };
        let (mark, figures) = (mark.as_ref().and_then(|mark| figures(mark, false)), medians.iter().map(answer).collect());
        TableLine { line, row, mark, figures }
    };
    row.lines().into_iter().map(line_of).collect()
}

impl Figures {
    fn new(line: &Line, sample: &Sample, is_matched: bool) -> Self {
        let figure = |at: usize| sample.0.get(line.at + at).copied().unwrap_or(f64::NAN);
        Self { value: figure(0), beside: [figure(1), figure(2)], is_matched }
    }
}

impl Answer {
    pub(crate) fn figures(&self) -> Option<&Figures> {
        if let Self::Figures(figures) = self { Some(figures) } else { None }
    }
}

impl TableLine {
    pub(crate) fn mark_name(&self) -> &'static str {
        self.row.mark.map_or("", |mark| mark.name())
    }

    fn mark_cell(&self) -> String {
        self.mark.map_or(String::new(), |mark| format!("{} {}", self.cell(mark, None), self.mark_name()))
    }

    /// The best of the logs that are chosen, among those that are compared: which, and how it did.
    fn best(&self, is_chosen: impl Fn(usize) -> bool) -> Option<(usize, Figures)> {
        let compared = self.figures.iter().enumerate().filter_map(|(at, answer)| Some((at, *answer.figures()?)));
        compared.filter(|(at, figures)| is_chosen(*at) && figures.is_matched).min_by(|(_, left), (_, right)| left.value.total_cmp(&right.value))
    }

    fn answer(&self, answer: &Answer, best: Option<f64>) -> String {
        match answer {
            Answer::Figures(figures) if !figures.is_matched => format!("*({})*", self.cell(*figures, None)),
            Answer::Figures(figures) => self.cell(*figures, best),
            Answer::None => "-".to_owned(),
            Answer::Failed => "failed".to_owned(),
        }
    }

    fn cell(&self, figures: Figures, best: Option<f64>) -> String {
        let shown = shown(self.line.unit, figures.value);
        let shown = if best == Some(figures.value) { format!("**{shown}**") } else { shown };
        match self.line.unit {
            Unit::Rate | Unit::Time => format!("{shown} [{}]", time(figures.beside[0])),
            Unit::Quantiles => format!("{shown} / {} / {}", time(figures.beside[0]), time(figures.beside[1])),
            Unit::Bytes => shown,
        }
    }
}

pub(crate) fn shown(unit: Unit, value: f64) -> String {
    match unit {
        Unit::Rate => match 1e9 / value {
            rate if rate >= 1e6 => format!("{:.2} M/s", rate / 1e6),
            rate if rate >= 1e3 => format!("{:.1} k/s", rate / 1e3),
            rate => format!("{rate:.0} /s"),
        },
        Unit::Time | Unit::Quantiles => time(value),
        Unit::Bytes if value >= 1e6 => format!("{:.1} MB", value / 1e6),
        Unit::Bytes if value >= 1e4 => format!("{:.0} kB", value / 1e3),
        Unit::Bytes => format!("{value:.1} B"),
    }
}

fn time(ns: f64) -> String {
    match ns {
        ns if ns < 1e3 => format!("{ns:.0} ns"),
        ns if ns < 1e6 => format!("{:.1} us", ns / 1e3),
        ns => format!("{:.1} ms", ns / 1e6),
    }
}
