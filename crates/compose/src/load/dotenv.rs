//! Files of variables: the grammar of `.env`, and the raw format of `env_file`.

use super::template::substitute;
use crate::model::Mapping;

/// A parsed line's mistake.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum DotenvError {
    /// A name has something in it that no name has.
    #[error("line {line}: unexpected character {character:?} in variable name {text:?}")]
    Name {
        /// The line, from 1.
        line: usize,
        /// The character.
        character: char,
        /// The line's text.
        text: String,
    },
    /// A name has a space in it.
    #[error("line {0}: key cannot contain a space")]
    Space(usize),
    /// A line has no name.
    #[error("line {0}: no variable name")]
    NoName(usize),
    /// A quote is not closed.
    #[error("line {line}: unterminated quoted value {text}")]
    Quote {
        /// The line, from 1.
        line: usize,
        /// What begins there.
        text: String,
    },
    /// A value can't be interpolated.
    #[error("line {line}: {error}")]
    Template {
        /// The line, from 1.
        line: usize,
        /// Why.
        error: super::template::TemplateError,
    },
}

/// Reads a file of the grammar of `.env` into `variables`. A value may use variables of `outer` and those before it.
pub(crate) fn parse(
    text: &str,
    variables: &mut Mapping,
    outer: &dyn Fn(&str) -> Option<String>,
) -> Result<(), DotenvError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader { rest: text, line: 1 };
    while reader.skip_to_statement() {
        let (name, has_value) = reader.name()?;
        if name.contains(' ') {
            return Err(DotenvError::Space(reader.line));
        }
        if !has_value {
            if let Some(value) = outer(&name) {
                variables.insert(name, value);
            }
            continue;
        }
        let value = reader.value(&|wanted: &str| outer(wanted).or_else(|| variables.get(wanted).cloned()))?;
        variables.insert(name, value);
    }
    Ok(())
}

/// Reads a file of the raw format: `NAME=VALUE` as it stands, `NAME` with the outer value, `#` for comments.
pub(crate) fn parse_raw(
    text: &str,
    variables: &mut Mapping,
    outer: &dyn Fn(&str) -> Option<String>,
) -> Result<(), DotenvError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) = match line.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (line.trim_end(), outer(line.trim_end())),
        };
        if name.is_empty() {
            return Err(DotenvError::NoName(index + 1));
        }
        if name.contains(char::is_whitespace) {
            return Err(DotenvError::Space(index + 1));
        }
        if let Some(value) = value {
            variables.insert(name.to_owned(), value);
        }
    }
    Ok(())
}

struct Reader<'a> {
    rest: &'a str,
    line: usize,
}

fn is_blank(c: char) -> bool {
    matches!(c, '\t' | '\u{b}' | '\u{c}' | '\r' | ' ' | '\u{85}' | '\u{a0}')
}

impl<'a> Reader<'a> {
    fn advance(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.line += taken.matches('\n').count();
        self.rest = rest;
        taken
    }

    /// Skips blank lines and comments; false at the end.
    fn skip_to_statement(&mut self) -> bool {
        loop {
            let blank = self.rest.find(|c: char| !c.is_whitespace()).unwrap_or(self.rest.len());
            self.advance(blank);
            if !self.rest.starts_with('#') {
                return !self.rest.is_empty();
            }
            let end = self.rest.find('\n').unwrap_or(self.rest.len());
            self.advance(end);
        }
    }

    /// A name, and whether a value follows. A name alone on its line takes the outer value.
    fn name(&mut self) -> Result<(String, bool), DotenvError> {
        if let Some(after) = self.rest.strip_prefix("export")
            && after.starts_with(char::is_whitespace)
        {
            self.rest = after.trim_start_matches(is_blank);
        }
        let (line, rest) = (self.line, self.rest);
        let wrong = |character| DotenvError::Name {
            line,
            character,
            text: rest.lines().next().unwrap_or_default().chars().take(80).collect(),
        };
        for (index, c) in self.rest.char_indices() {
            match c {
                '=' | ':' | '\n' => {
                    let name = self.rest[..index].trim_end().to_owned();
                    let end = if c == '\n' { index } else { index + 1 };
                    self.advance(end);
                    self.rest = self.rest.trim_start_matches(is_blank);
                    return Ok((name, c != '\n'));
                }
                '_' | '.' | '-' | '[' | ']' => {}
                c if c.is_alphanumeric() || is_blank(c) => {}
                c => return Err(wrong(c)),
            }
        }
        let name = self.advance(self.rest.len()).trim_end().to_owned();
        Ok((name, false))
    }

    fn value(&mut self, variables: &dyn Fn(&str) -> Option<String>) -> Result<String, DotenvError> {
        let line = self.line;
        let fill = |text: &str| {
            substitute(text, &|name: &str| variables(name))
                .map_err(|error| DotenvError::Template { line, error })
        };
        match self.rest.chars().next() {
            Some('\'') => self.quoted('\''),
            Some('"') => fill(&escapes(&self.quoted('"')?)),
            _ => {
                let end = self.rest.find('\n').unwrap_or(self.rest.len());
                let text = self.advance(end);
                let text = text.split_once(" #").map_or(text, |(value, _)| value);
                fill(text.trim_end())
            }
        }
    }

    /// What stands between quotes. A backslash keeps the quote after it from ending the value.
    fn quoted(&mut self, quote: char) -> Result<String, DotenvError> {
        let mut value = String::new();
        let mut escaped = false;
        for (index, c) in self.rest.char_indices().skip(1) {
            if c == quote && !escaped {
                self.advance(index + 1);
                return Ok(value);
            }
            if !escaped && c == '\\' {
                escaped = true;
                continue;
            }
            if std::mem::take(&mut escaped) && c != quote {
                value.push('\\');
            }
            value.push(c);
        }
        let text = self.rest.lines().next().unwrap_or_default().chars().take(80).collect();
        Err(DotenvError::Quote { line: self.line, text })
    }
}

/// The escape sequences of a double-quoted value. `\$` becomes `$$`, which interpolation reads as a dollar sign.
fn escapes(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(index) = rest.find('\\') {
        result.push_str(&rest[..index]);
        let after = &rest[index + 1..];
        let (replacement, length) = match after.bytes().next() {
            Some(b'a') => ("\u{7}".to_owned(), 1),
            Some(b'b') => ("\u{8}".to_owned(), 1),
            Some(b'f') => ("\u{c}".to_owned(), 1),
            Some(b'n') => ("\n".to_owned(), 1),
            Some(b'r') => ("\r".to_owned(), 1),
            Some(b't') => ("\t".to_owned(), 1),
            Some(b'v') => ("\u{b}".to_owned(), 1),
            Some(b'"') => ("\"".to_owned(), 1),
            Some(b'\\') => ("\\".to_owned(), 1),
            Some(b'$') => ("$$".to_owned(), 1),
            Some(b'0') => octal(after),
            _ => ("\\".to_owned(), 0),
        };
        result.push_str(&replacement);
        rest = &after[length..];
    }
    result + rest
}

/// `\0` and three octal digits; anything less stays as it is.
fn octal(text: &str) -> (String, usize) {
    let digits = text.get(1..4).filter(|digits| digits.bytes().all(|byte| matches!(byte, b'0'..=b'7')));
    let code = digits.and_then(|digits| u32::from_str_radix(digits, 8).ok()).filter(|code| *code < 256);
    match code.and_then(char::from_u32) {
        Some(c) => (c.to_string(), 4),
        None => ("\\".to_owned(), 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outer(name: &str) -> Option<String> {
        (name == "OUTER").then(|| "out".to_owned())
    }

    fn read(text: &str) -> Mapping {
        let mut variables = Mapping::new();
        parse(text, &mut variables, &outer).unwrap();
        variables
    }

    fn value(text: &str) -> String {
        read(text).remove("A").unwrap_or_else(|| "absent".to_owned())
    }

    #[test]
    fn values_are_read_with_quotes_comments_and_escapes() {
        for (text, expected) in [
            ("A=b", "b"),
            ("  A = b c  # d\n", "b c"),
            ("export A=b#c", "b#c"),
            ("A: b", "b"),
            ("A='b $OUTER # c' # d", "b $OUTER # c"),
            ("A='it\\'s'", "it's"),
            ("A=\"b\\tc\\n\\$OUTER \\\"q\\\"\"", "b\tc\n$OUTER \"q\""),
            ("A=\"two\nlines\"", "two\nlines"),
            ("A=\nB=c", ""),
            ("A=$OUTER-${NONE:-d}", "out-d"),
            ("B=1\nA=${B}2", "12"),
            ("A='a\\nb'", "a\\nb"),
            ("\u{feff}A=b\r\nB=c\r\n", "b"),
            ("A", "absent"),
            ("A=\"\\0101\"", "A"),
        ] {
            assert_eq!(value(text), expected, "{text:?}");
        }
        assert_eq!(read("OUTER\nB=1").get("OUTER").map(String::as_str), Some("out"));
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        let error = |text: &str| parse(text, &mut Mapping::new(), &outer).unwrap_err().to_string();
        assert_eq!(error("A=1\n\nB!=2"), "line 3: unexpected character '!' in variable name \"B!=2\"");
        assert_eq!(error("A=1\nB='x\ny"), "line 2: unterminated quoted value 'x");
        assert_eq!(error("A B=1"), "line 1: key cannot contain a space");
        assert!(error("A=${").starts_with("line 1: invalid interpolation format"));
    }

    #[test]
    fn raw_values_stay_as_they_are() {
        let mut variables = Mapping::new();
        parse_raw("# c\nA=\"b\" $OUTER # d\n OUTER\nNONE\n", &mut variables, &outer).unwrap();
        assert_eq!(variables["A"], "\"b\" $OUTER # d");
        assert_eq!(variables["OUTER"], "out");
        assert_eq!(variables.len(), 2);
        assert_eq!(parse_raw("A=1\n=b", &mut variables, &outer), Err(DotenvError::NoName(2)));
    }
}
