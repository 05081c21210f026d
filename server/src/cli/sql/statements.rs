//! Parts SQL into statements as it comes, piece by piece: each ends at a semicolon that stands in no quotes and no comment. Understands nothing else.

/// Text that is looked at once, however many pieces it comes in.
#[derive(Debug, Default)]
pub(super) struct Statements {
    text: String,
    /// Where the statement begins that has not ended.
    begin: usize,
    /// What is before this was looked at.
    at: usize,
    inside: Inside,
    /// Whether the statement has something that is run, besides spaces and comments.
    has_begun: bool,
}

#[derive(Debug, Default, Clone, Copy)]
enum Inside {
    #[default]
    Nothing,
    /// Quotes or a comment, up to this. A doubled quote closes and opens again, which comes to the same.
    Until(&'static str),
}

impl Statements {
    pub(super) fn of(text: &str) -> Self {
        Self { text: text.to_owned(), ..Self::default() }
    }

    /// Takes more of it, in whole lines.
    pub(super) fn push(&mut self, text: &str) {
        self.text.drain(..self.begin);
        (self.begin, self.at) = (0, self.at - self.begin);
        self.text.push_str(text);
    }

    /// The next statement that has ended, with its semicolon. Those in which nothing is run are passed by.
    pub(super) fn next_ended(&mut self) -> Option<&str> {
        while self.at < self.text.len() {
            if self.step() && std::mem::take(&mut self.has_begun) {
                let begin = std::mem::replace(&mut self.begin, self.at);
                return Some(&self.text[begin..self.at]);
            }
            if !self.has_begun {
                self.begin = self.at;
            }
        }
        None
    }

    /// What has begun and not ended, behind all that have.
    pub(super) fn rest(&self) -> Option<&str> {
        self.has_begun.then(|| &self.text[self.begin..])
    }

    /// Bytes of what has begun and not ended.
    pub(super) fn rest_bytes(&self) -> usize {
        self.text.len() - self.begin
    }

    /// Whether all that there is has ended, comments too.
    pub(super) fn is_between(&self) -> bool {
        !self.has_begun && matches!(self.inside, Inside::Nothing)
    }

    /// Looks at what is next; whether it ends a statement.
    fn step(&mut self) -> bool {
        let rest = &self.text[self.at..];
        if let Inside::Until(close) = self.inside {
            let found = rest.find(close);
            self.at += found.map_or(rest.len(), |at| at + close.len());
            self.inside = found.map_or(self.inside, |_| Inside::Nothing);
            return false;
        }
        let first = rest.chars().next().unwrap_or_default();
        let close = match first {
            '\'' => "'",
            '"' => "\"",
            '`' => "`",
            '[' => "]",
            _ if rest.starts_with("--") => "\n",
            _ if rest.starts_with("/*") => "*/",
            _ => {
                self.at += first.len_utf8();
                self.has_begun |= !first.is_whitespace() && first != ';';
                return first == ';';
            }
        };
        let is_comment = matches!(close, "\n" | "*/");
        self.has_begun |= !is_comment;
        self.at += if is_comment { 2 } else { 1 };
        self.inside = Inside::Until(close);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Statements that have ended, and what is left.
    fn parted(pieces: &[&str]) -> (Vec<String>, Option<String>) {
        let (mut statements, mut found) = (Statements::default(), Vec::new());
        for piece in pieces {
            statements.push(piece);
            while let Some(statement) = statements.next_ended() {
                found.push(statement.to_owned());
            }
        }
        (found, statements.rest().map(str::to_owned))
    }

    #[test]
    fn statements_end_at_semicolons_outside_of_quotes_and_comments() {
        let check = |text: &str, ended: &[&str], rest: Option<&str>| {
            let expected = (ended.iter().map(|&text| text.to_owned()).collect(), rest.map(str::to_owned));
            assert_eq!(parted(&[text]), expected, "{text}");
            let lines: Vec<&str> = text.split_inclusive('\n').collect();
            assert_eq!(parted(&lines), expected, "{text}");
        };
        check("", &[], None);
        check("select 1", &[], Some("select 1"));
        check("select 1; select 2 ;x", &["select 1;", "select 2 ;"], Some("x"));
        check("select ';', \"a;b\", [;], `;`;", &["select ';', \"a;b\", [;], `;`;"], None);
        check("select 'it''s;';é;", &["select 'it''s;';", "é;"], None);
        check("select 'a;\n;b';\nx", &["select 'a;\n;b';"], Some("x"));
        check("select 1 -- no; \n;", &["select 1 -- no; \n;"], None);
        check("select /* ;\n; */ 1 - 2 / 3;", &["select /* ;\n; */ 1 - 2 / 3;"], None);
        for open in ["select ';", "select \";", "select [;", "select -- ;", "select /* ;", "select /*/;"] {
            check(open, &[], Some(open));
        }
    }

    /// Each byte is looked at once: else this would not end.
    #[test]
    fn a_statement_may_have_many_lines() {
        let lines = vec!["x\n"; 500_000];
        assert_eq!(parted(&lines), (vec![], Some(lines.concat())));
        assert_eq!(parted(&["x;".repeat(500_000).as_str()]).0.len(), 500_000);
    }

    #[test]
    fn comments_alone_are_no_statements() {
        for text in ["", " \n;; ", "-- select 1;", "/* x */ ; -- y\n", "/* open", &"/**/ --\n".repeat(100_000)] {
            assert_eq!(parted(&[text]), (vec![], None), "{text}");
        }
        for (text, rest) in [("-- x\nselect 1", "select 1"), ("/* x */x", "x"), ("-1", "-1"), ("/", "/"), ("'", "'")] {
            assert_eq!(parted(&[text]), (vec![], Some(rest.to_owned())));
        }
        let is_between = |text: &str| {
            let mut statements = Statements::of(text);
            while statements.next_ended().is_some() {}
            statements.is_between()
        };
        assert!(is_between("select 1; -- x\n") && is_between(" /* x */ ") && !is_between("/* x\n") && !is_between("select 1\n"));
    }
}
