//! `.dockerignore`, and the patterns of `develop.watch`: which files of a folder don't count.
//!
//! A pattern is a path below the folder with `*`, `?`, `[…]` and `**`; `!` before it takes files in again, and the last pattern
//! that fits decides (Docker's documentation, ".dockerignore files").

use std::path::Path;

/// The patterns of one folder.
#[derive(Debug, Default, Clone)]
pub struct Ignore {
    patterns: Vec<Pattern>,
}

#[derive(Debug, Clone)]
struct Pattern {
    parts: Vec<String>,
    takes_in: bool,
}

impl Ignore {
    /// Reads a file's text.
    pub fn parse(text: &str) -> Self {
        let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim);
        Self::of(lines.filter(|line| !line.starts_with('#')))
    }

    /// From patterns.
    pub fn of<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Self {
        let pattern = |line: &str| {
            let (takes_in, line) = line.strip_prefix('!').map_or((false, line), |rest| (true, rest.trim()));
            let parts = line.split('/').filter(|part| !matches!(*part, "" | "."));
            // A path is cleaned as a shell would: `a/../b` is `b`.
            let parts = parts.fold(Vec::new(), |mut parts: Vec<String>, part| {
                match part {
                    ".." => drop(parts.pop()),
                    part => parts.push(part.to_owned()),
                }
                parts
            });
            (!parts.is_empty()).then_some(Pattern { parts, takes_in })
        };
        Self { patterns: patterns.into_iter().filter_map(pattern).collect() }
    }

    /// Adds patterns that come after.
    pub fn extend(&mut self, other: Self) {
        self.patterns.extend(other.patterns);
    }

    /// Whether a path below the folder is left out. A folder that is left out takes what is in it along.
    pub fn excludes(&self, path: &Path) -> bool {
        let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
        let parts: Vec<&str> = parts.iter().map(AsRef::as_ref).collect();
        let mut excluded = false;
        for pattern in &self.patterns {
            // Also when a folder above fits.
            let fits = (1..=parts.len()).any(|length| fits(&pattern.parts, &parts[..length]));
            if fits {
                excluded = !pattern.takes_in;
            }
        }
        excluded
    }

    /// Whether something in a folder that is left out may be taken in again.
    pub fn takes_in_below(&self, folder: &Path) -> bool {
        let depth = folder.iter().count();
        self.patterns.iter().any(|pattern| {
            pattern.takes_in
                && (pattern.parts.iter().any(|part| part == "**") || {
                    let parts = folder.iter().zip(&pattern.parts);
                    pattern.parts.len() > depth
                        && parts.into_iter().all(|(part, pattern)| wildcard(pattern, &part.to_string_lossy()))
                })
        })
    }
}

fn fits(pattern: &[String], path: &[&str]) -> bool {
    match pattern.split_first() {
        None => path.is_empty(),
        Some((first, rest)) if first == "**" => (0..=path.len()).any(|skipped| fits(rest, &path[skipped..])),
        Some((first, rest)) => {
            path.split_first().is_some_and(|(part, below)| wildcard(first, part) && fits(rest, below))
        }
    }
}

/// One part of a path against one of a pattern, without backtracking over more than the last `*`.
fn wildcard(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut at, mut from, mut star) = (0, 0, None);
    while from < text.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, from));
                at += 1;
                continue;
            }
            Some(_) => {
                if let Some(next) = one(&pattern, at, text[from]) {
                    (at, from) = (next, from + 1);
                    continue;
                }
            }
            None => {}
        }
        let Some((star_at, star_from)) = star else { return false };
        star = Some((star_at, star_from + 1));
        (at, from) = (star_at + 1, star_from + 1);
    }
    pattern[at..].iter().all(|letter| *letter == '*')
}

/// Where the pattern goes on after one letter that fits.
fn one(pattern: &[char], at: usize, letter: char) -> Option<usize> {
    match pattern[at] {
        '?' => Some(at + 1),
        '\\' if at + 1 < pattern.len() => (pattern[at + 1] == letter).then_some(at + 2),
        '[' => {
            let close = pattern[at + 1..].iter().skip(1).position(|end| *end == ']')? + at + 2;
            let inside = &pattern[at + 1..close];
            let (negated, inside) = match inside.first() {
                Some('^' | '!') => (true, &inside[1..]),
                _ => (false, inside),
            };
            (class(inside, letter) != negated).then_some(close + 1)
        }
        plain => (plain == letter).then_some(at + 1),
    }
}

fn class(inside: &[char], letter: char) -> bool {
    let mut at = 0;
    while at < inside.len() {
        if at + 2 < inside.len() && inside[at + 1] == '-' {
            if (inside[at]..=inside[at + 2]).contains(&letter) {
                return true;
            }
            at += 3;
        } else {
            if inside[at] == letter {
                return true;
            }
            at += 1;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_pattern_that_fits_decides() {
        let ignore =
            Ignore::parse("# comment\n*.log\n!keep.log\n/target\n**/node_modules\ndocs/*\n!docs/README.md\n");
        for (path, excluded) in [
            ("a.log", true),
            ("sub/a.log", false),
            ("keep.log", false),
            ("target/debug/x", true),
            ("src/target", false),
            ("a/b/node_modules/c", true),
            ("docs/x", true),
            ("docs/README.md", false),
            ("src/main.rs", false),
        ] {
            assert_eq!(ignore.excludes(Path::new(path)), excluded, "{path}");
        }
        assert!(ignore.takes_in_below(Path::new("docs")));
        assert!(!ignore.takes_in_below(Path::new("target")));
    }

    #[test]
    fn wildcards_are_a_shells() {
        for (pattern, text, fits) in [
            ("*.rs", "main.rs", true),
            ("a?c", "abc", true),
            ("[a-c]*", "box", true),
            ("[^a-c]*", "box", false),
            ("\\*", "*", true),
            ("a*b*c", "aXbYbZc", true),
            ("*", "", true),
            ("[a", "a", false),
        ] {
            assert_eq!(wildcard(pattern, text), fits, "{pattern} {text}");
        }
    }
}
