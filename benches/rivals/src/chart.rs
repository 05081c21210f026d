//! The table drawn as an SVG: a panel a line, a bar a log, each panel on a logarithmic scale of its own. Reads nothing but the table.

use std::fmt::Write;

use crate::rows::Unit;
use crate::table::{OWN, Table, TableLine, shown};

/// The whole picture.
pub(crate) fn svg(table: &Table) -> String {
    let panels: Vec<Panel> = table.lines.iter().map(|line| Panel::new(line, table)).filter(|panel| !panel.bars.is_empty()).collect();
    // Each panel goes to the column that is the shortest so far.
    let (mut ends, mut drawn) = ([HEAD; COLUMNS], String::new());
    for panel in &panels {
        let column = (0..COLUMNS).min_by(|left, right| ends[*left].total_cmp(&ends[*right])).unwrap_or(0);
        panel.draw(&mut drawn, MARGIN + column as f64 * (WIDTH + MARGIN), ends[column]);
        ends[column] += panel.height() + MARGIN;
    }
    let (width, height) = (MARGIN + COLUMNS as f64 * (WIDTH + MARGIN), ends.iter().copied().fold(HEAD, f64::max));
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         font-family=\"DejaVu Sans, Verdana, sans-serif\" font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    let _ = writeln!(text, "<text x=\"{MARGIN}\" y=\"28\" font-size=\"18\" font-weight=\"bold\" fill=\"{INK}\">tidelog beside other logs</text>");
    let legend = [
        table.run(),
        "Every panel has a logarithmic scale of its own: a thin line is a factor of ten.".to_owned(),
        "Pale bars do less, and are not compared: they read from memory, or open without a checksum.".to_owned(),
    ];
    for (number, line) in legend.iter().enumerate() {
        let _ = writeln!(text, "<text x=\"{MARGIN}\" y=\"{}\" fill=\"{INK}\">{}</text>", 48 + 16 * number, escaped(line));
    }
    text.push_str(&drawn);
    text.push_str("</svg>\n");
    text
}

struct Bar {
    name: String,
    fill: &'static str,
    /// What is drawn: records a second, or nanoseconds, or bytes.
    value: f64,
    label: String,
}

struct Panel {
    title: String,
    axis: &'static str,
    unit: Unit,
    /// The best first.
    bars: Vec<Bar>,
}

impl Panel {
    fn new(line: &TableLine, table: &Table) -> Self {
        let unit = line.line.unit;
        let bar = |name: &str, fill, value| Bar { name: name.to_owned(), fill, value: drawn(unit, value), label: shown(unit, value) };
        let of_log = |(log, answer): (&&crate::log::Entry, &crate::table::Answer)| {
            let figures = answer.figures()?;
            let fill = if log.name == OWN {
                OWN_FILL
            } else if figures.is_matched {
                OTHER_FILL
            } else {
                LESS_FILL
            };
            Some(bar(log.name, fill, figures.value))
        };
        let mut bars: Vec<Bar> = table.logs.iter().zip(&line.figures).filter_map(of_log).collect();
        bars.extend(line.mark.map(|mark| bar(line.mark_name(), MARK_FILL, mark.value)));
        bars.sort_by(|left, right| left.value.total_cmp(&right.value));
        let axis = match unit {
            Unit::Rate => {
                bars.reverse();
                "records a second, longer is better"
            }
            Unit::Time | Unit::Bytes => "shorter is better",
            Unit::Quantiles => "median, shorter is better",
        };
        // Of the three quantiles the first is drawn.
        Self { title: line.line.name.replace(" p50 / p99 / p99.9", ""), axis, unit, bars }
    }

    fn height(&self) -> f64 {
        TITLE + self.bars.len() as f64 * STEP + AXIS
    }

    /// Powers of ten at the two ends of the scale. No bar is without length.
    fn decades(&self) -> (i32, i32) {
        let values = || self.bars.iter().map(|bar| bar.value.max(f64::MIN_POSITIVE).log10());
        let (least, most) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
        ((least - 0.1).floor() as i32, (most.ceil() as i32).max((least - 0.1).floor() as i32 + 1))
    }

    fn draw(&self, text: &mut String, x: f64, y: f64) {
        let (from, to) = self.decades();
        let at = |log10: f64| x + NAMES + (log10 - f64::from(from)) / f64::from(to - from) * BARS;
        let (top, bottom) = (y + TITLE, y + TITLE + self.bars.len() as f64 * STEP);
        let _ = writeln!(text, "<text x=\"{x}\" y=\"{}\" font-weight=\"bold\" fill=\"{INK}\">{}</text>", y + 12.0, escaped(&self.title));
        let _ = writeln!(text, "<text x=\"{x}\" y=\"{}\" font-size=\"10\" fill=\"{SOFT}\">log scale, {}</text>", y + 26.0, self.axis);
        for decade in from..=to {
            let line = at(f64::from(decade));
            let _ = writeln!(text, "<line x1=\"{line:.1}\" y1=\"{top}\" x2=\"{line:.1}\" y2=\"{bottom}\" stroke=\"#d8dce0\"/>");
            let label = escaped(&tick(self.unit, decade));
            let _ =
                writeln!(text, "<text x=\"{line:.1}\" y=\"{}\" font-size=\"9\" text-anchor=\"middle\" fill=\"{SOFT}\">{label}</text>", bottom + 11.0);
        }
        for (number, bar) in self.bars.iter().enumerate() {
            let (line, end) = (top + number as f64 * STEP, at(bar.value.max(f64::MIN_POSITIVE).log10()).max(x + NAMES + 1.0));
            let weight = if bar.fill == OWN_FILL { " font-weight=\"bold\"" } else { "" };
            let base = line + STEP - 4.0;
            let _ = writeln!(
                text,
                "<text x=\"{}\" y=\"{base}\" text-anchor=\"end\"{weight} fill=\"{INK}\">{}</text>\
                 <rect x=\"{}\" y=\"{}\" width=\"{:.1}\" height=\"{}\" fill=\"{}\"/>\
                 <text x=\"{:.1}\" y=\"{base}\" font-size=\"10\"{weight} fill=\"{INK}\">{}</text>",
                x + NAMES - 5.0,
                escaped(&bar.name),
                x + NAMES,
                line + 2.0,
                end - x - NAMES,
                STEP - 4.0,
                bar.fill,
                end + 4.0,
                escaped(&bar.label)
            );
        }
    }
}

/// The figures are nanoseconds a record where records a second are drawn.
fn drawn(unit: Unit, value: f64) -> f64 {
    if unit == Unit::Rate { 1e9 / value } else { value }
}

fn tick(unit: Unit, decade: i32) -> String {
    let value = 10f64.powi(decade);
    match unit {
        Unit::Bytes if value >= 1e6 => format!("{} MB", value / 1e6),
        Unit::Bytes if value >= 1e3 => format!("{} kB", value / 1e3),
        Unit::Bytes => format!("{value} B"),
        Unit::Rate if value >= 1e6 => format!("{} M", value / 1e6),
        Unit::Rate if value >= 1e3 => format!("{} k", value / 1e3),
        Unit::Rate => format!("{value}"),
        Unit::Time | Unit::Quantiles if value >= 1e9 => format!("{} s", value / 1e9),
        Unit::Time | Unit::Quantiles if value >= 1e6 => format!("{} ms", value / 1e6),
        Unit::Time | Unit::Quantiles if value >= 1e3 => format!("{} us", value / 1e3),
        Unit::Time | Unit::Quantiles => format!("{value} ns"),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

const COLUMNS: usize = 3;
const MARGIN: f64 = 24.0;
/// Of a panel: names, bars, and room for the figure behind the longest.
const WIDTH: f64 = NAMES + BARS + 70.0;
const NAMES: f64 = 150.0;
const BARS: f64 = 260.0;
const HEAD: f64 = 104.0;
const TITLE: f64 = 34.0;
const STEP: f64 = 16.0;
const AXIS: f64 = 18.0;
const INK: &str = "#1f2933";
const SOFT: &str = "#66727f";
const OWN_FILL: &str = "#0b6e99";
const OTHER_FILL: &str = "#a9bfd0";
const LESS_FILL: &str = "#e3eaf0";
const MARK_FILL: &str = "#f0b35a";
