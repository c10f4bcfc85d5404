//! The screen: a line of sums, a row for each container, and what the keys do.

use minke_model::quantity::{binary_size, decimal_size};
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span, Text},
    widgets::{Cell, Row, Table, TableState},
};

use super::{
    board::{Board, Sort, Watched},
    history::History,
};
use crate::format::stats::Numbers;

/// What fits into a window of at least so many columns.
#[derive(Debug, Clone, Copy)]
struct Shape {
    window: u16,
    /// Columns of a graph.
    graph: u16,
    /// Whether networks and block devices are shown.
    has_io: bool,
}

/// The widest first; what is narrower than the last has that one, cut off.
const SHAPES: [Shape; 4] = [
    Shape { window: 168, graph: 30, has_io: true },
    Shape { window: 138, graph: 15, has_io: true },
    Shape { window: 120, graph: 6, has_io: true },
    Shape { window: 0, graph: 4, has_io: false },
];

/// A graph of CPU time is full at least at so many percent, so that idle containers look idle.
const FULL_CPU: f64 = 10.0;

const KEYS: &str = "c cpu  m memory  t net  b block  p pids  n name  r reverse  / filter  q leave";

/// What of the screen must be remembered from one drawing to the next.
#[derive(Debug, Default)]
pub(super) struct View {
    table: TableState,
    page: usize,
}

impl View {
    /// Rows that fit.
    pub(super) fn page(&self) -> usize {
        self.page
    }

    /// Draws all of it.
    pub(super) fn draw(&mut self, frame: &mut Frame<'_>, board: &Board) {
        let [head, body, foot] =
            Layout::vertical([Constraint::Length(1), Constraint::Fill(1), Constraint::Length(1)])
                .areas(frame.area());
        frame.render_widget(Line::from(summary(board)).style(Modifier::BOLD), head);
        self.containers(frame, body, board);
        frame.render_widget(foot_line(board), foot);
    }

    fn containers(&mut self, frame: &mut Frame<'_>, area: Rect, board: &Board) {
        let shape = SHAPES.into_iter().find(|shape| area.width >= shape.window).unwrap_or(SHAPES[3]);
        let rows = board.rows();
        self.page = usize::from(area.height.saturating_sub(1));
        self.table.select((!rows.is_empty()).then(|| board.selected(&rows)));
        let mut columns = vec![
            ("NAME", Some(Sort::Name), Constraint::Min(8)),
            ("CPU %", Some(Sort::Cpu), Constraint::Length(8)),
            ("", None, Constraint::Length(shape.graph)),
            ("MEM USAGE / LIMIT", Some(Sort::Memory), Constraint::Length(21)),
            ("", None, Constraint::Length(shape.graph)),
        ];
        if shape.has_io {
            columns.push(("NET I/O", Some(Sort::Network), Constraint::Length(17)));
            columns.push(("BLOCK I/O", Some(Sort::Block), Constraint::Length(17)));
        }
        columns.extend([
            ("PIDS", Some(Sort::Pids), Constraint::Length(5)),
            ("HEALTH", None, Constraint::Length(9)),
            ("UP", None, Constraint::Length(14)),
        ]);
        let sign = if board.is_reversed { "▲" } else { "▼" };
        let titles = columns.iter().map(|(title, sort, _)| match *sort == Some(board.sort) {
            true => Cell::from(format!("{title}{sign}")).style(Modifier::BOLD),
            false => Cell::from(*title),
        });
        let titles = Row::new(titles.collect::<Vec<_>>()).style(Modifier::DIM);
        let widths = columns.iter().map(|(_, _, width)| *width);
        let table = Table::new(rows.into_iter().map(|watched| row(watched, shape)), widths)
            .header(titles)
            .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
        frame.render_stateful_widget(table, area, &mut self.table);
    }
}

fn summary(board: &Board) -> String {
    let (cpu, memory) = board.sums();
    let count = board.count();
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} container{plural}: {cpu:.1}% cpu, {} memory  {}", binary_size(memory), board.endpoint)
}

fn foot_line(board: &Board) -> Line<'_> {
    match (board.is_typing, board.filter.as_str()) {
        (true, filter) => Line::from(format!("filter: {filter}▏ enter keeps it, escape clears it")),
        (false, "") => Line::from(KEYS).style(Modifier::DIM),
        (false, filter) => Line::from(vec![
            Span::styled(format!("filter: {filter}  "), Modifier::BOLD),
            Span::styled(KEYS, Modifier::DIM),
        ]),
    }
}

fn row(watched: &Watched, shape: Shape) -> Row<'_> {
    let right = |text: String| Cell::from(Text::from(text).right_aligned());
    let graph = |history: &History, full, color: Color| {
        Cell::from(history.graph(shape.graph.into(), full)).style(color)
    };
    let number =
        |text: &dyn Fn(&Numbers) -> String| right(watched.now.as_ref().map_or("--".to_owned(), text));
    let pair = |a: u64, b: u64| format!("{} / {}", decimal_size(a as f64, 3), decimal_size(b as f64, 3));
    let mut cells = vec![
        Cell::from(watched.listed.name.as_str()),
        number(&|now| format!("{:.2}%", now.cpu_percent)),
        graph(&watched.cpu, FULL_CPU, Color::Green),
        number(&|now| format!("{} / {}", binary_size(now.memory), binary_size(now.memory_limit))),
        graph(&watched.memory, 0.0, Color::Cyan),
    ];
    if shape.has_io {
        cells.push(number(&|now| pair(now.received, now.sent)));
        cells.push(number(&|now| pair(now.read, now.written)));
    }
    let (up, health, color) = words(&watched.listed.status);
    cells.extend([number(&|now| now.pids.to_string()), Cell::from(health).style(color), Cell::from(up)]);
    Row::new(cells)
}

/// How long a container has run, and how it is, from Docker's line: `Up 5 minutes (health: starting)`.
fn words(status: &str) -> (&str, &str, Color) {
    let up = status.strip_prefix("Up ").unwrap_or(status);
    let (up, state) = match up.split_once(" (") {
        Some((up, state)) => (up, state.trim_end_matches(')')),
        None => (up, ""),
    };
    let state = state.strip_prefix("health: ").unwrap_or(state);
    let color = match state {
        "healthy" => Color::Green,
        "unhealthy" => Color::Red,
        "" => Color::Reset,
        _ => Color::Yellow,
    };
    (up, state, color)
}

#[cfg(test)]
mod tests {
    use ratatui::{Terminal, backend::TestBackend};

    use super::{
        super::board::{
            Key,
            tests::{board, sample},
        },
        *,
    };

    fn screen(board: &Board, columns: u16, rows: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
        let mut view = View::default();
        terminal.draw(|frame| view.draw(frame, board)).unwrap();
        let buffer = terminal.backend().buffer().clone();
        let cells: Vec<_> = buffer.content().iter().map(|cell| cell.symbol()).collect();
        cells.chunks(usize::from(columns)).map(|line| line.concat().trim_end().to_owned()).collect()
    }

    #[test]
    fn every_container_has_a_row_with_its_graphs() {
        let mut board = board();
        board.take(sample("web", 75.0, 1024.0 * 512.0));
        let lines = screen(&board, 150, 6);
        assert_eq!(lines[0], "3 containers: 85.0% cpu, 300.5MiB memory  unix:///run/test.sock");
        assert!(lines[1].contains("CPU %▼") && lines[1].contains("MEM USAGE / LIMIT "), "{}", lines[1]);
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>().join(" ");
        assert_eq!(
            words(&lines[2]),
            "web 75.00% █▄ 512KiB / 1GiB █▄ 1.5kB / 20B 0B / 4.1kB 3 Paused 5 minutes"
        );
        assert_eq!(words(&lines[3]), "db 10.00% █ 300MiB / 1GiB █ 1.5kB / 20B 0B / 4.1kB 3 healthy 2 hours");
        assert_eq!(words(&lines[4]), "new -- -- -- -- -- starting Less than a se");
        assert_eq!(lines[5], KEYS);
    }

    #[test]
    fn the_filter_is_seen_while_it_is_typed_and_afterwards() {
        let mut board = board();
        "/web".chars().for_each(|letter| board.press(Key::Letter(letter), 9));
        let lines = screen(&board, 120, 5);
        assert!(lines[2].starts_with("web") && lines[3].is_empty(), "{lines:?}");
        assert!(lines[4].starts_with("filter: web▏"), "{}", lines[4]);
        board.press(Key::Enter, 9);
        assert!(screen(&board, 120, 5)[4].starts_with("filter: web  c cpu"));
    }

    #[test]
    fn a_small_screen_shows_what_fits() {
        let mut board = board();
        board.press(Key::Last, 1);
        for (columns, rows) in [(80, 24), (40, 8), (20, 4), (3, 2), (1, 1)] {
            assert_eq!(screen(&board, columns, rows).len(), usize::from(rows));
        }
        assert!(screen(&board, 80, 4)[2].starts_with("new"), "the rows scroll to the selected one");
        let none = Board::new("tcp://x".to_owned());
        assert!(screen(&none, 80, 4)[0].starts_with("0 containers"));
    }
}
