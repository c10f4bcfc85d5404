//! Rows on a terminal that are drawn over those before: the progress of Compose and of builds.
//!
//! Rows are cut to the terminal's width, in which wide characters count twice. What they say comes from engines and programs, so
//! that nothing in it may move the cursor: see [`clean`].

use std::fmt::Write as _;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// What a span looks like (ECMA-48, SGR); no look is the terminal's own.
pub(crate) mod look {
    /// As all else.
    pub(crate) const NONE: &str = "";
    /// Less than all else.
    pub(crate) const DIM: &str = "2";
    /// What failed.
    pub(crate) const RED: &str = "31";
    /// What is done.
    pub(crate) const GREEN: &str = "32";
    /// What should be looked at.
    pub(crate) const YELLOW: &str = "33";
    /// What goes on.
    pub(crate) const CYAN: &str = "36";
}

/// One row: spans from the left, and a text that ends at the right edge.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Row {
    spans: Vec<(&'static str, String)>,
    right: String,
}

impl Row {
    /// Begins a row.
    pub(crate) fn of(look: &'static str, text: &str) -> Self {
        Self::default().and(look, text)
    }

    /// Goes on with a text.
    pub(crate) fn and(mut self, look: &'static str, text: &str) -> Self {
        self.spans.push((look, clean(text)));
        self
    }

    /// With a text at the right edge, for which the others make room.
    pub(crate) fn at_right(mut self, text: String) -> Self {
        self.right = text;
        self
    }

    /// The text of the row in so many columns, and how many it takes.
    pub(crate) fn fitted(&self, columns: usize, colours: bool) -> (String, usize) {
        let right = self.right.width();
        let room = if right == 0 { columns } else { columns.saturating_sub(right + 1) };
        let (mut text, mut used) = (String::new(), 0);
        for (look, span) in &self.spans {
            let (fitting, width) = cut(span, room - used);
            used += width;
            match colours && !look.is_empty() && !fitting.is_empty() {
                true => drop(write!(text, "\x1b[{look}m{fitting}\x1b[0m")),
                false => text.push_str(fitting),
            }
            if fitting.len() < span.len() {
                break;
            }
        }
        if right == 0 || right >= columns {
            return (text, used);
        }
        text.extend(std::iter::repeat_n(' ', columns - right - used));
        text.push_str(&self.right);
        (text, columns)
    }
}

/// As much of a text as so many columns hold, and how many it takes.
fn cut(text: &str, columns: usize) -> (&str, usize) {
    let mut used = 0;
    for (at, c) in text.char_indices() {
        let width = c.width().unwrap_or(0);
        if used + width > columns {
            return (&text[..at], used);
        }
        used += width;
    }
    (text, used)
}

/// A text without what a terminal would act on: escape sequences are left out, as are other control characters; a tab is a few
/// spaces, and of a line that was written over again and again (`\r`) the last is taken.
pub(crate) fn clean(text: &str) -> String {
    let text = text.trim_end_matches(['\r', '\n']);
    let text = text.rsplit_once('\r').map_or(text, |(_, last)| last);
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '\t' => plain.push_str("    "),
            '\x1b' => match characters.next() {
                // CSI: parameters, then a letter.
                Some('[') => drop(characters.by_ref().find(|c| matches!(c, '@'..='~'))),
                // OSC and other strings: up to BEL, or ESC and a backslash.
                Some(']' | 'P' | 'X' | '^' | '_') => {
                    while let Some(c) = characters.next() {
                        if c == '\x07' || c == '\x1b' && characters.next_if_eq(&'\\').is_some() {
                            break;
                        }
                    }
                }
                _ => {}
            },
            c if c.is_control() => {}
            c => plain.push(c),
        }
    }
    plain
}

/// Draws rows over those that it drew before.
#[derive(Debug, Default)]
pub(crate) struct Painter {
    /// The widths of the rows that stand there.
    drawn: Vec<usize>,
}

impl Painter {
    /// The text that draws the rows in a terminal of so many columns. One that has become narrower since the last time has broken
    /// its rows, which are then so many more to go up.
    pub(crate) fn frame(&mut self, rows: &[Row], columns: usize, colours: bool) -> String {
        let columns = columns.max(2);
        let above: usize = self.drawn.iter().map(|width| width.div_ceil(columns).max(1)).sum();
        let mut text = String::new();
        if above > 0 {
            let _ = write!(text, "\x1b[{above}A");
        }
        text.push('\r');
        self.drawn.clear();
        for row in rows {
            // The last column stays free: a cursor behind it is on the next row already on some terminals.
            let (line, width) = row.fitted(columns - 1, colours);
            self.drawn.push(width);
            text.push_str(&line);
            text.push_str("\x1b[K\n");
        }
        text.push_str("\x1b[J");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(row: &Row, columns: usize) -> String {
        row.fitted(columns, false).0
    }

    #[test]
    fn rows_are_cut_to_their_columns_and_the_right_stays() {
        let row = Row::of(look::CYAN, "abcdef").and(look::NONE, "ghi").at_right("1.0s".into());
        assert_eq!(shown(&row, 20), "abcdefghi       1.0s");
        assert_eq!(shown(&row, 12), "abcdefg 1.0s");
        assert_eq!(shown(&row, 7), "ab 1.0s");
        assert_eq!(shown(&row, 3), "");
        assert_eq!(row.fitted(12, true).0, "\x1b[36mabcdef\x1b[0mg 1.0s");
    }

    #[test]
    fn wide_characters_take_two_columns() {
        let row = Row::of(look::NONE, "構築する").at_right("x".into());
        assert_eq!(row.fitted(7, false), ("構築  x".into(), 7));
        assert_eq!(row.fitted(6, false), ("構築 x".into(), 6));
        assert_eq!(row.fitted(20, false).1, 20);
    }

    #[test]
    fn nothing_in_a_text_moves_the_cursor() {
        assert_eq!(clean("\x1b[31mred\x1b[0m\x1b]0;title\x07 \x1b[2Jx\x08\ty\r\n"), "red x    y");
        assert_eq!(clean("10%\r50%\r100%"), "100%");
        assert_eq!(clean("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\ \u{9b}2J"), "link 2J");
        assert_eq!(clean("open \x1b]never closed"), "open ");
        assert_eq!(clean("\x1b"), "");
    }

    #[test]
    fn a_frame_goes_up_over_the_one_before_also_when_that_has_been_broken() {
        let rows = [Row::of(look::NONE, "a").at_right("b".into()), Row::of(look::NONE, "c")];
        let mut painter = Painter::default();
        assert_eq!(painter.frame(&rows, 10, false), "\ra       b\x1b[K\nc\x1b[K\n\x1b[J");
        assert!(painter.frame(&rows, 10, false).starts_with("\x1b[2A\ra"));
        assert!(painter.frame(&rows, 5, false).starts_with("\x1b[3A\ra  b\x1b[K"), "the first row takes two");
        assert!(painter.frame(&[], 5, false).starts_with("\x1b[2A\r\x1b[J"));
    }
}
