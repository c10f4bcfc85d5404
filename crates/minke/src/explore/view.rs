//! The explorer's screen: layers with their sums on the left, the file tree on the right.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Block, List, ListState, Paragraph, Wrap},
};

use super::state::{Explorer, Pane, Row};
use crate::{
    format::layers::{command, size},
    layers::report::{LayerReport, Mark},
};

/// Lines of the box about the selected layer, where there is room.
const ABOUT: u16 = 9;

const KEYS: &str = "arrows move   tab other side   enter open or close   a all files or changes   q leave";

/// What of the screen must be remembered from one drawing to the next: how far lists are scrolled.
#[derive(Debug, Default)]
pub(super) struct View {
    layers: ListState,
    files: ListState,
    page: usize,
}

impl View {
    /// Lines of the file tree that fit.
    pub(super) fn page(&self) -> usize {
        self.page
    }

    /// Draws all of it.
    pub(super) fn draw(&mut self, frame: &mut Frame<'_>, explorer: &Explorer) {
        let [head, body, foot] =
            Layout::vertical([Constraint::Length(1), Constraint::Fill(1), Constraint::Length(1)])
                .areas(frame.area());
        let [left, right] = Layout::horizontal([Constraint::Percentage(45), Constraint::Fill(1)]).areas(body);
        // On a low window the list goes first.
        let [layers, about] =
            Layout::vertical([Constraint::Fill(1), Constraint::Length(ABOUT.min(left.height / 3))])
                .areas(left);
        frame.render_widget(Line::from(summary(explorer)).style(Modifier::BOLD), head);
        self.layers(frame, layers, explorer);
        frame.render_widget(about_layer(explorer), about);
        self.files(frame, right, explorer);
        frame.render_widget(Line::from(KEYS).style(Modifier::DIM), foot);
    }

    fn layers(&mut self, frame: &mut Frame<'_>, area: Rect, explorer: &Explorer) {
        let lines = explorer.report.layers.iter().enumerate().map(|(at, layer)| {
            Line::from(format!(
                "{:>3} {:>8} {:>8}  {}",
                at + 1,
                size(layer.size),
                size(layer.wasted),
                command(layer)
            ))
        });
        let list = list(lines, " Layers: size, wasted, step ", explorer.pane == Pane::Layers);
        self.layers.select(Some(explorer.layer));
        frame.render_stateful_widget(list, area, &mut self.layers);
    }

    fn files(&mut self, frame: &mut Frame<'_>, area: Rect, explorer: &Explorer) {
        let what = if explorer.shows_all { "All files after layer" } else { "Changes of layer" };
        let title = format!(" {what} {} ", explorer.layer + 1);
        let list = list(explorer.rows.iter().map(file_line), &title, explorer.pane == Pane::Files);
        self.files.select(Some(explorer.row));
        self.page = usize::from(area.height.saturating_sub(2));
        frame.render_stateful_widget(list, area, &mut self.files);
    }
}

/// A list in a box; the selection stands out where the keys are for it.
fn list<'a>(lines: impl Iterator<Item = Line<'a>>, title: &str, is_active: bool) -> List<'a> {
    let (border, selected) = match is_active {
        true => (Style::new().add_modifier(Modifier::BOLD), Modifier::REVERSED),
        false => (Style::new().add_modifier(Modifier::DIM), Modifier::BOLD),
    };
    List::new(lines.collect::<Vec<_>>())
        .block(Block::bordered().title(title.to_owned()).border_style(border))
        .highlight_style(Style::new().add_modifier(selected))
}

fn summary(explorer: &Explorer) -> String {
    let report = &explorer.report;
    format!(
        "{}: {} in {} layers, {} wasted, {:.1}% efficient",
        explorer.image,
        size(report.size()),
        report.layers.len(),
        size(report.wasted()),
        report.efficiency() * 100.0
    )
}

fn about_layer(explorer: &Explorer) -> Paragraph<'static> {
    let lines = match explorer.report.layers.get(explorer.layer) {
        Some(layer) => about(layer),
        None => vec![Line::from("The image has no layers.")],
    };
    let title = format!(" Layer {} ", explorer.layer + 1);
    Paragraph::new(lines).wrap(Wrap { trim: true }).block(Block::bordered().title(title))
}

fn about(layer: &LayerReport) -> Vec<Line<'static>> {
    let LayerReport { added, replaced, deleted, .. } = layer;
    vec![
        Line::from(format!("{}, of which {} are wasted", size(layer.size), size(layer.wasted))),
        Line::from(format!("{added} added, {replaced} replaced, {deleted} deleted")),
        Line::from(command(layer)),
    ]
}

fn file_line(row: &Row) -> Line<'static> {
    let (letter, color) = match row.mark {
        Some(mark @ Mark::Added) => (mark.letter(), Color::Green),
        Some(mark @ Mark::Replaced) => (mark.letter(), Color::Yellow),
        Some(mark @ Mark::Deleted) => (mark.letter(), Color::Red),
        None => (' ', Color::Reset),
    };
    let bytes = match row.size {
        0 if row.deleted > 0 => format!("-{}", size(row.deleted)),
        bytes => size(bytes),
    };
    let sign = match row.is_open {
        Some(true) => "▾ ",
        Some(false) => "▸ ",
        None => "  ",
    };
    Line::from(vec![
        Span::raw(format!("{bytes:>9}  ")),
        Span::styled(format!("{letter} "), color),
        Span::raw("  ".repeat(row.depth)),
        Span::styled(format!("{sign}{}", row.name), color),
    ])
}

#[cfg(test)]
mod tests {
    use ratatui::{Terminal, backend::TestBackend};

    use super::{
        super::state::{Key, tests::explorer},
        *,
    };

    fn screen(explorer: &Explorer, columns: u16, rows: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
        let mut view = View::default();
        terminal.draw(|frame| view.draw(frame, explorer)).unwrap();
        let buffer = terminal.backend().buffer().clone();
        let cells: Vec<_> = buffer.content().iter().map(|cell| cell.symbol()).collect();
        cells.chunks(usize::from(columns)).map(|line| line.concat().trim_end().to_owned()).collect()
    }

    #[test]
    fn both_sides_and_the_sums_are_on_the_screen() {
        let mut explorer = explorer();
        explorer.press(Key::Down, 1);
        let shown = screen(&explorer, 100, 20).join("\n");
        for text in [
            "demo:1: 5.09kB in 2 layers, 2.04kB wasted, 59.9% efficient",
            "  1   5.04kB   2.04kB  ADD rootfs /",
            "  2      50B       0B  RUN rm /usr/bin/a",
            " Changes of layer 2 ",
            "   -2kB  M ▾ usr/",
            "   -2kB  M   ▸ bin/",
            "    50B  M     passwd",
            "0 added, 1 replaced, 1 deleted",
            "q leave",
        ] {
            assert!(shown.contains(text), "{text}:\n{shown}");
        }
    }

    #[test]
    fn a_small_screen_shows_what_fits() {
        let mut explorer = explorer();
        explorer.press(Key::Tab, 1);
        explorer.press(Key::Last, 1);
        for (columns, rows) in [(40, 8), (20, 5), (3, 2), (1, 1)] {
            assert_eq!(screen(&explorer, columns, rows).len(), usize::from(rows));
        }
        assert!(
            screen(&explorer, 60, 6).join("\n").contains("passwd"),
            "the list scrolls to the selected line"
        );
    }
}
