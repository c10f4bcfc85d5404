//! «did you mean …?»: the nearest of the words that would have been right.

/// The nearest of `options` with at most two letters wrong; the first of those that are equally near.
pub(crate) fn nearest<'a>(word: &str, options: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let mut best = None;
    let mut distance = 3;
    for option in options {
        // Another mistake than its spelling was made with a word that is right.
        if option == word {
            return None;
        }
        if option.len().abs_diff(word.len()) > 8 {
            continue;
        }
        let found = levenshtein(word, option);
        if found < distance {
            (best, distance) = (Some(option), found);
        }
    }
    best
}

/// ` (did you mean WORD?)`, or nothing.
pub(crate) fn hint<'a>(word: &str, options: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, options).map(|found| format!(" (did you mean {found}?)")).unwrap_or_default()
}

/// The same where capitals don't matter: the suggestion has those of the word.
pub(crate) fn hint_in_any_case<'a>(word: &str, options: impl IntoIterator<Item = &'a str>) -> String {
    let lower = word.to_lowercase();
    let options: Vec<String> = options.into_iter().map(str::to_lowercase).collect();
    let Some(found) = nearest(&lower, options.iter().map(String::as_str)) else { return String::new() };
    let is_upper = word != lower && word == word.to_uppercase();
    format!(" (did you mean {}?)", if is_upper { found.to_uppercase() } else { found.to_owned() })
}

/// How many letters must be changed, added or left out.
fn levenshtein(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, right) in b.iter().enumerate() {
            let changed = diagonal + usize::from(left != *right);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_suggested_and_a_far_one_is_not() {
        assert_eq!(hint("form", ["from", "link"]), " (did you mean from?)");
        assert_eq!(hint("paltform", ["platform"]), " (did you mean platform?)");
        assert_eq!(hint("banana", ["from", "link"]), "");
        assert_eq!(hint("from", ["from", "form"]), "", "its spelling was right");
    }

    #[test]
    fn a_suggestion_has_the_capitals_of_the_word() {
        assert_eq!(hint_in_any_case("FORM", ["FROM"]), " (did you mean FROM?)");
        assert_eq!(hint_in_any_case("copyy", ["COPY"]), " (did you mean copy?)");
    }
}
