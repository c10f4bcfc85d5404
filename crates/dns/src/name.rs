//! Names as they are compared: lower-case words with dots between, without the dot at the end.
//!
//! DNS compares letters of ASCII without their case (RFC 4343) and other bytes as they are.

use hickory_proto::rr::Name;

/// The longest name in dotted form (RFC 1035, section 2.3.4).
const LONGEST: usize = 253;
/// The longest word between dots.
const LONGEST_LABEL: usize = 63;

/// A name as the engine or a user wrote it; `None` when no query can carry it.
pub(crate) fn written(name: &str) -> Option<String> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let fits = |label: &str| (1..=LONGEST_LABEL).contains(&label.len());
    (name.len() <= LONGEST && name.split('.').all(fits)).then(|| name.to_ascii_lowercase())
}

/// A name as a query carries it; `None` when nothing local is called so: the root, words that are no text or have dots
/// in them.
pub(crate) fn asked(name: &Name) -> Option<String> {
    let mut text = String::with_capacity(name.len());
    for label in name.iter() {
        let label = str::from_utf8(label).ok().filter(|label| !label.contains('.'))?;
        if !text.is_empty() {
            text.push('.');
        }
        text.push_str(label);
    }
    text.make_ascii_lowercase();
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(labels: &[&[u8]]) -> Name {
        Name::from_labels(labels.iter().copied()).unwrap()
    }

    #[test]
    fn case_and_the_last_dot_make_no_difference() {
        assert_eq!(written("Web.Example."), Some("web.example".into()));
        assert_eq!(asked(&wire(&[b"wEB", b"exAMple"])), Some("web.example".into()));
    }

    #[test]
    fn a_name_that_no_query_can_carry_is_none() {
        let long = "a".repeat(64);
        let longest = ["a".repeat(63).as_str(); 4].join(".");
        for name in ["", ".", "a..b", ".a", "a..", &long, &longest] {
            assert_eq!(written(name), None, "{name:?}");
        }
        assert!(written(&longest[..253]).is_some());
    }

    #[test]
    fn a_dot_inside_of_a_word_is_no_dot_between_words() {
        assert_eq!(asked(&wire(&[b"web.example"])), None);
        assert_eq!(asked(&wire(&[b"\xff"])), None);
        assert_eq!(asked(&Name::root()), None);
    }

    #[test]
    fn underscores_and_letters_of_any_language_are_names() {
        assert_eq!(written("My_Äpp"), Some("my_Äpp".into()));
        assert_eq!(asked(&wire(&["MY_Äpp".as_bytes()])), Some("my_Äpp".into()));
    }
}
