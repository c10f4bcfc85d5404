//! A command line as a text, split into words as docker compose splits it: quotes and backslashes, no expansion.

/// Why a command can't be split.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WordsError {
    /// A quote or a backslash has no end.
    #[error("invalid command line string: a quote or a backslash is not closed")]
    Open,
}

/// The words of a command line.
pub(crate) fn split(line: &str) -> Result<Vec<String>, WordsError> {
    let mut words = Vec::new();
    let mut word = String::new();
    let (mut has_word, mut escaped, mut quote) = (false, false, None);
    for c in line.chars() {
        if escaped {
            word.push(c);
            (escaped, has_word) = (false, true);
            continue;
        }
        match (c, quote) {
            ('\\', None | Some('"')) => escaped = true,
            (c, Some(open)) if c == open => quote = None,
            (c, Some(_)) => word.push(c),
            ('\'' | '"', None) => (quote, has_word) = (Some(c), true),
            (' ' | '\t' | '\r' | '\n', None) => {
                if std::mem::take(&mut has_word) {
                    words.push(std::mem::take(&mut word));
                }
            }
            // A shell would end the command here; so does docker compose.
            (';' | '&' | '|' | '<' | '>', None) => break,
            (c, None) => {
                word.push(c);
                has_word = true;
            }
        }
    }
    if escaped || quote.is_some() {
        return Err(WordsError::Open);
    }
    if has_word {
        words.push(word);
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_as_a_shell_does() {
        for (line, words) in [
            ("echo a  b", vec!["echo", "a", "b"]),
            ("sh -c 'a b' \"c \\\" d\"", vec!["sh", "-c", "a b", "c \" d"]),
            ("a\\ b '' x''y", vec!["a b", "", "xy"]),
            ("", vec![]),
            ("a\n  b", vec!["a", "b"]),
        ] {
            assert_eq!(split(line).unwrap(), words, "{line:?}");
        }
        assert_eq!(split("a 'b"), Err(WordsError::Open));
        assert_eq!(split("a \\"), Err(WordsError::Open));
    }
}
