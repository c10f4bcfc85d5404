//! One word, read from its beginning to its end.

use super::{
    Expander, Expansion, Variables,
    pattern::{Length, Pattern},
};
use crate::limits::{DEEPEST_EXPANSION, LONGEST_EXPANSION};

type Result<T> = std::result::Result<T, String>;

/// Reads a word.
pub(super) struct Reader<'a> {
    expander: &'a Expander,
    variables: &'a dyn Variables,
    rest: std::str::Chars<'a>,
    keeps_escapes: bool,
    depth: usize,
    found: Expansion,
}

/// What was read so far: as one word, and as several.
#[derive(Default)]
struct Output {
    text: String,
    words: Vec<String>,
    word: String,
}

impl Output {
    /// A character that may separate words.
    fn push(&mut self, c: char) {
        self.text.push(c);
        self.split_at(c);
    }

    /// A character that doesn't separate words, for it was escaped.
    fn push_escaped(&mut self, c: char) {
        self.text.push(c);
        self.word.push(c);
    }

    /// What was quoted, which is part of a word.
    fn push_quoted(&mut self, text: &str) {
        self.text.push_str(text);
        self.word.push_str(text);
    }

    /// The value of a variable, which may be several words.
    fn push_value(&mut self, text: &str) {
        self.text.push_str(text);
        text.chars().for_each(|c| self.split_at(c));
    }

    fn split_at(&mut self, c: char) {
        if !c.is_whitespace() {
            self.word.push(c);
        } else if !self.word.is_empty() {
            self.words.push(std::mem::take(&mut self.word));
        }
    }

    fn words(mut self) -> (String, Vec<String>) {
        if !self.word.is_empty() {
            self.words.push(self.word);
        }
        (self.text, self.words)
    }
}

impl<'a> Reader<'a> {
    pub(super) fn new(expander: &'a Expander, word: &'a str, variables: &'a dyn Variables) -> Self {
        let found = Expansion::default();
        let keeps_escapes = expander.keeps_escapes;
        Self { expander, variables, rest: word.chars(), keeps_escapes, depth: 0, found }
    }

    pub(super) fn read(mut self) -> Result<Expansion> {
        let keeps_escapes = self.keeps_escapes;
        let (text, words) = self.until(None, keeps_escapes)?;
        Ok(Expansion { text, words, ..self.found })
    }

    fn peek(&self) -> Option<char> {
        self.rest.clone().next()
    }

    /// Up to this character, which is taken too, or to the end.
    fn until(&mut self, stop: Option<char>, keeps_escapes: bool) -> Result<(String, Vec<String>)> {
        self.depth += 1;
        if self.depth > DEEPEST_EXPANSION {
            return Err(format!("variables are nested more than {DEEPEST_EXPANSION} deep"));
        }
        let before = std::mem::replace(&mut self.keeps_escapes, keeps_escapes);
        let read = self.parts(stop);
        self.keeps_escapes = before;
        self.depth -= 1;
        read
    }

    fn parts(&mut self, stop: Option<char>) -> Result<(String, Vec<String>)> {
        let mut out = Output::default();
        while let Some(c) = self.rest.next() {
            match c {
                _ if Some(c) == stop => return Ok(out.words()),
                '$' => out.push_value(&self.dollar()?),
                '<' => out.push_quoted(&self.angle()),
                '\'' if !self.expander.ignores_quotes => out.push_quoted(&self.single_quotes()?),
                '"' if !self.expander.ignores_quotes => out.push_quoted(&self.double_quotes()?),
                _ if c == self.expander.escape => {
                    if self.keeps_escapes {
                        out.push_escaped(c);
                    }
                    // At the end it escapes nothing.
                    if let Some(escaped) = self.rest.next() {
                        out.push_escaped(escaped);
                    }
                }
                _ => out.push(c),
            }
            check(&out.text)?;
        }
        match stop {
            Some(stop) => Err(format!("unexpected end of statement while looking for matching {stop}")),
            None => Ok(out.words()),
        }
    }

    /// `<<` with the spaces behind it, which don't separate a here-document's word from it.
    fn angle(&mut self) -> String {
        let mut out = String::from('<');
        if self.peek() == Some('<') {
            out.extend(self.rest.next());
            while let Some('\t' | '\r' | ' ') = self.peek() {
                out.extend(self.rest.next());
            }
        }
        out
    }

    /// Nothing is special up to the next `'`.
    fn single_quotes(&mut self) -> Result<String> {
        let mut out = String::new();
        self.keep_quote('\'', &mut out);
        for c in self.rest.by_ref() {
            if c != '\'' {
                out.push(c);
                continue;
            }
            self.keep_quote('\'', &mut out);
            return Ok(out);
        }
        Err("unexpected end of statement while looking for matching single-quote".to_owned())
    }

    /// Variables are replaced, and `"`, `$` and the escape character can be escaped.
    fn double_quotes(&mut self) -> Result<String> {
        let mut out = String::new();
        self.keep_quote('"', &mut out);
        while let Some(c) = self.rest.next() {
            match c {
                '"' => {
                    self.keep_quote('"', &mut out);
                    return Ok(out);
                }
                '$' => out.push_str(&self.dollar()?),
                _ if c == self.expander.escape => self.escape_in_quotes(c, &mut out),
                _ => out.push(c),
            }
            check(&out)?;
        }
        Err("unexpected end of statement while looking for matching double-quote".to_owned())
    }

    fn escape_in_quotes(&mut self, escape: char, out: &mut String) {
        if self.keeps_escapes {
            out.push(escape);
        }
        match self.peek() {
            None => (),
            Some(next) if next == '"' || next == '$' || next == escape => out.extend(self.rest.next()),
            Some(_) => out.push(escape),
        }
    }

    fn keep_quote(&self, quote: char, out: &mut String) {
        if self.expander.keeps_quotes {
            out.push(quote);
        }
    }

    /// What follows `$`.
    fn dollar(&mut self) -> Result<String> {
        if self.peek() != Some('{') {
            let name = self.name();
            return Ok(match self.value(&name) {
                _ if name.is_empty() => "$".to_owned(),
                Some(value) => value,
                None if self.expander.keeps_unset => format!("${name}"),
                None => String::new(),
            });
        }
        self.rest.next();
        match self.peek() {
            None => return Err(no_brace()),
            Some('{' | '}' | ':') => return Err("syntax error: bad substitution".to_owned()),
            Some(_) => (),
        }
        let name = self.name();
        match self.rest.next() {
            Some('}') => Ok(match self.value(&name) {
                Some(value) => value,
                None if self.expander.keeps_unset => format!("${{{name}}}"),
                None => String::new(),
            }),
            Some(':') => {
                let modifier = self.rest.next();
                self.modified(&name, modifier, true)
            }
            Some('/') => self.replaced(&name),
            modifier => self.modified(&name, modifier, false),
        }
    }

    /// `${name-word}` and its like; `null_is_unset` with a colon.
    fn modified(&mut self, name: &str, modifier: Option<char>, null_is_unset: bool) -> Result<String> {
        let shown = format!(
            "{}{}",
            if null_is_unset { ":" } else { "" },
            modifier.map(String::from).unwrap_or_default()
        );
        let unsupported = || format!("unsupported modifier ({shown}) in substitution");
        let modifier = modifier.ok_or_else(unsupported)?;
        let is_pattern = matches!(modifier, '#' | '%');
        if !(is_pattern || matches!(modifier, '-' | '+' | '?')) || is_pattern && null_is_unset {
            return Err(unsupported());
        }
        let word = self.closed('}', is_pattern, no_brace)?;
        let value = self.value(name);
        if value.is_none() && self.expander.keeps_unset {
            return Ok(format!("${{{name}{shown}{word}}}"));
        }
        let usable = value.clone().filter(|value| !(null_is_unset && value.is_empty()));
        match modifier {
            '-' => Ok(usable.unwrap_or(word)),
            '+' => Ok(usable.map(|_| word).unwrap_or_default()),
            '?' => usable.ok_or_else(|| {
                let is_empty =
                    if value.is_some() { "is not allowed to be empty" } else { "is not allowed to be unset" };
                format!("{name}: {}", if word.is_empty() { is_empty } else { &word })
            }),
            _ => self.stripped(&value.unwrap_or_default(), &word, modifier),
        }
    }

    /// `${name#pattern}`, `${name%%pattern}`, …
    fn stripped(&self, value: &str, word: &str, modifier: char) -> Result<String> {
        let (pattern, length) = match word.strip_prefix(modifier) {
            Some(pattern) => (pattern, Length::Longest),
            None => (word, Length::Shortest),
        };
        let pattern = Pattern::new(pattern)?;
        let value: Vec<char> = value.chars().collect();
        self.expander.spend(pattern.cost(&value))?;
        Ok(match modifier {
            '#' => pattern.without_prefix(&value, length),
            _ => pattern.without_suffix(&value, length),
        })
    }

    /// `${name/pattern/replacement}`, and with `//` for all.
    fn replaced(&mut self, name: &str) -> Result<String> {
        let all = self.peek() == Some('/');
        if all {
            self.rest.next();
        }
        let pattern = self.closed('/', true, || "syntax error: missing '/' in ${}".to_owned())?;
        let with = self.closed('}', true, no_brace)?;
        let value = self.value(name);
        if value.is_none() && self.expander.keeps_unset {
            return Ok(format!("${{{name}/{pattern}/{with}}}"));
        }
        let value: Vec<char> = value.unwrap_or_default().chars().collect();
        let pattern = Pattern::new(&pattern)?;
        self.expander.spend(pattern.cost(&value))?;
        if value.len().saturating_add(1).saturating_mul(with.len()) > LONGEST_EXPANSION.saturating_mul(16) {
            return Err(format!("it becomes longer than {LONGEST_EXPANSION} bytes"));
        }
        Ok(pattern.replaced(&value, &with, all))
    }

    /// Up to this character; `missing` says that it isn't there.
    fn closed(&mut self, stop: char, keeps_escapes: bool, missing: fn() -> String) -> Result<String> {
        self.until(Some(stop), keeps_escapes)
            .map(|(text, _)| text)
            .map_err(|reason| if self.peek().is_none() { missing() } else { reason })
    }

    /// A name: letters, digits and `_`; digits alone; or one special character as in a shell.
    fn name(&mut self) -> String {
        let text = self.rest.as_str();
        let first = text.chars().next();
        let end = match first {
            Some(c) if c.is_ascii_digit() => text.find(|c: char| !c.is_ascii_digit()),
            Some(c @ ('@' | '*' | '#' | '?' | '-' | '$' | '!')) => Some(c.len_utf8()),
            _ => text.find(|c: char| !c.is_alphanumeric() && c != '_'),
        };
        let (name, rest) = text.split_at(end.unwrap_or(text.len()));
        self.rest = rest.chars();
        name.to_owned()
    }

    /// The value, remembering whether there is one.
    fn value(&mut self, name: &str) -> Option<String> {
        if name.is_empty() {
            return None;
        }
        let value = self.variables.get(name).map(str::to_owned);
        let set = if value.is_some() { &mut self.found.matched } else { &mut self.found.unmatched };
        set.insert(name.to_owned());
        value
    }
}

/// What a word becomes is bounded while it is put together, for the values in it are many times longer than the text.
fn check(text: &str) -> Result<()> {
    match text.len() > LONGEST_EXPANSION {
        true => Err(format!("it becomes longer than {LONGEST_EXPANSION} bytes")),
        false => Ok(()),
    }
}

fn no_brace() -> String {
    "syntax error: missing '}'".to_owned()
}
