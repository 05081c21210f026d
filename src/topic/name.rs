//! What a topic may be called. Knows no directory.

use std::fmt;
use std::str::FromStr;

use tidelog_format::NAME_BYTES_MAX;

use crate::error::TopicError;

/// The name of a topic in its namespace, as text `[namespace/]name`; the namespace is `default` when left out.
///
/// Each part has 1 to 249 of the characters `a-z A-Z 0-9 . _ -`, and is not `.` or `..`: Kafka's rule.
///
/// ```
/// use tidelog::TopicName;
///
/// let name: TopicName = "orders".parse()?;
/// assert_eq!((name.namespace.as_str(), name.name.as_str()), ("default", "orders"));
/// assert_eq!("shop/orders".parse::<TopicName>()?.to_string(), "shop/orders");
/// assert!("../orders".parse::<TopicName>().is_err());
/// # Ok::<(), tidelog::TopicError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName {
    /// The namespace.
    pub namespace: String,
    /// The name in it.
    pub name: String,
}

impl TopicName {
    /// Whether it keeps the rules, which one that was put together from its parts may not.
    pub(crate) fn check(&self) -> Result<(), TopicError> {
        match [&self.namespace, &self.name].into_iter().find_map(|part| broken_rule(part)) {
            Some(why) => Err(TopicError::InvalidName { name: format!("{}/{}", self.namespace, self.name), why }),
            None => Ok(()),
        }
    }

    /// Whether it is a topic of the engine itself, in the namespace `_tidelog`, which lists of topics leave out.
    pub fn is_internal(&self) -> bool {
        self.namespace == INTERNAL_NAMESPACE
    }

    /// Refuses an internal one, for whoever is to write to it.
    pub(crate) fn check_public(&self) -> Result<(), TopicError> {
        if self.is_internal() { Err(TopicError::Internal { name: self.to_string() }) } else { Ok(()) }
    }
}

impl FromStr for TopicName {
    type Err = TopicError;

    fn from_str(text: &str) -> Result<Self, TopicError> {
        let (namespace, name) = text.split_once('/').unwrap_or((DEFAULT_NAMESPACE, text));
        for part in [namespace, name] {
            if let Some(why) = broken_rule(part) {
                return Err(TopicError::InvalidName { name: text.to_owned(), why });
            }
        }
        Ok(Self { namespace: namespace.to_owned(), name: name.to_owned() })
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace != DEFAULT_NAMESPACE {
            write!(f, "{}/", self.namespace)?;
        }
        f.write_str(&self.name)
    }
}

fn broken_rule(part: &str) -> Option<&'static str> {
    match part {
        "" => Some("a part of it is empty"),
        "." | ".." => Some("\".\" and \"..\" are not names"),
        _ if part.len() > NAME_BYTES_MAX => Some("a part of it is longer than 249 bytes"),
        _ if !part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)) => {
            Some("only a-z, A-Z, 0-9, \".\", \"_\", \"-\" and one \"/\" are allowed")
        }
        _ => None,
    }
}

/// Up to three of `known` that `name` may be a slip for, nearest first.
pub(super) fn near(name: &TopicName, known: &[TopicName]) -> Vec<String> {
    let text = name.to_string();
    let mut near: Vec<(usize, String)> = known.iter().map(|known| (distance(&text, &known.to_string()), known.to_string())).collect();
    near.retain(|(distance, known)| *distance <= text.len().max(known.len()) / 3 + 1);
    near.sort();
    near.into_iter().take(3).map(|(_, name)| name).collect()
}

/// Levenshtein's edit distance.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

const DEFAULT_NAMESPACE: &str = "default";
const INTERNAL_NAMESPACE: &str = "_tidelog";
/// Where positions of groups are kept by default.
pub(crate) const OFFSETS_TOPIC: &str = "_tidelog/offsets";
