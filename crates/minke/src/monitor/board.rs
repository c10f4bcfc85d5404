//! What is on the screen, and what news and keys do to it: pure.

use std::{cmp::Ordering, collections::BTreeMap};

use super::{
    feed::{Listed, News},
    history::History,
};
use crate::{failure::Failure, format::stats::Numbers};

/// A key, by its name: what a letter does depends on whether a filter is being typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Up,
    Down,
    PageUp,
    PageDown,
    First,
    Last,
    Enter,
    Escape,
    Backspace,
    Letter(char),
    Quit,
}

/// What the rows are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    Name,
    Cpu,
    Memory,
    Network,
    Block,
    Pids,
}

impl Sort {
    /// All, with the letters of their keys.
    const KEYS: [(char, Self); 6] = [
        ('n', Self::Name),
        ('c', Self::Cpu),
        ('m', Self::Memory),
        ('t', Self::Network),
        ('b', Self::Block),
        ('p', Self::Pids),
    ];

    fn of_key(letter: char) -> Option<Self> {
        Self::KEYS.into_iter().find(|(key, _)| *key == letter).map(|(_, sort)| sort)
    }

    /// Names begin at the first, numbers at the largest.
    fn compare(self, a: &Watched, b: &Watched) -> Ordering {
        let largest = |number: fn(&Numbers) -> f64| {
            let number = |watched: &Watched| watched.now.as_ref().map_or(-1.0, number);
            number(b).total_cmp(&number(a))
        };
        match self {
            Self::Name => Ordering::Equal,
            Self::Cpu => largest(|now| now.cpu_percent),
            Self::Memory => largest(|now| now.memory),
            Self::Network => largest(|now| (now.received + now.sent) as f64),
            Self::Block => largest(|now| (now.read + now.written) as f64),
            Self::Pids => largest(|now| now.pids as f64),
        }
        .then_with(|| a.listed.name.cmp(&b.listed.name))
    }
}

/// A container, as it was seen last.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Watched {
    pub(super) listed: Listed,
    /// `None` until the first sample has come.
    pub(super) now: Option<Numbers>,
    pub(super) cpu: History,
    pub(super) memory: History,
}

/// The whole of it.
#[derive(Debug)]
pub(super) struct Board {
    /// The engine.
    pub(super) endpoint: String,
    by_id: BTreeMap<String, Watched>,
    pub(super) sort: Sort,
    pub(super) is_reversed: bool,
    /// What names or images must contain.
    pub(super) filter: String,
    /// Keys go into the filter.
    pub(super) is_typing: bool,
    /// The id of the selected container.
    selected: Option<String>,
    /// Why there will be no more news.
    pub(super) failure: Option<Failure>,
}

impl Board {
    pub(super) fn new(endpoint: String) -> Self {
        Self {
            endpoint,
            by_id: BTreeMap::new(),
            sort: Sort::Cpu,
            is_reversed: false,
            filter: String::new(),
            is_typing: false,
            selected: None,
            failure: None,
        }
    }

    /// Takes news in.
    pub(super) fn take(&mut self, news: News) {
        match news {
            News::Running(all) => {
                self.by_id.retain(|id, _| all.iter().any(|listed| listed.id == *id));
                for listed in all {
                    match self.by_id.get_mut(&listed.id) {
                        Some(watched) => watched.listed = listed,
                        None => {
                            let (cpu, memory) = (History::default(), History::default());
                            self.by_id.insert(listed.id.clone(), Watched { listed, now: None, cpu, memory });
                        }
                    }
                }
            }
            // One whose container has gone meanwhile is late.
            News::Sample { id, numbers } => {
                if let Some(watched) = self.by_id.get_mut(&id) {
                    watched.cpu.add(numbers.cpu_percent);
                    watched.memory.add(numbers.memory);
                    watched.now = Some(numbers);
                }
            }
            News::Lost(failure) => self.failure = Some(failure),
        }
    }

    /// What a key does; `page` is how many rows fit.
    pub(super) fn press(&mut self, key: Key, page: usize) {
        match key {
            Key::Letter(letter) if self.is_typing => self.filter.push(letter),
            Key::Backspace if self.is_typing => {
                self.filter.pop();
            }
            Key::Enter => self.is_typing = false,
            Key::Escape => {
                self.is_typing = false;
                self.filter.clear();
            }
            Key::Letter('/') => self.is_typing = true,
            Key::Letter('k') | Key::Up => self.go(|at| at.saturating_sub(1)),
            Key::Letter('j') | Key::Down => self.go(|at| at + 1),
            Key::PageUp => self.go(|at| at.saturating_sub(page.max(1))),
            Key::PageDown => self.go(|at| at + page.max(1)),
            Key::First => self.go(|_| 0),
            Key::Last => self.go(|_| usize::MAX),
            Key::Letter('r') => self.is_reversed = !self.is_reversed,
            Key::Letter(letter) => {
                if let Some(sort) = Sort::of_key(letter) {
                    self.is_reversed = sort == self.sort && !self.is_reversed;
                    self.sort = sort;
                }
            }
            Key::Backspace | Key::Quit => {}
        }
    }

    /// Whether this key leaves: `q`, unless it is part of a filter.
    pub(super) fn is_quit(&self, key: Key) -> bool {
        key == Key::Quit || (key == Key::Letter('q') && !self.is_typing)
    }

    /// Containers that match the filter, in order.
    pub(super) fn rows(&self) -> Vec<&Watched> {
        let wanted = self.filter.to_lowercase();
        let matches = |text: &str| text.to_lowercase().contains(&wanted);
        let mut rows: Vec<_> = self
            .by_id
            .values()
            .filter(|watched| matches(&watched.listed.name) || matches(&watched.listed.image))
            .collect();
        rows.sort_by(|a, b| self.sort.compare(a, b));
        if self.is_reversed {
            rows.reverse();
        }
        rows
    }

    /// How many containers there are, whatever the filter.
    pub(super) fn count(&self) -> usize {
        self.by_id.len()
    }

    /// CPU percent and bytes of memory of all containers together.
    pub(super) fn sums(&self) -> (f64, f64) {
        let numbers = self.by_id.values().filter_map(|watched| watched.now.as_ref());
        numbers.fold((0.0, 0.0), |(cpu, memory), now| (cpu + now.cpu_percent, memory + now.memory))
    }

    /// The place of the selected container among these rows: the first, as long as none was selected, or when it is gone.
    pub(super) fn selected(&self, rows: &[&Watched]) -> usize {
        let selected = self.selected.as_ref();
        selected.and_then(|id| rows.iter().position(|watched| watched.listed.id == *id)).unwrap_or(0)
    }

    fn go(&mut self, to: impl Fn(usize) -> usize) {
        let rows = self.rows();
        let at = to(self.selected(&rows)).min(rows.len().saturating_sub(1));
        self.selected = rows.get(at).map(|watched| watched.listed.id.clone());
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Three containers: one that has not been measured yet among them.
    pub(in crate::monitor) fn board() -> Board {
        let mut board = Board::new("unix:///run/test.sock".to_owned());
        let listed = |name: &str, image: &str, status: &str| Listed {
            id: format!("id-of-{name}"),
            name: name.to_owned(),
            image: image.to_owned(),
            status: status.to_owned(),
        };
        board.take(News::Running(vec![
            listed("db", "postgres:16", "Up 2 hours (healthy)"),
            listed("web", "nginx", "Up 5 minutes (Paused)"),
            listed("new", "nginx", "Up Less than a second (health: starting)"),
        ]));
        board.take(sample("db", 10.0, 1024.0 * 1024.0 * 300.0));
        board.take(sample("web", 150.25, 1024.0 * 1024.0));
        board
    }

    pub(in crate::monitor) fn sample(name: &str, cpu_percent: f64, memory: f64) -> News {
        let numbers = Numbers {
            cpu_percent,
            memory,
            memory_limit: 1024.0 * 1024.0 * 1024.0,
            received: 1500,
            sent: 20,
            read: 0,
            written: 4096,
            pids: 3,
        };
        News::Sample { id: format!("id-of-{name}"), numbers }
    }

    fn names(board: &Board) -> Vec<&str> {
        board.rows().iter().map(|watched| watched.listed.name.as_str()).collect()
    }

    fn type_in(board: &mut Board, text: &str) {
        text.chars().for_each(|letter| board.press(Key::Letter(letter), 10));
    }

    #[test]
    fn rows_are_sorted_by_what_the_keys_say() {
        let mut board = board();
        assert_eq!(names(&board), ["web", "db", "new"], "by CPU at first");
        type_in(&mut board, "m");
        assert_eq!(names(&board), ["db", "web", "new"]);
        type_in(&mut board, "m");
        assert_eq!(names(&board), ["new", "web", "db"], "the same key turns the order round");
        type_in(&mut board, "n");
        assert_eq!(names(&board), ["db", "new", "web"]);
        type_in(&mut board, "p");
        assert_eq!(names(&board), ["db", "web", "new"], "equal numbers go by name");
    }

    #[test]
    fn a_filter_is_typed_until_enter_and_cleared_by_escape() {
        let mut board = board();
        type_in(&mut board, "/NGinq");
        assert!(!board.is_quit(Key::Letter('q')), "it is a letter of the filter");
        board.press(Key::Backspace, 10);
        assert_eq!(names(&board), ["web", "new"], "by image as by name");
        board.press(Key::Enter, 10);
        assert!(board.is_quit(Key::Letter('q')));
        type_in(&mut board, "n");
        assert_eq!(names(&board), ["new", "web"], "letters are commands again");
        board.press(Key::Escape, 10);
        assert_eq!(board.rows().len(), 3);
    }

    #[test]
    fn the_selection_stays_with_its_container() {
        let mut board = board();
        board.press(Key::Down, 10);
        assert_eq!(board.selected(&board.rows()), 1);
        board.take(sample("db", 500.0, 1.0));
        assert_eq!(names(&board)[0], "db");
        assert_eq!(board.selected(&board.rows()), 0, "it went up with it");
        board.press(Key::Last, 10);
        assert_eq!(board.selected(&board.rows()), 2);
        board.press(Key::PageUp, 2);
        assert_eq!(board.selected(&board.rows()), 0);
    }

    #[test]
    fn containers_come_and_go_with_the_list() {
        let mut board = board();
        let left: Vec<Listed> = board.rows().iter().take(1).map(|watched| watched.listed.clone()).collect();
        board.take(News::Running(left));
        assert_eq!((names(&board), board.sums().0), (vec!["web"], 150.25), "what was measured stays");
        board.take(sample("db", 1.0, 1.0));
        assert_eq!(board.count(), 1, "a late sample brings nothing back");
        board.press(Key::Down, 0);
        board.take(News::Running(Vec::new()));
        board.press(Key::Up, 0);
        assert_eq!(board.selected(&board.rows()), 0);
    }
}
