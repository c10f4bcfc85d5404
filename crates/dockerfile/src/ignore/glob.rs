//! The sources of `COPY` and `ADD`, whose patterns are simpler than those of `.dockerignore`.

use super::{
    PatternError,
    pattern::{Token, beginning, tokens, walk},
};

/// The pattern of a source of `COPY` or `ADD`: `*` and `?` within a name, `[…]`; `**` is no more than `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob {
    tokens: Vec<Token>,
}

impl Glob {
    /// Reads one. Slashes separate, none leads.
    ///
    /// # Errors
    /// [`PatternError::Syntax`].
    pub fn new(text: &str) -> Result<Self, PatternError> {
        let tokens = tokens(text, false).ok_or_else(|| PatternError::Syntax(beginning(text)))?;
        Ok(Self { tokens })
    }

    /// Whether the whole path matches.
    pub fn matches(&self, path: &str) -> bool {
        walk(&self.tokens, path).is_some_and(|places| places.at_end(&self.tokens))
    }

    /// Whether a path below this folder could match.
    pub fn may_match_below(&self, folder: &str) -> bool {
        walk(&self.tokens, &format!("{folder}/")).is_some()
    }

    /// The folder above the first wildcard, where a walk may begin; empty for the root. Escapes are carried out.
    pub fn folder(&self) -> String {
        let plain = self.tokens.iter().map_while(|token| match token {
            Token::Character(c) => Some(*c),
            _ => None,
        });
        let plain: String = plain.collect();
        plain.rfind('/').map_or_else(String::new, |end| plain[..end].to_owned())
    }
}
