//! Variables in words: every form, quotes, and limits.

use proptest::prelude::*;

use super::*;

fn variables() -> BTreeMap<String, String> {
    [
        ("A", "one"),
        ("EMPTY", ""),
        ("PATH_", "/usr/lib/libx.so.1"),
        ("LIST", "a  b"),
        ("ÄÖ", "umlaut"),
        ("NL", "a\nb"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

#[track_caller]
fn becomes(word: &str, wanted: &str) {
    assert_eq!(Expander::new('\\').expand(word, &variables()).unwrap().text, wanted, "{word}");
}

#[track_caller]
fn fails(word: &str, reason: &str) {
    let error = Expander::new('\\').expand(word, &variables()).unwrap_err();
    assert_eq!(error.reason, reason, "{word}");
    assert!(error.to_string().starts_with("failed to process \""));
}

#[test]
fn a_name_is_replaced_by_its_value() {
    becomes("$A-${A}", "one-one");
    becomes("$Ab ${A}b", " oneb");
    becomes("$ÄÖ!", "umlaut!");
    becomes("$ $. 5$", "$ $. 5$");
    becomes("$1x ${12} $@ $$", "x   ");
}

#[test]
fn quotes_and_escapes_are_carried_out() {
    becomes(r#"'$A' "$A" \$A"#, "$A one $A");
    becomes(r#""a\"b\\c\d" 'a\b'"#, r#"a"b\c\d a\b"#);
    becomes(r"a\ b\", "a b");
    fails("\"a", "unexpected end of statement while looking for matching double-quote");
    fails("'a", "unexpected end of statement while looking for matching single-quote");
}

#[test]
fn a_default_stands_for_what_is_unset_and_with_a_colon_for_what_is_empty() {
    becomes("${NONE-x} ${EMPTY-x} ${A-x}", "x  one");
    becomes("${NONE:-x} ${EMPTY:-x} ${A:-x}", "x x one");
    becomes("${NONE+x}|${EMPTY+x}|${A+x}", "|x|x");
    becomes("${NONE:+x}|${EMPTY:+x}|${A:+x}", "||x");
    becomes("${NONE:-${EMPTY:-$A}}", "one");
    becomes("${NONE:-'a b' \"c\"}", "a b c");
}

#[test]
fn what_must_be_set_is_asked_for_by_name() {
    becomes("${A?} ${A:?x}", "one one");
    fails("${NONE?}", "NONE: is not allowed to be unset");
    fails("${EMPTY:?}", "EMPTY: is not allowed to be empty");
    fails("${EMPTY:?give $A}", "EMPTY: give one");
    becomes("${EMPTY?}", "");
}

#[test]
fn a_pattern_is_taken_from_the_beginning_or_the_end() {
    becomes("${PATH_#*/} ${PATH_##*/}", "usr/lib/libx.so.1 libx.so.1");
    becomes("${PATH_%.*} ${PATH_%%.*}", "/usr/lib/libx.so /usr/lib/libx");
    becomes("${A#?} ${A%$EMPTY} ${NONE#x}", "ne one ");
    // Only `*`, `?` and `\` can be escaped in a pattern.
    fails(r"${A#\o}", r"invalid pattern (\o) in substitution: invalid escape '\o'");
}

#[test]
fn a_pattern_is_replaced_once_or_everywhere() {
    becomes("${PATH_/lib/x} ${PATH_//lib/x}", "/usr/x/libx.so.1 /usr/x/xx.so.1");
    becomes(r"${PATH_//\//_}", "_usr_lib_libx.so.1");
    becomes("${A/?/}${A//?/x}", "nexxx");
    becomes("${A//*/$PATH_}", "/usr/lib/libx.so.1");
    becomes("${NL/*/x}", "x\nb");
    fails("${A/x", "syntax error: missing '/' in ${}");
    fails("${A/x/", "syntax error: missing '}'");
}

#[test]
fn what_no_modifier_is_fails() {
    fails("${A:=x}", "unsupported modifier (:=) in substitution");
    fails("${A=x}", "unsupported modifier (=) in substitution");
    fails("${A:#x}", "unsupported modifier (:#) in substitution");
    fails("${A", "unsupported modifier () in substitution");
    fails("${A:-x", "syntax error: missing '}'");
    fails("${", "syntax error: missing '}'");
    for word in ["${}", "${{A}", "${:-x}"] {
        fails(word, "syntax error: bad substitution");
    }
}

#[test]
fn spaces_in_values_separate_words_unless_they_are_quoted() {
    let words = |word: &str| Expander::new('\\').expand(word, &variables()).unwrap().words;
    assert_eq!(words("x$LIST y"), ["xa", "b", "y"]);
    assert_eq!(words("x\"$LIST\" 'y z' a\\ b"), ["xa  b", "y z", "a b"]);
    assert_eq!(words("abc${NONE:-d}e"), ["abcde"]);
}

#[test]
fn the_names_that_were_used_are_known() {
    let found = Expander::new('\\').expand("$A ${NONE:-$OTHER} '$QUOTED'", &variables()).unwrap();
    assert_eq!(found.matched, BTreeSet::from(["A".to_owned()]));
    assert_eq!(found.unmatched, BTreeSet::from(["NONE".to_owned(), "OTHER".to_owned()]));
}

#[test]
fn the_escape_character_may_be_a_backtick() {
    let found = Expander::new('`').expand(r"C:\$A `$A", &variables()).unwrap();
    assert_eq!(found.text, r"C:\one $A");
}

#[test]
fn titles_keep_quotes_and_what_is_unset() {
    let found =
        Expander::of_titles('\\').expand("\"$A\" $NONE ${NONE:-x} ${NONE/a/b}", &variables()).unwrap();
    assert_eq!(found.text, "\"one\" $NONE ${NONE:-x} ${NONE/a/b}");
}

#[test]
fn here_documents_know_no_quotes() {
    let found = Expander::of_heredocs().expand("it's \"$A\" \\$A", &variables()).unwrap();
    assert_eq!(found.text, "it's \"one\" $A");
}

#[test]
fn no_word_grows_without_end() {
    let huge: BTreeMap<String, String> = [("x".to_owned(), "y".repeat(600_000))].into();
    let expander = Expander::new('\\');
    assert!(expander.expand("$x", &huge).is_ok());
    assert!(expander.expand("$x$x", &huge).unwrap_err().reason.contains("becomes longer"));
    assert!(expander.expand("${x//y/$x}", &huge).is_err());
    assert!((0..1000).any(|_| expander.expand("$x", &huge).is_err()), "all words together have a limit");
    let deep = "${a:-".repeat(200) + &"}".repeat(200);
    assert!(Expander::new('\\').expand(&deep, &NoVariables).unwrap_err().reason.contains("deep"));
    let stars = format!("${{x#{}z}}", "*".repeat(10_000));
    assert!(Expander::new('\\').expand(&stars, &huge).unwrap_err().reason.contains("too long"));
}

proptest! {
    #[test]
    fn a_text_without_anything_special_stays_as_it_is(text in "[^$'\"\\\\<]*") {
        prop_assert_eq!(Expander::new('\\').expand(&text, &NoVariables).unwrap().text, text);
    }

    #[test]
    fn no_text_panics(text in "[$a-c{}:/#%?+*'\"\\\\< -]{0,40}", value in "[a-c/*]{0,10}") {
        let variables: BTreeMap<String, String> = [("a".to_owned(), value)].into();
        for expander in [Expander::new('\\'), Expander::new('`'), Expander::of_heredocs(), Expander::of_titles('\\')] {
            if let Ok(found) = expander.expand(&text, &variables) {
                let joined: String = found.words.concat();
                prop_assert!(joined.len() <= found.text.len());
            }
        }
    }

    /// `#` and `%` take the shortest and the longest that a glob matches; compared with trying each length.
    #[test]
    fn patterns_match_what_a_plain_search_finds(value in "[ab/]{0,8}", pattern in "[ab/*?]{0,5}") {
        let variables: BTreeMap<String, String> = [("v".to_owned(), value.clone())].into();
        let is_prefix = |end: &usize| globs(&pattern, &value[..*end]);
        let cut = |end: Option<usize>| value[end.unwrap_or(0)..].to_owned();
        let (shortest, longest) = ((0..=value.len()).find(is_prefix), (0..=value.len()).rev().find(is_prefix));
        let escaped = pattern.replace('/', "\\/");
        for (modifier, wanted) in [("#", cut(shortest)), ("##", cut(longest))] {
            let found = Expander::new('\\').expand(&format!("${{v{modifier}{escaped}}}"), &variables).unwrap();
            prop_assert_eq!(found.text, wanted, "{} of {}", pattern, value);
        }
    }
}

/// The plainest glob there is.
fn globs(pattern: &str, text: &str) -> bool {
    match pattern.chars().next() {
        None => text.is_empty(),
        Some('*') => (0..=text.len()).any(|at| globs(&pattern[1..], &text[at..])),
        Some('?') => !text.is_empty() && globs(&pattern[1..], &text[1..]),
        Some(c) => text.starts_with(c) && globs(&pattern[1..], &text[1..]),
    }
}
