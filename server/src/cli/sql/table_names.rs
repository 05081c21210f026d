//! Which name each topic's table has. Gives none that SQL could take for another topic's.

use std::collections::HashMap;

use tidelog::TopicName;

/// Topics with their tables' names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct TableNames {
    pub(super) named: Vec<(String, TopicName)>,
    /// Topics without one: SQL does not tell the case of letters apart.
    pub(super) alike: Vec<TopicName>,
}

impl TableNames {
    pub(super) fn of(topics: &[TopicName]) -> Self {
        let mut counts: HashMap<String, u32> = HashMap::new();
        for topic in topics {
            *counts.entry(name(topic).to_ascii_lowercase()).or_default() += 1;
        }
        let mut names = Self::default();
        for topic in topics {
            let name = name(topic);
            match counts[&name.to_ascii_lowercase()] {
                1 => names.named.push((name, topic.clone())),
                _ => names.alike.push(topic.clone()),
            }
        }
        names
    }
}

/// Names that begin with `sqlite_` are SQLite's own: then the namespace is told, also where it is the default one.
fn name(topic: &TopicName) -> String {
    let name = topic.to_string();
    let is_reserved = name.get(..7).is_some_and(|begin| begin.eq_ignore_ascii_case("sqlite_"));
    if is_reserved && !name.contains('/') { format!("{}/{name}", topic.namespace) } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_table_answers_for_another_topic() {
        let topics: Vec<TopicName> = ["Default/sqlite_y", "Orders", "SQLite_x", "orders", "shop/orders", "sqlite", "sqlite_/t", "sqlite_y"]
            .map(|name| name.parse().unwrap())
            .to_vec();
        let names = TableNames::of(&topics);
        let named: Vec<&str> = names.named.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(named, ["default/SQLite_x", "shop/orders", "sqlite", "sqlite_/t"]);
        let alike: Vec<String> = names.alike.iter().map(ToString::to_string).collect();
        assert_eq!(alike, ["Default/sqlite_y", "Orders", "orders", "sqlite_y"]);
    }
}
