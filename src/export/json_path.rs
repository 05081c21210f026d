//! Paths such as `.user.ids[0]` or `."odd name"`, and the values they name in a JSON text, as it is written. Builds no tree.

use std::fmt;
use std::str::FromStr;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A path into a JSON value: `.user.ids[0]`, `."odd name"`. `.` alone is the value itself. However it is written, it is equal to one that leads
/// the same way.
#[derive(Debug, Clone)]
pub struct JsonPath {
    text: String,
    steps: Vec<Step>,
}

impl PartialEq for JsonPath {
    fn eq(&self, other: &Self) -> bool {
        self.steps == other.steps
    }
}

impl Eq for JsonPath {}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Name(String),
    Index(usize),
}

/// Why a text is no path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} at character {at}; a path looks like .a.b[0] or .\"odd name\"")]
pub struct PathError {
    expected: &'static str,
    at: usize,
}

/// A text that is not one JSON value.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct JsonError(#[from] serde_json::Error);

impl JsonPath {
    /// The value itself: `.`.
    pub fn root() -> Self {
        Self { text: ".".to_owned(), steps: Vec::new() }
    }

    /// The values at `paths`, in their order, as written in `json`. Of members with the same name the last counts.
    ///
    /// # Errors
    /// If `json` is not one JSON value: all of it is checked, not only what the paths name.
    pub fn find<'j, const N: usize>(paths: [Option<&Self>; N], json: &'j str) -> Result<[Option<&'j str>; N], JsonError> {
        let mut found = [None; N];
        Self::find_all(paths, json, &mut found)?;
        Ok(found)
    }

    /// As [`find`](Self::find), for paths in any number: `found` has a place for each, and is all `None`.
    pub(super) fn find_all<'p, 'j>(
        paths: impl IntoIterator<Item = Option<&'p Self>>,
        json: &'j str,
        found: &mut [Option<&'j str>],
    ) -> Result<(), JsonError> {
        let paths = paths.into_iter().enumerate();
        let wanted: Vec<Wanted<'_>> = paths.filter_map(|(slot, path)| path.map(|path| Wanted { slot, steps: &path.steps })).collect();
        Ok(descend(json, &wanted, found)?)
    }
}

#[derive(Clone, Copy)]
struct Wanted<'p> {
    slot: usize,
    steps: &'p [Step],
}

fn descend<'j>(json: &'j str, wanted: &[Wanted<'_>], found: &mut [Option<&'j str>]) -> Result<(), serde_json::Error> {
    let deeper: Vec<Wanted<'_>> = wanted.iter().filter(|one| !one.steps.is_empty()).copied().collect();
    let children = children_of(json, &deeper)?;
    for one in wanted.iter().filter(|one| one.steps.is_empty()) {
        found[one.slot] = Some(json.trim_matches(is_json_space));
    }
    for (number, (one, child)) in deeper.iter().zip(children).enumerate() {
        let is_same = |other: &&Wanted<'_>| other.steps[0] == one.steps[0];
        // All that lies below a child is looked for at once.
        if let Some(child) = child
            && !deeper[..number].iter().any(|before| is_same(&before))
        {
            let below: Vec<Wanted<'_>> =
                deeper[number..].iter().filter(is_same).map(|other| Wanted { slot: other.slot, steps: &other.steps[1..] }).collect();
            descend(child.get(), &below, found)?;
        }
    }
    Ok(())
}

/// For each of `wanted` the member or element that its first step names. Checks the whole of `json`.
fn children_of<'j>(json: &'j str, wanted: &[Wanted<'_>]) -> Result<Vec<Option<&'j RawValue>>, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let mut children = vec![None; wanted.len()];
    match json.trim_start_matches(is_json_space).as_bytes().first() {
        Some(b'{') if !wanted.is_empty() => deserializer.deserialize_map(Members { wanted, children: &mut children })?,
        Some(b'[') if !wanted.is_empty() => deserializer.deserialize_seq(Elements { wanted, children: &mut children })?,
        _ => {
            deserializer.deserialize_ignored_any(IgnoredAny)?;
        }
    }
    deserializer.end()?;
    Ok(children)
}

fn is_json_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\n' | '\r')
}

struct Members<'w, 'p, 'j> {
    wanted: &'w [Wanted<'p>],
    children: &'w mut [Option<&'j RawValue>],
}

impl<'j> Visitor<'j> for Members<'_, '_, 'j> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'j>>(self, mut map: A) -> Result<(), A::Error> {
        let mut hits = vec![false; self.wanted.len()];
        while map.next_key_seed(MatchName { wanted: self.wanted, hits: &mut hits })?.is_some() {
            if !hits.contains(&true) {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let value: &'j RawValue = map.next_value()?;
            for (child, _) in self.children.iter_mut().zip(&hits).filter(|(_, hit)| **hit) {
                *child = Some(value);
            }
        }
        Ok(())
    }
}

struct MatchName<'w, 'p> {
    wanted: &'w [Wanted<'p>],
    hits: &'w mut [bool],
}

impl<'j> DeserializeSeed<'j> for MatchName<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'j>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for MatchName<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<(), E> {
        for (hit, one) in self.hits.iter_mut().zip(self.wanted) {
            *hit = matches!(&one.steps[0], Step::Name(wanted) if wanted == name);
        }
        Ok(())
    }
}

struct Elements<'w, 'p, 'j> {
    wanted: &'w [Wanted<'p>],
    children: &'w mut [Option<&'j RawValue>],
}

impl<'j> Visitor<'j> for Elements<'_, '_, 'j> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'j>>(self, mut elements: A) -> Result<(), A::Error> {
        let mut index = 0;
        loop {
            let hit = |one: &Wanted<'_>| matches!(one.steps[0], Step::Index(wanted) if wanted == index);
            if !self.wanted.iter().any(hit) {
                if elements.next_element::<IgnoredAny>()?.is_none() {
                    return Ok(());
                }
            } else {
                let Some(value) = elements.next_element::<&'j RawValue>()? else { return Ok(()) };
                for (child, _) in self.children.iter_mut().zip(self.wanted).filter(|(_, one)| hit(one)) {
                    *child = Some(value);
                }
            }
            index += 1;
        }
    }
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for JsonPath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let error = |expected, rest: &str| PathError { expected, at: text[..text.len() - rest.len()].chars().count() + 1 };
        let mut steps = Vec::new();
        let mut rest = if text == "." { "" } else { text };
        if text.is_empty() {
            return Err(error("'.'", rest));
        }
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix('[') {
                let end = after.find(']').ok_or_else(|| error("']'", ""))?;
                let digits = &after[..end];
                let valid = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
                let index = if valid { digits.parse().ok() } else { None };
                steps.push(Step::Index(index.ok_or_else(|| error("an index", after))?));
                rest = &after[end + 1..];
            } else if let Some(after) = rest.strip_prefix('.') {
                let (name, remaining) =
                    if after.starts_with('"') { quoted_name(after) } else { bare_name(after) }.ok_or_else(|| error("a name", after))?;
                steps.push(Step::Name(name));
                rest = remaining;
            } else {
                return Err(error("'.' or '['", rest));
            }
        }
        Ok(Self { text: text.to_owned(), steps })
    }
}

fn bare_name(text: &str) -> Option<(String, &str)> {
    let end = text.find(['.', '[', '"', ']']).unwrap_or(text.len());
    (end > 0).then(|| (text[..end].to_owned(), &text[end..]))
}

/// A name in quotes is a JSON string.
fn quoted_name(text: &str) -> Option<(String, &str)> {
    let mut escaped = false;
    let end = text[1..].find(|character| match character {
        _ if escaped => {
            escaped = false;
            false
        }
        '\\' => {
            escaped = true;
            false
        }
        other => other == '"',
    })? + 2;
    Some((serde_json::from_str(&text[..end]).ok()?, &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find<'j>(path: &str, json: &'j str) -> Option<&'j str> {
        JsonPath::find([Some(&path.parse().unwrap())], json).unwrap()[0]
    }

    #[test]
    fn paths_name_members_and_elements() {
        let json = r#" {"a": {"b": [10, {"c": "x"}]}, "odd name": 1.50, "q\"t": [], "e": null, "": 7} "#;
        assert_eq!(find(".a.b[0]", json), Some("10"));
        assert_eq!(find(".a.b[1].c", json), Some(r#""x""#));
        assert_eq!(find(r#"."odd name""#, json), Some("1.50"));
        assert_eq!(find(r#"."q\"t""#, json), Some("[]"));
        assert_eq!(find(r#"."""#, json), Some("7"));
        assert_eq!(find(".e", json), Some("null"));
        assert_eq!(find(".a.b", json), Some(r#"[10, {"c": "x"}]"#));
        assert_eq!(find(".", json), Some(json.trim()));
        assert_eq!(find("[1][0]", "[1,[2,3]]"), Some("2"));
    }

    #[test]
    fn what_is_not_there_is_not_an_error() {
        for (path, json) in
            [(".a.b[2]", r#"{"a":{"b":[0,1]}}"#), (".b", r#"{"a":1}"#), (".a", "[1]"), ("[0]", r#"{"0":1}"#), (".a.b", r#"{"a":1e999}"#), (".a", "3")]
        {
            assert_eq!(find(path, json), None, "{path} in {json}");
        }
    }

    #[test]
    fn the_last_of_equal_names_counts() {
        assert_eq!(find(".a", r#"{"a":1,"a":2}"#), Some("2"));
        assert_eq!(find(".a.b", r#"{"a":{"b":1},"a":2}"#), None);
    }

    #[test]
    fn two_paths_are_found_in_one_pass() {
        let (a, b): (JsonPath, JsonPath) = (".x".parse().unwrap(), ".x.y".parse().unwrap());
        let json = r#"{"x":{"y":5}}"#;
        assert_eq!(JsonPath::find([Some(&a), Some(&b), None], json).unwrap(), [Some(r#"{"y":5}"#), Some("5"), None]);
        let paths: Vec<JsonPath> = [".x.z[1]", ".y", ".x.z", ".x.z[0].w", ".x.q"].map(|path| path.parse().unwrap()).into();
        let mut found = [None; 5];
        JsonPath::find_all(paths.iter().map(Some), r#"{"x":{"z":[{"w":1},2]},"y":3}"#, &mut found).unwrap();
        assert_eq!(found, [Some("2"), Some("3"), Some(r#"[{"w":1},2]"#), Some("1"), None]);
    }

    #[test]
    fn paths_are_equal_that_lead_the_same_way() {
        let path = |text: &str| text.parse::<JsonPath>().unwrap();
        assert_eq!(path(r#"."a""#), path(".a"));
        assert_ne!(path(".a"), path("[0]"));
    }

    #[test]
    fn everything_is_checked_and_not_only_what_is_wanted() {
        let path: JsonPath = ".a".parse().unwrap();
        for json in ["", "{", r#"{"a":1"#, r#"{"a":1}x"#, r#"{"a":1,"b":tru}"#, r#"{"a":1,}"#, "{'a':1}", "1 2", "\u{feff}{}"] {
            assert!(JsonPath::find([Some(&path)], json).is_err(), "{json:?}");
            assert!(JsonPath::find::<1>([None], json).is_err(), "{json:?}");
        }
    }

    #[test]
    fn deep_nesting_is_no_stack_overflow() {
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(200_000), "]".repeat(200_000));
        assert_eq!(find(".b", &deep), None);
        assert!(find(".a", &deep).is_some());
    }

    #[test]
    fn wrong_paths_say_where() {
        for (path, at) in [
            ("", 1),
            ("a", 1),
            (".", 0),
            (".a.", 4),
            (".a[", 4),
            (".a[x]", 4),
            (".a[-1]", 4),
            (".a[]", 4),
            (".a]", 3),
            (r#"."a"#, 2),
            (".a b[0]c", 8),
            ("..a", 2),
            (".a[99999999999999999999999]", 4),
        ] {
            match path.parse::<JsonPath>() {
                Ok(_) => assert_eq!(path, "."),
                Err(error) => assert_eq!(error.at, at, "{path}: {error}"),
            }
        }
    }
}
