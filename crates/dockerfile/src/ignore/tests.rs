//! Patterns of `.dockerignore` and of COPY: single paths, walks, and what no pattern may cost.

use proptest::prelude::*;

use super::*;

#[track_caller]
fn ignored(patterns: &[&str], path: &str) -> bool {
    let matcher = Matcher::new(patterns).unwrap();
    let at_once = matcher.matches(path);
    let mut folder = matcher.root();
    for (at, _) in path.match_indices('/') {
        folder = matcher.enter(&path[..at], &folder).1;
    }
    assert_eq!(matcher.is_ignored(path, &folder), at_once, "{path} in a walk, by {patterns:?}");
    at_once
}

#[test]
fn a_name_is_one_at_the_root_and_all_in_it() {
    assert!(ignored(&["target"], "target") && ignored(&["target"], "target/debug/x"));
    assert!(!ignored(&["target"], "src/target") && !ignored(&["target"], "targets"));
}

#[test]
fn two_stars_reach_across_folders() {
    for path in ["x.log", "a/x.log", "a/b/x.log", "x.log/inside"] {
        assert!(ignored(&["**/*.log"], path), "{path}");
    }
    assert!(!ignored(&["*.log"], "a/x.log"), "one star doesn't");
    assert!(ignored(&["a/**/z"], "a/z") && ignored(&["a/**/z"], "a/b/c/z") && !ignored(&["a/**/z"], "a/bz"));
    assert!(ignored(&["a/**"], "a/b") && !ignored(&["a/**"], "a"));
    assert!(ignored(&["**"], "anything/at/all") && ignored(&["**/x"], "x") && !ignored(&["**/x"], "ax"));
    assert!(ignored(&["**x"], "a/ax"));
}

#[test]
fn one_character_and_classes_stay_within_a_name() {
    assert!(ignored(&["a?c"], "abc") && ignored(&["a?c"], "a☺c") && !ignored(&["a?c"], "a/c"));
    assert!(ignored(&["[a-c]x"], "bx") && !ignored(&["[^a-c]x"], "bx") && ignored(&["[^a-c]x"], "dx"));
    assert!(ignored(&[r"a\*"], "a*") && !ignored(&[r"a\*"], "ab") && ignored(&[r"[\]]"], "]"));
    assert!(ignored(&["a.b+(c)|$^{1}"], "a.b+(c)|$^{1}"), "nothing else is special");
}

#[test]
fn the_last_pattern_that_matches_decides() {
    let patterns = ["docs", "!docs/README.md", "docs/**/tmp"];
    assert!(ignored(&patterns, "docs/a.md") && !ignored(&patterns, "docs/README.md"));
    assert!(ignored(&["*", "!src"], "Cargo.toml") && !ignored(&["*", "!src"], "src/main.rs"));
    assert!(ignored(&["!a", "*"], "a"), "an exception before is none");
}

#[test]
fn a_malformed_pattern_is_named() {
    for pattern in ["[", "[a", "[]a]", "[a-]", "[-a]", r"a\", "[^", "a["] {
        let error = Matcher::new([pattern]).unwrap_err();
        assert!(error.to_string().starts_with("syntax error in pattern \""), "{pattern}");
    }
    assert_eq!(Matcher::new(["!"]).unwrap_err(), PatternError::Nothing);
}

#[test]
fn a_walk_leaves_out_folders_in_which_nothing_is_kept() {
    let verdict = |patterns: &[&str], folder: &str| {
        let matcher = Matcher::new(patterns).unwrap();
        matcher.enter(folder, &matcher.root()).0
    };
    assert_eq!(verdict(&["node_modules"], "node_modules"), Verdict::Ignored);
    assert_eq!(verdict(&["node_modules"], "src"), Verdict::Kept);
    assert_eq!(verdict(&["*", "!src"], "target"), Verdict::Ignored, "no exception is in there");
    assert_eq!(verdict(&["*", "!src"], "src"), Verdict::Kept);
    assert_eq!(verdict(&["*", "!src/main.rs"], "src"), Verdict::Partly);
    assert_eq!(verdict(&["*", "!**/main.rs"], "src"), Verdict::Partly, "it could be anywhere");
    assert_eq!(verdict(&["*", "!sr?/main.rs"], "src"), Verdict::Partly);
    assert_eq!(verdict(&["*", "!s?/main.rs"], "src"), Verdict::Ignored);
    assert_eq!(verdict(&["a", "!a/b/**"], "a"), Verdict::Partly);
}

#[test]
fn what_includes_says_where_to_look() {
    let matcher = Matcher::new(["a/*/c", "**/x"]).unwrap();
    assert!(matcher.may_match_below("a") && matcher.may_match_below("b"));
    let matcher = Matcher::new(["a/*/c"]).unwrap();
    assert!(
        matcher.may_match_below("a/b") && !matcher.may_match_below("b") && !matcher.may_match_below("a/b/c")
    );
}

#[test]
fn a_file_has_comments_empty_lines_and_paths_that_arent_clean() {
    let text = b"\xef\xbb\xbf# comment\n  # none\n\n /a/./b/ \n!  /c\r\n/\n!\n**/x/\n";
    assert_eq!(read(text).unwrap(), ["# none", "a/b", "!c", "/", "!", "**/x"]);
    assert_eq!(read(b"a\n\xff").unwrap_err(), IgnoreFileError::Encoding { line: 2 });
    assert!(read(&vec![b'\n'; 5 << 20]).is_err());
}

#[test]
fn the_sources_of_copy_have_simpler_patterns() {
    let glob = Glob::new("src/*.[ch]").unwrap();
    assert!(glob.matches("src/a.c") && !glob.matches("src/b/a.c") && !glob.matches("src/a.cc"));
    assert!(glob.may_match_below("src") && !glob.may_match_below("lib"));
    assert_eq!(glob.folder(), "src");
    assert_eq!(
        (Glob::new("*").unwrap().folder(), Glob::new(r"a\*/b/c?").unwrap().folder()),
        (String::new(), "a*/b".into())
    );
    assert!(!Glob::new("**/a").unwrap().matches("x/y/a"), "two stars are no more than one");
    assert!(Glob::new("[").is_err());
}

proptest! {
    /// The forms that compare texts say the same as the walk over tokens, and pruning loses nothing.
    #[test]
    fn no_kept_file_is_in_a_folder_that_is_left_out(
        patterns in proptest::collection::vec("!?[ab*?/]{1,5}", 1..5),
        path in "[ab](/[ab]){0,4}",
    ) {
        let Ok(matcher) = Matcher::new(&patterns) else { return Ok(()) };
        let mut folder = matcher.root();
        let mut is_out = false;
        for (at, _) in path.match_indices('/') {
            let (verdict, inside) = matcher.enter(&path[..at], &folder);
            is_out |= verdict == Verdict::Ignored;
            folder = inside;
        }
        if is_out {
            prop_assert!(matcher.is_ignored(&path, &folder), "{} by {:?}", path, patterns);
        }
    }

    #[test]
    fn a_pattern_without_exceptions_matches_in_a_walk_what_it_matches_at_once(
        patterns in proptest::collection::vec("[ab*?/]{1,5}", 1..4),
        path in "[ab](/[ab]){0,4}",
    ) {
        let Ok(matcher) = Matcher::new(&patterns) else { return Ok(()) };
        let mut folder = matcher.root();
        for (at, _) in path.match_indices('/') {
            folder = matcher.enter(&path[..at], &folder).1;
        }
        prop_assert_eq!(matcher.is_ignored(&path, &folder), matcher.matches(&path));
    }
}
