//! The patterns of `${x#…}`, `${x%…}` and `${x/…/…}`: `*` is any text, `?` any character, neither across lines; `\` escapes
//! those two and itself. No brackets.

/// A pattern.
pub(super) struct Pattern(Vec<Token>);

#[derive(Clone, Copy)]
enum Token {
    Character(char),
    AnyCharacter,
    AnyText,
}

/// Whether `*` takes as much as it can.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Length {
    Shortest,
    Longest,
}

impl Pattern {
    /// Reads one.
    pub(super) fn new(text: &str) -> Result<Self, String> {
        let mut tokens = Vec::new();
        let mut characters = text.chars().peekable();
        while let Some(c) = characters.next() {
            tokens.push(match (c, characters.peek().copied()) {
                ('*', _) => Token::AnyText,
                ('?', _) => Token::AnyCharacter,
                // What ends a pattern must be escaped in it, which is no part of it.
                ('\\', Some('}' | '/')) => continue,
                ('\\', Some(next @ ('*' | '?' | '\\'))) => {
                    characters.next();
                    Token::Character(next)
                }
                ('\\', next) => {
                    let shown = next.map(String::from).unwrap_or_default();
                    return Err(format!(
                        "invalid pattern ({text}) in substitution: invalid escape '\\{shown}'"
                    ));
                }
                _ => Token::Character(c),
            });
        }
        Ok(Self(tokens))
    }

    /// What matching a value with so many characters costs.
    pub(super) fn cost(&self, value: &[char]) -> u64 {
        (self.0.len() as u64 + 1).saturating_mul(value.len() as u64 + 1)
    }

    /// The value without what the pattern matches at its beginning.
    pub(super) fn without_prefix(&self, value: &[char], length: Length) -> String {
        let end = self.ends(value, length)[0].unwrap_or(0);
        value[end..].iter().collect()
    }

    /// The value without what the pattern matches at its end.
    pub(super) fn without_suffix(&self, value: &[char], length: Length) -> String {
        let mirrored = Self(self.0.iter().rev().copied().collect());
        let value: Vec<char> = value.iter().rev().copied().collect();
        mirrored.without_prefix(&value, length).chars().rev().collect()
    }

    /// The value with the first match replaced, or all.
    pub(super) fn replaced(&self, value: &[char], with: &str, all: bool) -> String {
        let ends = self.ends(value, Length::Longest);
        let (mut out, mut done, mut at) = (String::new(), 0, 0);
        while let Some(start) = (at..=value.len()).find(|at| ends[*at].is_some()) {
            let end = ends[start].unwrap_or(start);
            out.extend(&value[done..start]);
            // Nothing, directly after something, was part of that.
            if end > done || start == 0 {
                out.push_str(with);
            }
            done = end;
            if !all {
                break;
            }
            at = end.max(start + 1);
        }
        out.extend(&value[done..]);
        out
    }

    /// For each place of the value where a match ends that begins there. From the last token to the first and from the end
    /// of the value to its beginning, so that each pair is looked at once.
    fn ends(&self, value: &[char], length: Length) -> Vec<Option<usize>> {
        let mut after: Vec<Option<usize>> = (0..=value.len()).map(Some).collect();
        for token in self.0.iter().rev() {
            let mut here = vec![None; value.len() + 1];
            for at in (0..=value.len()).rev() {
                let next = value.get(at);
                let is_inside = next.is_some_and(|c| *c != '\n');
                here[at] = match token {
                    Token::Character(c) if next == Some(c) => after[at + 1],
                    Token::Character(_) => None,
                    Token::AnyCharacter if is_inside => after[at + 1],
                    Token::AnyCharacter => None,
                    Token::AnyText if is_inside => better(after[at], here[at + 1], length),
                    Token::AnyText => after[at],
                };
            }
            after = here;
        }
        after
    }
}

fn better(a: Option<usize>, b: Option<usize>, length: Length) -> Option<usize> {
    match (a, b) {
        (Some(a), Some(b)) if length == Length::Longest => Some(a.max(b)),
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
