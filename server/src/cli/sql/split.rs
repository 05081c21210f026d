//! Where a statement ends: at a semicolon that stands in no quotes and no comment. Understands nothing else of SQL.

/// The first statement of a text, with its semicolon, and what is behind it; `None` if none ends in it.
pub(super) fn split(text: &str) -> Option<(&str, &str)> {
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        at += match rest.as_bytes()[0] {
            b';' => return Some(text.split_at(at + 1)),
            b'\'' | b'"' | b'`' => quoted(rest, rest.as_bytes()[0] as char)?,
            b'[' => quoted(rest, ']')?,
            b'-' if rest.starts_with("--") => rest.find('\n')?,
            b'/' if rest.starts_with("/*") => rest[2..].find("*/")? + 4,
            _ => rest.chars().next().map_or(1, char::len_utf8),
        };
    }
    None
}

/// Whether a text has nothing that is run: spaces, comments, semicolons.
pub(super) fn is_blank(text: &str) -> bool {
    let text = text.trim_start_matches(|character: char| character.is_whitespace() || character == ';');
    let behind = match text {
        "" => return true,
        _ if text.starts_with("--") => text.find('\n').map_or("", |end| &text[end..]),
        _ if text.starts_with("/*") => text[2..].find("*/").map_or("", |end| &text[end + 4..]),
        _ => return false,
    };
    is_blank(behind)
}

/// Bytes up to the closing quote and with it. A doubled quote closes and opens again, which comes to the same.
fn quoted(text: &str, close: char) -> Option<usize> {
    text[1..].find(close).map(|end| end + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_end_at_semicolons_outside_of_quotes_and_comments() {
        let check = |text: &str, parts: &[&str]| {
            let (mut rest, mut found) = (text, Vec::new());
            while let Some((statement, behind)) = split(rest) {
                found.push(statement);
                rest = behind;
            }
            found.push(rest);
            assert_eq!(found, parts);
        };
        check("", &[""]);
        check("select 1", &["select 1"]);
        check("select 1; select 2 ;x", &["select 1;", " select 2 ;", "x"]);
        check("select ';', \"a;b\", [;], `;`;", &["select ';', \"a;b\", [;], `;`;", ""]);
        check("select 'it''s;';é;", &["select 'it''s;';", "é;", ""]);
        check("select 1 -- no; \n;", &["select 1 -- no; \n;", ""]);
        check("select /* ; */ 1 - 2 / 3;", &["select /* ; */ 1 - 2 / 3;", ""]);
        for open in ["select ';", "select \";", "select [;", "-- ;", "/* ;", "/*/;"] {
            check(open, &[open]);
        }
    }

    #[test]
    fn comments_alone_are_blank() {
        for text in ["", " \n;; ", "-- select 1;", "/* x */ ; -- y\n", "/* open"] {
            assert!(is_blank(text), "{text}");
        }
        for text in ["select 1", "-- x\nselect 1", "/* x */x", "-1", "/"] {
            assert!(!is_blank(text), "{text}");
        }
    }
}
