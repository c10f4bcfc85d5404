//! Words from outside as errors quote them: their beginning. A body of megabytes is no line of a log.

/// How many characters say enough about what was wrong.
const LONGEST: usize = 160;

/// The text, or its beginning and `…`.
pub(crate) fn excerpt(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_two_characters() {
        assert_eq!(excerpt(&"ä".repeat(160)), "ä".repeat(160));
        assert_eq!(excerpt(&"ä".repeat(161)), format!("{}…", "ä".repeat(160)));
    }
}
