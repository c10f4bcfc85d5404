//! Mistakes as BuildKit shows them: one line, and an excerpt of the file.

use std::sync::Arc;

use super::*;

fn source(text: &str) -> Source {
    Source { name: Arc::from("Dockerfile"), text: Arc::from(text) }
}

#[test]
fn a_mistake_is_shown_with_the_lines_around_it() {
    let source = source("FROM alpine\n\nRUM make\nRUN true\n");
    let mistake =
        Diagnostic::new(&source, Lines::one(3), "unknown instruction: RUM".into()).with_help("Do.".into());
    insta::assert_snapshot!(mistake.render(), @r"
    Dockerfile:3
    --------------------
       1 |     FROM alpine
       2 |     
       3 | >>> RUM make
       4 |     RUN true
       5 |     
    --------------------
    unknown instruction: RUM
    Do.
    ");
}

#[test]
fn what_would_move_the_cursor_is_not_printed() {
    let shown = excerpt(&source("RUN \u{1b}[2J\u{7}"), &[Lines::one(1)]);
    assert!(!shown.contains(['\u{1b}', '\u{7}']), "{shown}");
}

#[test]
fn lines_outside_of_the_file_show_nothing() {
    assert_eq!(excerpt(&source("FROM a"), &[Lines::one(7)]), "");
    assert_eq!(excerpt(&source("FROM a"), &[]), "");
}
