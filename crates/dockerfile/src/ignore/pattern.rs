//! One pattern. Most are a name, a folder with all in it, or a name anywhere; those compare texts. The others walk over the
//! path with the set of places in the pattern that it may be at, so no pattern takes longer than its length times the path's.

use crate::{paths::clean, quote::quoted};

/// A text that is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// `!` alone.
    #[error("illegal exclusion pattern: \"!\"")]
    Nothing,
    /// A `[` without its `]`, a `\` at the end, and the like.
    #[error("syntax error in pattern {}", quoted(.0))]
    Syntax(String),
}

/// A pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    /// Whether it is an exception.
    pub(super) is_exception: bool,
    /// Its text, clean, without `!`.
    pub(super) text: String,
    form: Form,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Form {
    Exact,
    Prefix(String),
    Suffix(String),
    Tokens(Vec<Token>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// This character.
    Character(char),
    /// `?`: any but `/`.
    AnyCharacter,
    /// `*`: any within a name.
    AnyName,
    /// `**` and a `/` if there is one: nothing, or folders.
    AnyFolders,
    /// `**` at the end: anything.
    AnyRest,
    /// `[a-z]`, `[^a]`.
    Class { is_negated: bool, ranges: Vec<(char, char)> },
}

/// As much of a pattern as a message shows.
pub(super) fn beginning(text: &str) -> String {
    text.chars().take(200).collect()
}

impl Pattern {
    /// Reads a pattern; nothing when it is empty.
    pub(super) fn new(text: &str) -> Result<Option<Self>, PatternError> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(None);
        }
        let text = clean(text);
        let (is_exception, text) = match text.strip_prefix('!') {
            Some("") => return Err(PatternError::Nothing),
            Some(rest) => (true, rest.to_owned()),
            None => (false, text),
        };
        let tokens = tokens(&text, true).ok_or_else(|| PatternError::Syntax(beginning(&text)))?;
        Ok(Some(Self { is_exception, form: Form::of(&text, tokens), text }))
    }

    /// Whether the whole path matches.
    pub(super) fn matches(&self, path: &str) -> bool {
        match &self.form {
            Form::Exact => path == self.text,
            Form::Prefix(prefix) => path.starts_with(prefix.as_str()),
            Form::Suffix(suffix) => {
                path.ends_with(suffix.as_str()) || suffix.strip_prefix('/') == Some(path) && !path.is_empty()
            }
            Form::Tokens(tokens) => walk(tokens, path).is_some_and(|places| places.at_end(tokens)),
        }
    }

    /// Whether the path matches, or a folder that it is in.
    pub(super) fn matches_with_parents(&self, path: &str) -> bool {
        match &self.form {
            Form::Exact => path
                .strip_prefix(self.text.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
            // What a folder begins with, all in it does.
            Form::Prefix(_) => self.matches(path),
            Form::Suffix(_) => {
                let mut parents = path.match_indices('/').map(|(at, _)| &path[..at]);
                self.matches(path) || parents.any(|parent| !parent.is_empty() && self.matches(parent))
            }
            Form::Tokens(tokens) => {
                let mut in_folder = false;
                let end =
                    walk_noting(tokens, path, |at, places| in_folder |= at > 0 && places.at_end(tokens));
                in_folder || end.is_some_and(|places| places.at_end(tokens))
            }
        }
    }

    /// Whether a path below this folder could match.
    pub(super) fn may_match_below(&self, folder: &str) -> bool {
        let below = |text: &str| text.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
        match &self.form {
            Form::Exact => below(&self.text),
            Form::Prefix(prefix) => below(prefix) || format!("{folder}/").starts_with(prefix.as_str()),
            Form::Suffix(_) => true,
            Form::Tokens(tokens) => walk(tokens, &format!("{folder}/")).is_some(),
        }
    }
}

impl Form {
    /// As moby's patternmatcher sorts them. `**` at the very beginning makes a suffix of all that isn't special.
    fn of(text: &str, tokens: Vec<Token>) -> Self {
        let plain = |tokens: &[Token]| tokens.iter().all(|token| matches!(token, Token::Character(_)));
        match tokens.as_slice() {
            _ if text.contains('\\') => Self::Tokens(tokens),
            all if plain(all) => Self::Exact,
            [Token::AnyRest] => Self::Suffix(String::new()),
            [Token::AnyFolders, rest @ ..] if plain(rest) => Self::Suffix(text[2..].to_owned()),
            [start @ .., Token::AnyRest] if plain(start) => Self::Prefix(text[..text.len() - 2].to_owned()),
            _ => Self::Tokens(tokens),
        }
    }
}

/// The tokens of a pattern; `None` when it is malformed. Without `crosses`, `**` is no more than `*`.
pub(super) fn tokens(text: &str, crosses: bool) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        tokens.push(match c {
            '*' if crosses && characters.peek() == Some(&'*') => {
                characters.next();
                characters.next_if_eq(&'/');
                if characters.peek().is_none() { Token::AnyRest } else { Token::AnyFolders }
            }
            '*' => Token::AnyName,
            '?' => Token::AnyCharacter,
            '\\' => Token::Character(characters.next()?),
            '[' => class(&mut characters)?,
            _ => Token::Character(c),
        });
    }
    Some(tokens)
}

/// What follows `[`, with its `]`.
fn class(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Token> {
    let is_negated = characters.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    loop {
        if !ranges.is_empty() && characters.next_if_eq(&']').is_some() {
            return Some(Token::Class { is_negated, ranges });
        }
        let low = class_character(characters)?;
        let high = if characters.next_if_eq(&'-').is_some() { class_character(characters)? } else { low };
        ranges.push((low, high));
    }
}

fn class_character(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<char> {
    match characters.next()? {
        '-' | ']' => None,
        '\\' => characters.next(),
        c => Some(c),
    }
}

/// The places in a pattern that a path may be at.
///
/// `**` in the middle is at two places: `here`, where it may still be nothing, and `inside`, where it takes anything and goes on
/// behind a `/`.
pub(super) struct Places {
    here: Vec<bool>,
    inside: Vec<bool>,
}

impl Places {
    fn none(tokens: &[Token]) -> Self {
        Self { here: vec![false; tokens.len() + 1], inside: vec![false; tokens.len()] }
    }

    /// Whether nothing more has to match.
    pub(super) fn at_end(&self, tokens: &[Token]) -> bool {
        self.here[tokens.len()]
    }

    fn clear(&mut self) {
        self.here.fill(false);
        self.inside.fill(false);
    }

    fn is_empty(&self) -> bool {
        !self.here.contains(&true) && !self.inside.contains(&true)
    }

    /// Goes on to the places that need no character.
    fn spread(&mut self, tokens: &[Token]) {
        for (at, token) in tokens.iter().enumerate() {
            if self.here[at] && matches!(token, Token::AnyName | Token::AnyRest | Token::AnyFolders) {
                self.here[at + 1] = true;
            }
        }
    }

    /// Where `c` leads from here.
    fn step(&self, tokens: &[Token], c: char, next: &mut Self) {
        for (at, token) in tokens.iter().enumerate() {
            let is_here = self.here[at];
            match token {
                Token::AnyFolders if (is_here || self.inside[at]) && c != '\n' => {
                    next.inside[at] = true;
                    next.here[at + 1] |= c == '/';
                }
                _ if !is_here => (),
                Token::AnyName if c != '/' => next.here[at] = true,
                Token::AnyRest if c != '\n' => next.here[at] = true,
                _ if token.takes(c) => next.here[at + 1] = true,
                _ => (),
            }
        }
        next.spread(tokens);
    }
}

/// The places after a path; `None` when nothing that begins so can match.
pub(super) fn walk(tokens: &[Token], path: &str) -> Option<Places> {
    walk_noting(tokens, path, |_, _| ())
}

/// The same, with a look at the places before each `/`.
fn walk_noting(tokens: &[Token], path: &str, mut note: impl FnMut(usize, &Places)) -> Option<Places> {
    let (mut places, mut next) = (Places::none(tokens), Places::none(tokens));
    places.here[0] = true;
    places.spread(tokens);
    for (at, c) in path.char_indices() {
        if c == '/' {
            note(at, &places);
        }
        next.clear();
        places.step(tokens, c, &mut next);
        if next.is_empty() {
            return None;
        }
        std::mem::swap(&mut places, &mut next);
    }
    Some(places)
}

impl Token {
    fn takes(&self, c: char) -> bool {
        match self {
            Self::Character(wanted) => *wanted == c,
            Self::AnyCharacter => c != '/',
            Self::Class { is_negated, ranges } => {
                ranges.iter().any(|(low, high)| *low <= c && c <= *high) != *is_negated
            }
            Self::AnyName | Self::AnyFolders | Self::AnyRest => false,
        }
    }
}
