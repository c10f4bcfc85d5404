//! Splits a template into text and actions, and an action into tokens.

use serde_json::Value;

use super::TemplateError;

/// Text, or the inside of `{{…}}`.
#[derive(Debug, PartialEq)]
pub(super) enum Piece<'a> {
    Text(&'a str),
    /// The inside without delimiters and trim markers, and the line it starts on.
    Action(&'a str, usize),
}

/// One token of an action.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// `.Name`; adjacent to what stands before it when the flag says so (`$x.Name`, `(…).Name`).
    Field(String, bool),
    Dot,
    Variable(String),
    Word(String),
    Literal(Value),
    Open,
    Close,
    Pipe,
    Comma,
    Declare,
    Assign,
}

const SPACE: [char; 4] = [' ', '\t', '\r', '\n'];

/// Splits at `{{` and `}}`, applies the trim markers `{{- ` and ` -}}`, and drops comments.
pub(super) fn pieces(text: &str) -> Result<Vec<Piece<'_>>, TemplateError> {
    let mut pieces = Vec::new();
    let (mut rest, mut line, mut trim_next) = (text, 1, false);
    while let Some(open) = rest.find("{{") {
        let (before, after) = (&rest[..open], &rest[open + 2..]);
        line += before.matches('\n').count();
        let trims_before = after.starts_with('-') && after[1..].starts_with(SPACE);
        let inside = if trims_before { &after[1..] } else { after };
        push_text(&mut pieces, before, trim_next, trims_before);
        let length = action_length(inside)
            .ok_or_else(|| TemplateError::new(format!(":{line}: unclosed action, missing }}}}")))?;
        let mut action = &inside[..length];
        rest = &inside[length + 2..];
        trim_next = action.ends_with('-') && action[..action.len() - 1].ends_with(SPACE);
        if trim_next {
            action = &action[..action.len() - 1];
        }
        if !action.trim().starts_with("/*") {
            pieces.push(Piece::Action(action, line));
        }
        line += action.matches('\n').count();
    }
    push_text(&mut pieces, rest, trim_next, false);
    Ok(pieces)
}

fn push_text<'a>(pieces: &mut Vec<Piece<'a>>, text: &'a str, trim_start: bool, trim_end: bool) {
    let text = if trim_start { text.trim_start_matches(SPACE) } else { text };
    let text = if trim_end { text.trim_end_matches(SPACE) } else { text };
    if !text.is_empty() {
        pieces.push(Piece::Text(text));
    }
}

/// Where the closing `}}` is, not counting those in strings and comments.
fn action_length(inside: &str) -> Option<usize> {
    if inside.trim_start().starts_with("/*") {
        let end = inside.find("*/")? + 2;
        return Some(end + inside[end..].find("}}")?);
    }
    let bytes = inside.as_bytes();
    let (mut at, mut quote) = (0, None);
    while at < bytes.len() {
        match (quote, bytes[at]) {
            (None, b'}') if bytes.get(at + 1) == Some(&b'}') => return Some(at),
            (None, byte @ (b'"' | b'`' | b'\'')) => quote = Some(byte),
            (Some(b'"' | b'\''), b'\\') => at += 1,
            (Some(open), byte) if open == byte => quote = None,
            _ => {}
        }
        at += 1;
    }
    None
}

/// The tokens of one action.
pub(super) fn tokens(action: &str, line: usize) -> Result<Vec<Token>, TemplateError> {
    let mut tokens = Vec::new();
    let mut rest = action;
    let mut spaced = true;
    while let Some(first) = rest.chars().next() {
        if first.is_whitespace() {
            rest = &rest[first.len_utf8()..];
            spaced = true;
            continue;
        }
        let (token, length) = token(rest, first, spaced)
            .map_err(|problem| TemplateError::new(format!(":{line}: {problem}")))?;
        tokens.push(token);
        rest = &rest[length..];
        spaced = false;
    }
    Ok(tokens)
}

/// The token at the start of `rest` and its length in bytes.
fn token(rest: &str, first: char, spaced: bool) -> Result<(Token, usize), String> {
    let after = &rest[first.len_utf8()..];
    match first {
        '(' => Ok((Token::Open, 1)),
        ')' => Ok((Token::Close, 1)),
        '|' => Ok((Token::Pipe, 1)),
        ',' => Ok((Token::Comma, 1)),
        ':' if after.starts_with('=') => Ok((Token::Declare, 2)),
        '=' => Ok((Token::Assign, 1)),
        '"' => double_quoted(rest),
        '`' => raw_quoted(after),
        '\'' => character(after),
        '.' if after.starts_with(|c: char| c.is_ascii_digit()) => number(rest),
        '.' => match word_length(after) {
            0 => Ok((Token::Dot, 1)),
            length => Ok((Token::Field(after[..length].to_owned(), !spaced), length + 1)),
        },
        '$' => {
            let length = word_length(after);
            Ok((Token::Variable(after[..length].to_owned()), length + 1))
        }
        '0'..='9' => number(rest),
        '-' | '+' if after.starts_with(|c: char| c.is_ascii_digit()) => number(rest),
        first if first.is_alphabetic() || first == '_' => {
            let length = word_length(rest);
            Ok((word(&rest[..length]), length))
        }
        other => Err(format!("unexpected {other:?} in command")),
    }
}

fn word_length(text: &str) -> usize {
    text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len())
}

fn word(word: &str) -> Token {
    match word {
        "true" => Token::Literal(Value::Bool(true)),
        "false" => Token::Literal(Value::Bool(false)),
        "nil" => Token::Literal(Value::Null),
        other => Token::Word(other.to_owned()),
    }
}

fn number(rest: &str) -> Result<(Token, usize), String> {
    let length = rest
        .char_indices()
        .find(|(at, c)| {
            !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_') || (*at == 0 && "+-".contains(*c)))
        })
        .map_or(rest.len(), |(at, _)| at);
    let text = &rest[..length];
    let plain = text.replace('_', "");
    let integer = match plain.trim_start_matches(['+', '-']).strip_prefix("0x") {
        Some(hex) => i64::from_str_radix(hex, 16).ok().map(|n| if plain.starts_with('-') { -n } else { n }),
        None => plain.trim_start_matches('+').parse().ok(),
    };
    let value = match integer {
        Some(integer) => Value::from(integer),
        None => plain.parse::<f64>().map(Value::from).map_err(|_| format!("bad number syntax: {text:?}"))?,
    };
    Ok((Token::Literal(value), length))
}

fn raw_quoted(after: &str) -> Result<(Token, usize), String> {
    let end = after.find('`').ok_or("unterminated raw quoted string")?;
    Ok((Token::Literal(Value::from(&after[..end])), end + 2))
}

fn character(after: &str) -> Result<(Token, usize), String> {
    let (value, length) = unquote(after, '\'').ok_or("unterminated character constant")?;
    let mut characters = value.chars();
    match (characters.next(), characters.next()) {
        (Some(only), None) => Ok((Token::Literal(Value::from(u32::from(only))), length + 1)),
        _ => Err("malformed character constant".to_owned()),
    }
}

fn double_quoted(rest: &str) -> Result<(Token, usize), String> {
    let (value, length) = unquote(&rest[1..], '"').ok_or("unterminated quoted string")?;
    Ok((Token::Literal(Value::String(value)), length + 1))
}

/// The string up to `quote` with Go's escapes resolved, and how many bytes it took with the closing quote.
fn unquote(text: &str, quote: char) -> Option<(String, usize)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, c)) = characters.next() {
        if c == quote {
            return Some((value, at + 1));
        }
        if c != '\\' {
            value.push(c);
            continue;
        }
        let (_, escape) = characters.next()?;
        let mut hex = |digits: usize| {
            let code: String = (0..digits).filter_map(|_| characters.next().map(|(_, c)| c)).collect();
            u32::from_str_radix(&code, 16).ok().and_then(char::from_u32)
        };
        value.push(match escape {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'v' => '\u{b}',
            'x' => hex(2)?,
            'u' => hex(4)?,
            'U' => hex(8)?,
            other => other,
        });
    }
    None
}
