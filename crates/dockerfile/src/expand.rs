//! Variables in words: `$x`, `${x:-y}`, `${x%pat}`, quotes and escapes, as the Dockerfile reference's "Environment
//! replacement" has them and BuildKit carries them out.
//!
//! One [`Expander`] belongs to one Dockerfile, for it knows the escape character and counts what patterns cost.

mod pattern;
mod word;

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
};

use crate::{
    limits::{MOST_EXPANDED, MOST_MATCHING},
    quote::quoted,
};

/// Where the values of variables come from.
pub trait Variables {
    /// The value; `None` when it isn't set.
    fn get(&self, name: &str) -> Option<&str>;
}

/// No variables at all.
pub struct NoVariables;

impl Variables for NoVariables {
    fn get(&self, _: &str) -> Option<&str> {
        None
    }
}

impl Variables for BTreeMap<String, String> {
    fn get(&self, name: &str) -> Option<&str> {
        Self::get(self, name).map(String::as_str)
    }
}

/// Why a word could not be expanded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("failed to process {}: {reason}", quoted(.word))]
pub struct ExpandError {
    /// The word, or its beginning.
    pub word: String,
    /// Why.
    pub reason: String,
}

/// What became of a word.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expansion {
    /// As one word.
    pub text: String,
    /// Split at the spaces that aren't quoted.
    pub words: Vec<String>,
    /// The variables it used that are set.
    pub matched: BTreeSet<String>,
    /// Those that aren't.
    pub unmatched: BTreeSet<String>,
}

/// Expands words.
#[derive(Debug, Clone)]
pub struct Expander {
    /// `\` or `` ` ``.
    escape: char,
    /// Whether quotes stay.
    keeps_quotes: bool,
    /// Whether escape characters stay.
    keeps_escapes: bool,
    /// Whether quotes mean nothing (here-documents).
    ignores_quotes: bool,
    /// Whether variables that aren't set stay as they are written.
    keeps_unset: bool,
    matching_left: Cell<u64>,
    bytes_left: Cell<usize>,
}

impl Expander {
    /// For words of a Dockerfile with this escape character.
    pub fn new(escape: char) -> Self {
        Self {
            escape,
            keeps_quotes: false,
            keeps_escapes: false,
            ignores_quotes: false,
            keeps_unset: false,
            matching_left: Cell::new(MOST_MATCHING),
            bytes_left: Cell::new(MOST_EXPANDED),
        }
    }

    /// For the content of here-documents: quotes are only characters there, and `\` escapes whatever the directive says.
    pub fn of_heredocs() -> Self {
        Self { ignores_quotes: true, ..Self::new('\\') }
    }

    /// For titles: only variables that are set are replaced, quotes stay.
    pub(crate) fn of_titles(escape: char) -> Self {
        Self { keeps_quotes: true, keeps_unset: true, ..Self::new(escape) }
    }

    /// For finding words without changing them.
    pub(crate) fn of_raw_words() -> Self {
        Self { keeps_quotes: true, keeps_escapes: true, keeps_unset: true, ..Self::new('\\') }
    }

    /// For the word that ends a here-document: nothing is set, quotes go.
    pub(crate) fn of_heredoc_names() -> Self {
        Self { keeps_unset: true, ..Self::new('\\') }
    }

    /// The word with its variables replaced, its quotes and escapes carried out.
    ///
    /// # Errors
    /// [`ExpandError`] on a quote or brace that doesn't end, an unknown modifier, a variable that `${x:?}` asks for, and a
    /// result that is too long.
    pub fn expand(&self, word: &str, variables: &dyn Variables) -> Result<Expansion, ExpandError> {
        let read = word::Reader::new(self, word, variables).read().and_then(|found| self.count(found));
        read.map_err(|reason| {
            let end = word.char_indices().nth(1000).map_or(word.len(), |(at, _)| at);
            ExpandError { word: word[..end].to_owned(), reason }
        })
    }

    /// Counts what a word became.
    fn count(&self, found: Expansion) -> Result<Expansion, String> {
        let left = self.bytes_left.get().checked_sub(found.text.len());
        self.bytes_left.set(left.unwrap_or(0));
        left.map(|_| found).ok_or_else(|| "the values of variables are too long".to_owned())
    }

    /// Counts what a pattern costs.
    fn spend(&self, cost: u64) -> Result<(), String> {
        let left = self.matching_left.get().checked_sub(cost);
        self.matching_left.set(left.unwrap_or(0));
        left.map(|_| ()).ok_or_else(|| "the patterns and values of substitutions are too long".to_owned())
    }
}

#[cfg(test)]
mod tests;
