//! Words of an instruction: quotes, escapes and variables.
//!
//! Dockerfile reference, "Environment replacement": `$name`, `${name}`, `${name:-word}`, `${name:+word}`; single
//! quotes keep everything, double quotes keep blanks, a backslash keeps the next character.

/// Splits at blanks outside of quotes; quotes and escapes stay.
pub(super) fn split(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (None, blank) if blank.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                continue;
            }
            (None, '\'' | '"') => quote = Some(character),
            (Some(open), close) if open == close => quote = None,
            (None | Some('"'), '\\') => {
                word.push('\\');
                word.extend(characters.next());
                continue;
            }
            _ => {}
        }
        word.push(character);
    }
    if quote.is_some() {
        return Err("unexpected end of statement while looking for a matching quote".to_owned());
    }
    if !word.is_empty() {
        words.push(word);
    }
    Ok(words)
}

/// Takes away quotes and escapes, without replacing variables.
pub(super) fn unquote(word: &str) -> Result<String, String> {
    Expansion { rest: word, env: None }.run()
}

/// Takes away quotes and escapes and replaces variables from `env` (`NAME=value`).
pub(super) fn expand(word: &str, env: &[String]) -> Result<String, String> {
    Expansion { rest: word, env: Some(env) }.run()
}

struct Expansion<'a> {
    rest: &'a str,
    env: Option<&'a [String]>,
}

impl Expansion<'_> {
    fn run(mut self) -> Result<String, String> {
        let mut out = String::new();
        let mut double = false;
        while let Some(character) = self.next() {
            match character {
                '\'' if !double => {
                    let (inner, rest) = self.rest.split_once('\'').ok_or("a single quote is not closed")?;
                    out.push_str(inner);
                    self.rest = rest;
                }
                '"' => double = !double,
                '\\' => match self.next() {
                    // Within double quotes a backslash escapes only what would mean something there.
                    Some(next) if double && !matches!(next, '"' | '$' | '\\') => out.extend(['\\', next]),
                    Some(next) => out.push(next),
                    None => out.push('\\'),
                },
                '$' if self.env.is_some() => out.push_str(&self.variable()?),
                other => out.push(other),
            }
        }
        if double { Err("a double quote is not closed".to_owned()) } else { Ok(out) }
    }

    fn next(&mut self) -> Option<char> {
        let mut characters = self.rest.chars();
        let next = characters.next();
        self.rest = characters.as_str();
        next
    }

    fn variable(&mut self) -> Result<String, String> {
        let Some(braced) = self.rest.strip_prefix('{') else {
            let name = take_name(self.rest);
            self.rest = &self.rest[name.len()..];
            return Ok(if name.is_empty() { "$".to_owned() } else { self.value(name).unwrap_or_default() });
        };
        let end = closing_brace(braced).ok_or("syntax error: missing '}'")?;
        let inner = &braced[..end];
        self.rest = &braced[end + 1..];
        let name = take_name(inner);
        let value = self.value(name).filter(|value| !value.is_empty());
        let word = |word: &str| Expansion { rest: word, env: self.env }.run();
        match &inner[name.len()..] {
            _ if name.is_empty() => Err(format!("bad substitution: ${{{inner}}}")),
            "" => Ok(value.unwrap_or_default()),
            rest => match (rest.strip_prefix(":-"), rest.strip_prefix(":+"), value) {
                (Some(_), _, Some(value)) => Ok(value),
                (Some(default), _, None) => word(default),
                (_, Some(other), Some(_)) => word(other),
                (_, Some(_), None) => Ok(String::new()),
                _ => Err(format!("unsupported modifier in ${{{inner}}}")),
            },
        }
    }

    fn value(&self, name: &str) -> Option<String> {
        let find =
            |variable: &String| Some(variable.split_once('=').filter(|(key, _)| *key == name)?.1.to_owned());
        self.env.into_iter().flatten().find_map(find)
    }
}

fn take_name(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len());
    &text[..end]
}

/// Where the brace that closes the first one is, inner ones counted.
fn closing_brace(text: &str) -> Option<usize> {
    let mut depth = 0;
    text.char_indices().find_map(|(at, character)| match character {
        '{' => {
            depth += 1;
            None
        }
        '}' if depth == 0 => Some(at),
        '}' => {
            depth -= 1;
            None
        }
        _ => None,
    })
}
