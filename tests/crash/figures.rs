//! What a campaign reached: counts by name, which add up over runs in a file. Judges nothing but what was never reached.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use tidelog::Found;

#[derive(Debug, Default)]
pub(crate) struct Figures(BTreeMap<String, u64>);

/// Before the name of something that recovery found.
pub(crate) const FOUND: &str = "times found: ";

impl Figures {
    pub(crate) fn count(&mut self, name: &str) {
        self.count_more(name, 1);
    }

    pub(crate) fn count_more(&mut self, name: &str, more: u64) {
        *self.0.entry(name.to_owned()).or_default() += more;
    }

    pub(crate) fn of(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or_default()
    }

    pub(crate) fn add(&mut self, other: &Self) {
        other.0.iter().for_each(|(name, count)| *self.0.entry(name.clone()).or_default() += count);
    }

    /// What an earlier run kept; nothing if there was none.
    pub(crate) fn load(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let line = |line: &str| line.trim().split_once(' ').map(|(count, name)| (name.to_owned(), count.parse().unwrap()));
        Self(text.lines().filter_map(line).collect())
    }

    pub(crate) fn keep(&self, path: &Path) {
        std::fs::write(path, self.to_string()).unwrap();
    }

    /// Those of the rows that were never found.
    pub(crate) fn never_found<'a>(&self, rows: &'a [Found]) -> Vec<&'a Found> {
        rows.iter().filter(|found| self.of(&format!("{FOUND}{found:?}")) == 0).collect()
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(name, count)| writeln!(f, "{count:>10} {name}"))
    }
}
