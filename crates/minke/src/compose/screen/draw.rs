//! The lines of a terminal, drawn over the ones before.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::Instant,
};

use minke_compose::run::{Event, Phase};
use minke_model::quantity;
use serde_json::Value;
use unicode_width::UnicodeWidthStr;

use crate::paint::{Painter, Row, look};

/// What turns while something works.
const SPINNER: [char; 10] = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];

/// So many lines of a failed build are shown.
const REMEMBERED: usize = 40;

/// All lines since the work began.
#[derive(Debug)]
pub(super) struct Board {
    lines: Vec<Line>,
    /// Where the line of each resource is.
    places: HashMap<String, usize>,
    painter: Painter,
    frames: usize,
    colours: bool,
}

#[derive(Debug)]
struct Line {
    resource: String,
    text: String,
    phase: Phase,
    began: Instant,
    ended: Option<Instant>,
    detail: String,
    /// What was said last, for when it fails.
    said: VecDeque<String>,
    /// Bytes of each layer: here, and in all.
    layers: BTreeMap<String, (u64, u64)>,
}

impl Board {
    pub(super) fn new(colours: bool) -> Self {
        Self { lines: Vec::new(), places: HashMap::new(), painter: Painter::default(), frames: 0, colours }
    }

    /// What was shown stays; new lines come below.
    pub(super) fn begin(&mut self) {
        *self = Self::new(self.colours);
    }

    pub(super) fn update(&mut self, event: Event) {
        let now = Instant::now();
        let line = self.line(&event.resource, now);
        line.ended = (event.phase != Phase::Working).then_some(now);
        line.text = event.text;
        line.phase = event.phase;
        line.detail.clear();
    }

    /// A message of a pull or build about a resource.
    pub(super) fn detail(&mut self, resource: &str, message: &Value) {
        let line = self.line(resource, Instant::now());
        let number = |field: &str| message["progressDetail"][field].as_u64();
        if let (Some(id), Some(current), Some(total)) =
            (message["id"].as_str(), number("current"), number("total"))
        {
            line.layers.insert(id.to_owned(), (current.min(total), total));
            let (here, all) =
                line.layers.values().fold((0, 0), |sum, layer| (sum.0 + layer.0, sum.1 + layer.1));
            let size = |bytes: u64| quantity::decimal_size(bytes as f64, 4);
            line.detail = format!("{} / {}", size(here), size(all));
            return;
        }
        let said = message["stream"].as_str().or_else(|| message["status"].as_str()).unwrap_or_default();
        if let Some(last) = said.trim_end().lines().last().filter(|last| !last.is_empty()) {
            last.clone_into(&mut line.detail);
        }
        line.said.extend(said.trim_end().lines().map(str::to_owned));
        let surplus = line.said.len().saturating_sub(REMEMBERED);
        line.said.drain(..surplus);
    }

    fn line(&mut self, resource: &str, now: Instant) -> &mut Line {
        let known = self.places.get(resource).copied();
        let at = known.unwrap_or_else(|| {
            self.places.insert(resource.to_owned(), self.lines.len());
            self.lines.push(Line {
                resource: resource.to_owned(),
                text: String::new(),
                phase: Phase::Working,
                began: now,
                ended: None,
                detail: String::new(),
                said: VecDeque::new(),
                layers: BTreeMap::new(),
            });
            self.lines.len() - 1
        });
        &mut self.lines[at]
    }

    /// The text that draws the lines over those before. The last frame shows all, the others as many as fit.
    pub(super) fn frame(&mut self, (columns, rows): (usize, usize), last: bool) -> String {
        self.frames += 1;
        if self.lines.is_empty() {
            return String::new();
        }
        let done = self.lines.iter().filter(|line| line.phase != Phase::Working).count();
        let mut drawn = vec![Row::of(look::NONE, &format!("[+] Running {done}/{}", self.lines.len()))];
        let room = if last { usize::MAX } else { rows.saturating_sub(2).max(1) };
        let shown = self.shown(room);
        let width = shown.iter().map(|at| self.lines[*at].resource.width()).max().unwrap_or(0);
        drawn.extend(shown.into_iter().map(|at| self.row(&self.lines[at], width)));
        self.painter.frame(&drawn, columns, self.colours)
    }

    /// What failed resources said last.
    pub(super) fn complaints(&self) -> Vec<String> {
        let failed = self.lines.iter().filter(|line| line.phase == Phase::Failed);
        failed.flat_map(|line| line.said.iter().map(|said| format!("{}: {said}", line.resource))).collect()
    }

    /// Where not all fit, what still works comes first.
    fn shown(&self, room: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.lines.len()).collect();
        if order.len() > room {
            order.sort_by_key(|at| (self.lines[*at].phase != Phase::Working, std::cmp::Reverse(*at)));
            order.truncate(room);
            order.sort_unstable();
        }
        order
    }

    fn row(&self, line: &Line, width: usize) -> Row {
        let (mark, colour) = match line.phase {
            Phase::Working => (SPINNER[self.frames % SPINNER.len()], look::CYAN),
            Phase::Done => ('✔', look::GREEN),
            Phase::Warning => ('!', look::YELLOW),
            Phase::Failed => ('✘', look::RED),
        };
        let seconds = line.ended.unwrap_or_else(Instant::now).duration_since(line.began).as_secs_f64();
        let detail = if line.detail.is_empty() { String::new() } else { format!("  {}", line.detail) };
        let gap = " ".repeat(width.saturating_sub(line.resource.width()));
        let text = format!(" {mark} {}{gap}  {}{detail}", line.resource, line.text);
        Row::of(colour, &text).at_right(format!("{seconds:.1}s"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lines(frame: &str) -> Vec<String> {
        frame
            .replace("\x1b[K", "")
            .replace("\x1b[J", "")
            .lines()
            .map(|line| line.trim_end().to_owned())
            .collect()
    }

    #[test]
    fn a_resource_has_one_line_that_changes() {
        let mut board = Board::new(false);
        board.update(Event::new("Network p_default", "Creating", Phase::Working));
        board.update(Event::new("Network p_default", "Created", Phase::Done));
        board.update(Event::new("Container p-db-1", "Error", Phase::Failed));
        let frame = lines(&board.frame((60, 20), true));
        assert_eq!(frame[0], "\r[+] Running 2/2");
        assert!(
            frame[1].starts_with(" ✔ Network p_default  Created") && frame[1].ends_with("0.0s"),
            "{frame:?}"
        );
        assert!(frame[2].starts_with(" ✘ Container p-db-1   Error"), "{frame:?}");
        assert!(board.frame((60, 20), true).starts_with("\x1b[3A"));
    }

    #[test]
    fn layers_are_summed_up_and_lines_fit() {
        let mut board = Board::new(false);
        for (id, current) in [("a", 500), ("b", 1000)] {
            board.detail("web", &json!({"id": id, "progressDetail": {"current": current, "total": 2000}}));
        }
        assert!(lines(&board.frame((60, 20), false))[1].contains("1.5kB / 4kB"));
        board.detail("web", &json!({"stream": format!("Step 1 : {}\n", "x".repeat(200))}));
        assert!(lines(&board.frame((40, 20), false)).iter().all(|line| line.chars().count() <= 40));
    }

    #[test]
    fn on_a_small_terminal_what_works_is_shown() {
        let mut board = Board::new(false);
        for number in 0..30 {
            board.update(Event::new(format!("Container {number}"), "Started", Phase::Done));
        }
        board.update(Event::new("Container slow", "Starting", Phase::Working));
        let frame = lines(&board.frame((60, 10), false));
        assert_eq!(frame.len(), 9);
        assert!(frame.iter().any(|line| line.contains("slow")));
        assert_eq!(lines(&board.frame((60, 10), true)).len(), 32);
    }
}
