//! How instructions split what follows their name: at spaces, into words with quotes, or as a JSON array.

use super::Mistake;

/// What separates words; a line's end is none of it, other spaces of Unicode aren't either.
pub(super) fn is_space(c: char) -> bool {
    matches!(c, '\t' | '\u{b}' | '\u{c}' | '\r' | ' ')
}

/// Split at spaces, quotes or not.
pub(super) fn split(rest: &str) -> Vec<String> {
    rest.split(is_space).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// Split at spaces that aren't in quotes. Quotes and escapes stay.
pub(super) fn words(rest: &str, escape: char) -> Vec<String> {
    let (mut words, mut word) = (Vec::new(), String::new());
    let mut quote = None;
    let mut characters = rest.chars();
    while let Some(c) = characters.next() {
        match c {
            _ if quote.is_none() && c.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                continue;
            }
            '\'' | '"' if quote.is_none() => quote = Some(c),
            _ if quote == Some(c) => quote = None,
            // Nothing can be escaped between single quotes, and nothing at the end.
            _ if c == escape && quote != Some('\'') => {
                if let Some(escaped) = characters.next() {
                    word.extend([c, escaped]);
                }
                continue;
            }
            _ => (),
        }
        word.push(c);
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// The texts of a JSON array; `None` when it isn't one.
///
/// # Errors
/// An array of other things than texts is a mistake, for nobody means a command by that.
pub(super) fn json(rest: &str) -> Result<Option<Vec<String>>, Mistake> {
    if !rest.trim_start().starts_with('[') {
        return Ok(None);
    }
    let Ok(values) = serde_json::from_str::<Vec<serde_json::Value>>(rest) else { return Ok(None) };
    let text = |value| match value {
        serde_json::Value::String(text) => Ok(text),
        _ => Err(Mistake::Line(
            "when using JSON array syntax, arrays must be comprised of strings only".to_owned(),
        )),
    };
    values.into_iter().map(text).collect::<Result<_, _>>().map(Some)
}

/// A JSON array, or else words split at spaces.
pub(super) fn json_or_split(rest: &str) -> Result<Vec<String>, Mistake> {
    Ok(json(rest)?.unwrap_or_else(|| split(rest)))
}
