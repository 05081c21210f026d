//! Which conditions of a statement are looked up in the log, and in which order rows come. SQLite checks each condition again on each row.

use std::ffi::c_int;
use std::fmt::Write;

use rusqlite::types::ValueRef;
use rusqlite::vtab::{IndexConstraintOp, IndexInfo};

use crate::bounds::{Bounds, Comparison};
use crate::columns::Column;

/// How rows are found: made when a statement is prepared, handed to the scan as a number and a text, which `explain query plan` shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    conditions: Vec<Condition>,
    pub(crate) order: Order,
}

/// A column and a value that comes when the statement runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Condition {
    column: Column,
    comparison: Comparison,
}

/// Numbers that SQLite keeps between the two steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// One partition after the other, by offset in each.
    ByPartition = 0,
    /// By offset, and by partition where it is the same.
    Ascending = 1,
    /// From the highest offset down, likewise.
    Descending = 2,
}

/// Which rows may be an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ranges {
    pub(crate) time: Bounds,
    pub(crate) index: Bounds,
    pub(crate) partition: Bounds,
}

impl Plan {
    /// Takes what can be looked up out of a statement, and tells SQLite what that costs.
    pub(crate) fn choose(info: &mut IndexInfo) -> Self {
        let usable = info.constraints().enumerate().filter(|(_, constraint)| constraint.is_usable());
        let taken: Vec<(usize, Condition)> =
            usable.filter_map(|(at, constraint)| Some((at, Condition::of(constraint.column(), &constraint.operator())?))).collect();
        let wanted: Vec<(c_int, bool)> = info.order_bys().map(|term| (term.column(), term.is_order_by_desc())).collect();
        let conditions: Vec<Condition> = taken.iter().map(|(_, condition)| *condition).collect();
        let is_in_one = conditions.contains(&Condition { column: Column::Partition, comparison: Comparison::Equal });
        let order = Order::of(&wanted, is_in_one);
        let plan = Self { conditions, order: order.unwrap_or(Order::ByPartition) };
        // What stands in the statement itself is known already.
        let values: Vec<Option<ValueRef<'_>>> = taken.iter().map(|(at, _)| info.rhs_value(*at).ok().flatten()).collect();
        let (read, rows) = plan.estimate(&values);
        for (number, (at, _)) in taken.iter().enumerate() {
            info.constraint_usage(*at).set_argv_index(number as c_int + 1);
        }
        info.set_order_by_consumed(order.is_some());
        info.set_idx_num(plan.order as c_int);
        info.set_idx_str(&plan.text());
        info.set_estimated_cost(BEGIN_COST + read);
        info.set_estimated_rows(rows.max(1.0) as i64);
        plan
    }

    /// The plan that SQLite kept; `None` if it is none.
    pub(crate) fn parse(number: c_int, text: &str) -> Option<Self> {
        let order = [Order::ByPartition, Order::Ascending, Order::Descending].into_iter().find(|order| *order as c_int == number)?;
        let conditions = text.split_whitespace().map(Condition::parse).collect::<Option<_>>()?;
        Some(Self { conditions, order })
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for Condition { column, comparison } in &self.conditions {
            let space = if text.is_empty() { "" } else { " " };
            // A string takes whatever is written to it.
            let _ = write!(text, "{space}{}{}?", column.name(), sign(*comparison));
        }
        text
    }

    /// The rows that these values leave, one for each condition.
    pub(crate) fn ranges<'a>(&self, values: impl Iterator<Item = ValueRef<'a>>) -> Ranges {
        let mut ranges = Ranges { time: Bounds::ALL, index: Bounds::ALL, partition: Bounds::ALL };
        for (condition, value) in self.conditions.iter().zip(values) {
            let bounds = match condition.column {
                Column::Time => &mut ranges.time,
                Column::Partition => &mut ranges.partition,
                _ => &mut ranges.index,
            };
            *bounds = bounds.and(condition.comparison, value);
        }
        ranges
    }

    /// Records that are read, and those that come of it. How many there are is not known before a partition is opened: all logs are taken for
    /// large.
    fn estimate(&self, values: &[Option<ValueRef<'_>>]) -> (f64, f64) {
        let share = |column: Column, counts: fn(Comparison) -> bool| {
            let (mut bounds, mut share) = (Bounds::ALL, 1.0);
            let conditions = self.conditions.iter().zip(values);
            for (condition, value) in conditions.filter(|(condition, _)| condition.column == column && counts(condition.comparison)) {
                bounds = value.map_or(bounds, |value| bounds.and(condition.comparison, value));
                share *= if condition.comparison == Comparison::Equal { 1.0 / RECORDS } else { 0.25 };
            }
            f64::min(share, bounds.len() / RECORDS)
        };
        let is_of_one = self.conditions.iter().any(|condition| condition.column == Column::Partition);
        // Behind the first record that is late enough, all is read.
        let read = share(Column::Index, |_| true).min(share(Column::Time, is_lower)) * if is_of_one { RECORDS / 4.0 } else { RECORDS };
        (read, read * share(Column::Time, |comparison| !is_lower(comparison)))
    }
}

fn is_lower(comparison: Comparison) -> bool {
    matches!(comparison, Comparison::Greater | Comparison::GreaterOrEqual)
}

impl Condition {
    fn of(column: c_int, operator: &IndexConstraintOp) -> Option<Self> {
        let column = Column::of(column).filter(|column| matches!(column, Column::Time | Column::Index | Column::Partition))?;
        let comparison = match operator {
            IndexConstraintOp::SQLITE_INDEX_CONSTRAINT_EQ => Comparison::Equal,
            IndexConstraintOp::SQLITE_INDEX_CONSTRAINT_LT => Comparison::Less,
            IndexConstraintOp::SQLITE_INDEX_CONSTRAINT_LE => Comparison::LessOrEqual,
            IndexConstraintOp::SQLITE_INDEX_CONSTRAINT_GT => Comparison::Greater,
            IndexConstraintOp::SQLITE_INDEX_CONSTRAINT_GE => Comparison::GreaterOrEqual,
            _ => return None,
        };
        Some(Self { column, comparison })
    }

    fn parse(text: &str) -> Option<Self> {
        let (name, comparison) = SIGNS.iter().find_map(|(comparison, sign)| Some((text.strip_suffix('?')?.strip_suffix(sign)?, *comparison)))?;
        let column = [Column::Time, Column::Index, Column::Partition].into_iter().find(|column| column.name() == name)?;
        Some(Self { column, comparison })
    }
}

impl Order {
    /// The order that keeps what is wanted, terms of columns and whether they fall; `is_in_one`: all rows are of one partition.
    fn of(wanted: &[(c_int, bool)], is_in_one: bool) -> Option<Self> {
        let terms: Vec<(Option<Column>, bool)> = wanted.iter().map(|(column, falls)| (Column::of(*column), *falls)).collect();
        let in_one: Vec<_> = terms.iter().copied().filter(|term| !is_in_one || term.0 != Some(Column::Partition)).collect();
        // Behind terms that are the same for no two rows, others mean nothing.
        match *in_one {
            [] | [(Some(Column::Partition), false)] | [(Some(Column::Partition), false), (Some(Column::Index), false), ..] => Some(Self::ByPartition),
            [(Some(Column::Index), falls)] | [(Some(Column::Index), falls), (Some(Column::Partition), false), ..] => Some(Self::by_index(falls)),
            [(Some(Column::Index), falls), ..] if is_in_one => Some(Self::by_index(falls)),
            _ => None,
        }
    }

    fn by_index(falls: bool) -> Self {
        if falls { Self::Descending } else { Self::Ascending }
    }
}

fn sign(comparison: Comparison) -> &'static str {
    SIGNS.iter().find(|(other, _)| *other == comparison).map_or("", |(_, sign)| sign)
}

/// Those that end like another one come first.
const SIGNS: [(Comparison, &str); 5] = [
    (Comparison::LessOrEqual, "<="),
    (Comparison::GreaterOrEqual, ">="),
    (Comparison::Less, "<"),
    (Comparison::Greater, ">"),
    (Comparison::Equal, "="),
];

/// A log of this many records is assumed.
const RECORDS: f64 = 1_000_000.0;
/// What it costs to find the first row, in records.
const BEGIN_COST: f64 = 100.0;
