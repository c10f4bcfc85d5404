//! The last values of something, and a small graph of them.

use std::collections::VecDeque;

/// As many as the widest graph shows.
const KEPT: usize = 60;

/// Eighths of a line's height.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Values, the newest last.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct History(VecDeque<f64>);

impl History {
    /// Adds one and forgets the oldest beyond what is kept.
    pub(super) fn add(&mut self, value: f64) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(value);
    }

    /// The newest as bars in so many columns, right-aligned; the largest of them, or `full` where that is more, is as high as the
    /// line.
    pub(super) fn graph(&self, columns: usize, full: f64) -> String {
        let shown = self.0.iter().skip(self.0.len().saturating_sub(columns));
        let top = shown.clone().copied().fold(full, f64::max);
        let bar = |value: &f64| match value / top {
            part if part > 0.0 => BARS[((part * 8.0).ceil() as usize).clamp(1, 8) - 1],
            _ => ' ',
        };
        let bars: String = shown.map(bar).collect();
        format!("{bars:>columns$}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_graph_shows_the_newest_values_by_the_largest() {
        let mut history = History::default();
        assert_eq!(history.graph(3, 1.0), "   ");
        for value in [100.0, 0.0, 1.0, 4.0, 8.0] {
            history.add(value);
        }
        assert_eq!(history.graph(4, 1.0), " ▁▄█");
        assert_eq!(history.graph(6, 1.0), " █ ▁▁▁", "a graph that isn't full begins at the right");
        assert_eq!(history.graph(2, 16.0), "▂▄", "small values stay small");
    }

    #[test]
    fn only_what_can_be_shown_is_kept() {
        let mut history = History::default();
        (0..200).for_each(|value| history.add(f64::from(value)));
        assert_eq!(history.0.len(), KEPT);
        assert_eq!(history.graph(1, 0.0), "█");
    }
}
