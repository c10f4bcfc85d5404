//! The rows of a build at a moment.
//!
//! ```text
//!   [+] Building 2.3s (3/7)
//!    => [internal] load build context                                  0.0s
//!    => [2/4] RUN make                                                 2.1s
//!    => => # cc -c main.c
//!    => FROM debian:12                                                 2.2s
//!    => => sha256:1f2e [=========>          ] 12.3MB / 24MB            1.9s
//! ```
//! What runs has its last lines and its transfers below it; what is done is one row. Where not all fit, what is done goes first.

use std::time::Duration;

use minke_model::quantity;

use super::{Stand, Step, Transfer, Tree};
use crate::paint::{Row, look};

/// Lines of a running step's log.
const LINES: usize = 6;
/// How wide a bar is.
const BAR: u64 = 20;

impl Tree {
    /// All rows that fit into a terminal of so many; once it has ended, all that there are.
    pub(in super::super) fn rows(&self, now: Duration, height: usize, stand: Stand) -> Vec<Row> {
        let mut rows = vec![self.header(now, stand)];
        if stand != Stand::Running {
            rows.extend(self.begun.iter().map(|at| self.vertices[*at].row(now, stand)));
            return rows;
        }
        // One for the header, and the cursor stands below.
        let room = height.saturating_sub(2).max(1);
        let shown = self.fitting(room, now);
        rows.extend(shown.into_iter().flatten().take(room));
        rows
    }

    fn header(&self, now: Duration, stand: Stand) -> Row {
        let done = self.vertices.iter().filter(|step| step.took.is_some()).count();
        let text = format!("[+] Building {:.1}s ({done}/{})", now.as_secs_f64(), self.vertices.len());
        let row = Row::of(look::NONE, &text);
        let row = match stand {
            Stand::Running => row,
            Stand::Done => row.and(look::GREEN, " FINISHED"),
            Stand::Failed => row.and(look::RED, " FAILED"),
        };
        match self.warnings.len() {
            0 => row,
            1 => row.and(look::YELLOW, "  1 warning"),
            many => row.and(look::YELLOW, &format!("  {many} warnings")),
        }
    }

    /// The rows of each step, so few that all fit if they can: fewer lines of logs, then fewer steps that are done.
    fn fitting(&self, room: usize, now: Duration) -> Vec<Vec<Row>> {
        let steps: Vec<&Step> = self.begun.iter().map(|at| &self.vertices[*at]).collect();
        let mut lines = LINES;
        loop {
            let rows: Vec<_> = steps.iter().map(|step| step.group(lines, now)).collect();
            let mut surplus = rows.iter().map(Vec::len).sum::<usize>().saturating_sub(room);
            if surplus > 0 && lines > 0 {
                lines -= 1;
                continue;
            }
            let kept = steps.iter().zip(rows).filter(|(step, rows)| {
                let leaves = surplus > 0 && !step.is_running();
                if leaves {
                    surplus = surplus.saturating_sub(rows.len());
                }
                !leaves
            });
            return kept.map(|(_, rows)| rows).collect();
        }
    }
}

impl Step {
    /// Its own row, and below it what goes on in it.
    fn group(&self, lines: usize, now: Duration) -> Vec<Row> {
        let mut rows = vec![self.row(now, Stand::Running)];
        if self.is_running() {
            let going = self.transfers.iter().filter(|transfer| !transfer.done);
            rows.extend(going.map(|transfer| transfer.row(now)));
            let skipped = self.tail.len().saturating_sub(lines);
            let tail = self.tail.iter().skip(skipped);
            rows.extend(tail.map(|line| Row::of(look::DIM, &format!(" => => # {line}"))));
        }
        rows
    }

    fn row(&self, now: Duration, stand: Stand) -> Row {
        let (colour, word) = match (self.took, self.error.is_empty(), self.cached) {
            (_, false, _) => (look::RED, "ERROR "),
            // One that others' failure has ended is neither done nor going on.
            (None, ..) if stand != Stand::Running => (look::YELLOW, "CANCELED "),
            (None, ..) => (look::CYAN, ""),
            (Some(_), _, true) => (look::GREEN, "CACHED "),
            (Some(_), ..) => (look::GREEN, ""),
        };
        let time = self.took.unwrap_or_else(|| now.saturating_sub(self.began.unwrap_or(now)));
        Row::of(colour, &format!(" => {word}{}", self.name)).at_right(seconds(time))
    }
}

impl Transfer {
    fn row(&self, now: Duration) -> Row {
        let row = Row::of(look::NONE, &format!(" => => {}", self.id));
        let size = |bytes: u64| quantity::decimal_size(bytes as f64, 4);
        let row = match (self.current, self.total) {
            (0, 0) => row,
            (current, 0) => row.and(look::NONE, &format!(" {}", size(current))),
            (current, total) => {
                let text = format!(" {} {} / {}", bar(current, total), size(current.min(total)), size(total));
                row.and(look::CYAN, &text)
            }
        };
        row.at_right(seconds(now.saturating_sub(self.began)))
    }
}

/// `[======>    ]`
fn bar(current: u64, total: u64) -> String {
    let filled = (u128::from(current.min(total)) * u128::from(BAR) / u128::from(total.max(1))) as usize;
    let (mut bar, width) = ("=".repeat(filled), BAR as usize);
    if filled < width {
        bar.push('>');
    }
    format!("[{bar:<width$}]")
}

fn seconds(time: Duration) -> String {
    format!("{:.1}s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use minke_build_client::{BuildEvent, Log, LogStream, Status, Vertex, Warning};
    use time::{OffsetDateTime, macros::datetime};

    use super::*;

    const BEGIN: OffsetDateTime = datetime!(2026-01-01 00:00 UTC);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn vertex(digest: &str, name: &str, started: Option<i64>, completed: Option<i64>) -> Vertex {
        let moment = |seconds: i64| BEGIN + time::Duration::seconds(seconds);
        Vertex {
            digest: digest.into(),
            name: name.into(),
            started: started.map(moment),
            completed: completed.map(moment),
            ..Vertex::default()
        }
    }

    fn log(vertex: &str, text: &str) -> BuildEvent {
        let data = Bytes::copy_from_slice(text.as_bytes());
        BuildEvent::Log(Log { vertex: vertex.into(), stream: LogStream::Stdout, data, time: None })
    }

    fn status(vertex: &str, id: &str, current: u64, total: u64, completed: bool) -> BuildEvent {
        let (vertex, id) = (vertex.into(), id.into());
        let completed = completed.then_some(BEGIN);
        BuildEvent::Status(Status { vertex, id, current, total, completed, ..Status::default() })
    }

    fn drawn(rows: &[Row], columns: usize) -> String {
        let lines = rows.iter().map(|row| row.fitted(columns, false).0.trim_end().to_owned() + "\n");
        lines.collect()
    }

    /// Three steps: one done, one in the cache, one that runs and pulls.
    fn tree() -> Tree {
        let mut tree = Tree::default();
        tree.event(&BuildEvent::Vertex(vertex("w", "[4/4] COPY . .", None, None)), at(0));
        tree.event(
            &BuildEvent::Vertex(vertex("a", "[internal] load build context", Some(0), Some(1))),
            at(1),
        );
        let cached = Vertex { cached: true, ..vertex("b", "[2/4] RUN apt-get update", Some(1), Some(1)) };
        tree.event(&BuildEvent::Vertex(cached), at(1));
        tree.event(&BuildEvent::Vertex(vertex("c", "[3/4] RUN make", Some(1), None)), at(1));
        tree
    }

    #[test]
    fn what_runs_has_its_last_lines_and_transfers_below_it() {
        let mut tree = tree();
        tree.event(&log("c", "one\ntwo\nthr"), at(2));
        tree.event(&log("c", "ee\n\x1b[31mfour\x1b[0m\nnot yet"), at(2));
        tree.event(&status("c", "sha256:1f2e", 12_345_678, 24_000_000, false), at(2));
        tree.event(&status("c", "sha256:done", 5, 5, true), at(2));
        tree.event(&status("c", "extracting", 0, 0, false), at(3));
        insta::assert_snapshot!(drawn(&tree.rows(at(4), 30, Stand::Running), 72));
    }

    #[test]
    fn rows_are_cut_where_names_are_long_or_wide() {
        let mut tree = tree();
        let name = "[5/5] RUN echo 全部の文字は二つの列を取ります && true";
        tree.event(&BuildEvent::Vertex(vertex("d", name, Some(2), None)), at(2));
        insta::assert_snapshot!(drawn(&tree.rows(at(4), 30, Stand::Running), 40));
    }

    #[test]
    fn on_a_small_terminal_what_runs_is_shown() {
        let mut tree = tree();
        for number in 0..20 {
            let done = vertex(&format!("x{number}"), &format!("done {number}"), Some(1), Some(2));
            tree.event(&BuildEvent::Vertex(done), at(2));
        }
        tree.event(&log("c", "one\ntwo\nthree\nfour\n"), at(2));
        let rows = tree.rows(at(4), 8, Stand::Running);
        assert_eq!(rows.len(), 7, "{}", drawn(&rows, 60));
        assert!(drawn(&rows, 60).contains("RUN make"));
        assert_eq!(tree.rows(at(4), 8, Stand::Done).len(), 24, "in the end all are");
    }

    #[test]
    fn a_failure_is_told_with_the_end_of_its_log() {
        let mut tree = tree();
        let text: String = (0..30).map(|line| format!("line {line}\n")).collect();
        tree.event(&log("c", &text), at(2));
        tree.event(&BuildEvent::Warning(Warning::default()), at(2));
        let failed =
            Vertex { error: "exit code: 2".into(), ..vertex("c", "[3/4] RUN make", Some(1), Some(3)) };
        tree.event(&BuildEvent::Vertex(vertex("e", "FROM other", Some(2), None)), at(2));
        tree.event(&BuildEvent::Vertex(failed), at(3));
        insta::assert_snapshot!(drawn(&tree.rows(at(3), 30, Stand::Failed), 60));
        let (name, tail) = tree.failed().next().unwrap();
        assert_eq!((name, tail.len(), tail[19].as_str()), ("[3/4] RUN make", 20, "line 29"));
    }

    #[test]
    fn what_an_engine_says_without_end_is_bounded() {
        let mut tree = Tree::default();
        for number in 0..20_000 {
            tree.event(&BuildEvent::Vertex(vertex(&number.to_string(), "x", Some(0), None)), at(0));
        }
        for number in 0..1_500 {
            tree.event(&status("0", &number.to_string(), 1, 2, false), at(0));
        }
        tree.event(&log("0", &"x".repeat(1 << 20)), at(0));
        assert_eq!((tree.vertices.len(), tree.vertices[0].transfers.len()), (10_000, 1_000));
        assert!(tree.vertices[0].rest.len() <= 1 << 20);
        assert_eq!(tree.rows(at(1), 24, Stand::Running).len(), 23);
    }

    #[test]
    fn a_bar_is_as_full_as_the_transfer() {
        assert_eq!(bar(0, 10), "[>                   ]");
        assert_eq!(bar(5, 10), "[==========>         ]");
        assert_eq!(bar(11, 10), "[====================]");
        assert_eq!(bar(u64::MAX, u64::MAX), "[====================]");
    }
}
