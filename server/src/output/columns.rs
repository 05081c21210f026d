//! Rows of text in columns, for people. Cuts nothing.

use std::fmt::Display;

/// Columns, each as wide as its widest cell, to the left.
pub(crate) fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
    lay_out(rows, |_| true)
}

/// The same, numbers to the right: only columns under one of the headings in `text` go to the left.
pub(crate) fn columns<const N: usize>(rows: &[[String; N]], text: &[&str]) -> String {
    lay_out(rows, |column| rows.first().is_none_or(|heading| text.contains(&heading[column].as_str())))
}

/// What there is, or a dash.
pub(crate) fn or_dash(what: Option<impl Display>) -> String {
    what.map_or_else(|| "-".to_owned(), |what| what.to_string())
}

fn lay_out<const N: usize>(rows: &[[String; N]], is_text: impl Fn(usize) -> bool) -> String {
    let widths: [usize; N] = std::array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0));
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).enumerate();
        let cells = cells.map(|(column, (cell, width))| if is_text(column) { format!("{cell:<width$}") } else { format!("{cell:>width$}") });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}
