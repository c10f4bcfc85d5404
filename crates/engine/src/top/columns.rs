//! Which columns, and what is in them.

use time::macros::format_description;

use super::process::{Clock, ProcessInfo};
use crate::Error;

/// A column: `ps`'s keyword, its title, its content.
type Column = (&'static str, &'static str, fn(&ProcessInfo, &Clock, &str) -> String);

const EF: [&str; 8] = ["uid-name", "pid", "ppid", "c", "stime", "tty-ef", "time", "args-cmd"];
const AUX: [&str; 11] =
    ["user", "pid", "%cpu", "%mem", "vsz", "rss", "tty", "stat", "start", "bsdtime", "args"];

const ALL: [Column; 35] = [
    ("uid-name", "UID", |p, _, users| user_name(p.uid, users)),
    ("user", "USER", |p, _, users| user_name(p.uid, users)),
    ("euser", "EUSER", |p, _, users| user_name(p.uid, users)),
    ("uid", "UID", |p, _, _| p.uid.to_string()),
    ("euid", "EUID", |p, _, _| p.uid.to_string()),
    ("gid", "GID", |p, _, _| p.gid.to_string()),
    ("egid", "EGID", |p, _, _| p.gid.to_string()),
    ("pid", "PID", |p, _, _| p.pid.to_string()),
    ("ppid", "PPID", |p, _, _| p.ppid.to_string()),
    ("pgid", "PGID", |p, _, _| p.pgid.to_string()),
    ("sid", "SID", |p, _, _| p.sid.to_string()),
    ("c", "C", |p, clock, _| (clock.cpu_share(p) / 10).min(99).to_string()),
    ("%cpu", "%CPU", |p, clock, _| tenths(clock.cpu_share(p))),
    ("pcpu", "%CPU", |p, clock, _| tenths(clock.cpu_share(p))),
    ("%mem", "%MEM", |p, clock, _| tenths(clock.memory_share(p))),
    ("pmem", "%MEM", |p, clock, _| tenths(clock.memory_share(p))),
    ("vsz", "VSZ", |p, _, _| (p.virtual_size / 1024).to_string()),
    ("rss", "RSS", |p, _, _| (p.resident / 1024).to_string()),
    ("tty", "TTY", |p, _, _| tty(p.tty)),
    ("tty-ef", "TTY", |p, _, _| tty(p.tty)),
    ("tt", "TT", |p, _, _| tty(p.tty)),
    ("s", "S", |p, _, _| p.state.to_string()),
    ("state", "S", |p, _, _| p.state.to_string()),
    ("stat", "STAT", |p, _, _| stat(p)),
    ("start", "START", |p, clock, _| start_time(p, clock)),
    ("stime", "STIME", |p, clock, _| start_time(p, clock)),
    ("time", "TIME", |p, _, _| hours(p.cpu_seconds())),
    ("bsdtime", "TIME", |p, _, _| format!("{}:{:02}", p.cpu_seconds() / 60, p.cpu_seconds() % 60)),
    ("etime", "ELAPSED", |p, clock, _| elapsed(clock.age(p))),
    ("etimes", "ELAPSED", |p, clock, _| clock.age(p).to_string()),
    ("ni", "NI", |p, _, _| p.nice.to_string()),
    ("pri", "PRI", |p, _, _| (39 - p.priority).to_string()),
    ("nlwp", "NLWP", |p, _, _| p.threads.to_string()),
    ("args-cmd", "CMD", |p, _, _| p.command.clone()),
    ("args", "COMMAND", |p, _, _| p.command.clone()),
];
/// Only the program's name, under three keywords.
const COMM: Column = ("comm", "COMMAND", |p, _, _| p.name.clone());

/// As many columns decide about the order, at most.
const MOST_KEYS: usize = 8;

/// The columns of one answer, and the order of its rows.
pub(super) struct Columns {
    shown: Vec<Column>,
    order: Vec<(Column, Direction)>,
}

/// What a cell is sorted by: numbers in thousandths come before words.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Number(i64),
    Word(String),
}

impl Key {
    fn of(cell: String) -> Self {
        match cell.parse::<f64>() {
            Ok(number) if number.is_finite() => Self::Number((number * 1000.0) as i64),
            _ => Self::Word(cell),
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Direction {
    Up,
    Down,
}

impl Columns {
    /// Understands `-ef`, `aux`, `-o pid,comm` and their usual variants, and `--sort=-rss,pid`.
    ///
    /// # Errors
    /// `InvalidParameter` for anything else.
    pub(super) fn parse(arguments: &str) -> Result<Self, Error> {
        let mut words = arguments.split_whitespace();
        let (mut chosen, mut order) = (Vec::<Column>::new(), Vec::new());
        let mut set: &[&str] = &EF;
        while let Some(word) = words.next() {
            if let Some(list) = word
                .strip_prefix("-eo")
                .or_else(|| word.strip_prefix("-o"))
                .or_else(|| word.strip_prefix("o"))
            {
                let list = if list.is_empty() { words.next().unwrap_or("") } else { list };
                for name in list.split(',') {
                    chosen.push(column(name, arguments)?);
                }
                continue;
            }
            if let Some(keys) = word.strip_prefix("--sort") {
                let keys = keys.strip_prefix('=').or_else(|| words.next().filter(|_| keys.is_empty()));
                for key in keys.ok_or_else(|| unknown(arguments))?.split(',').take(MOST_KEYS) {
                    let direction = if key.starts_with('-') { Direction::Down } else { Direction::Up };
                    order.push((column(key.trim_start_matches(['+', '-']), arguments)?, direction));
                }
                continue;
            }
            match word {
                "-ef" | "-e" | "-f" | "-A" | "ef" => set = &EF,
                "aux" | "-aux" | "au" | "ax" | "u" | "a" | "x" => set = &AUX,
                _ => return Err(unknown(arguments)),
            }
        }
        if chosen.is_empty() {
            chosen = set.iter().map(|name| column(name, arguments)).collect::<Result<_, _>>()?;
        }
        Ok(Self { shown: chosen, order })
    }

    /// Sorts as `--sort` says: numbers by their size, words by their letters.
    pub(super) fn sort(&self, processes: &mut [ProcessInfo], clock: &Clock, users: &str) {
        for ((_, _, content), direction) in self.order.iter().rev() {
            // The other way round twice, so that equal ones stay in their order.
            let reversed = *direction == Direction::Down;
            if reversed {
                processes.reverse();
            }
            processes.sort_by_cached_key(|process| Key::of(content(process, clock, users)));
            if reversed {
                processes.reverse();
            }
        }
    }

    pub(super) fn titles(&self) -> Vec<String> {
        self.shown.iter().map(|(_, title, _)| (*title).to_owned()).collect()
    }

    pub(super) fn row(&self, process: &ProcessInfo, clock: &Clock, users: &str) -> Vec<String> {
        self.shown.iter().map(|(_, _, content)| content(process, clock, users)).collect()
    }
}

fn column(name: &str, arguments: &str) -> Result<Column, Error> {
    let (keyword, title) = name.split_once('=').unwrap_or((name, ""));
    // A title of one's own, which may be empty, is ps's business with fixed-width tables only.
    if !title.is_empty() {
        return Err(unknown(arguments));
    }
    let keyword = match keyword {
        "cmd" | "command" => "args",
        "comm" | "ucmd" | "ucomm" => return Ok(COMM),
        "tname" | "tty" => "tty",
        "rssize" | "rsz" => "rss",
        "vsize" => "vsz",
        "nice" => "ni",
        "thcount" => "nlwp",
        "cputime" => "time",
        "sess" | "session" => "sid",
        "pgrp" => "pgid",
        "uname" => "user",
        "lstart" | "start_time" => "stime",
        other => other,
    };
    ALL.iter().find(|(known, _, _)| *known == keyword).copied().ok_or_else(|| unknown(arguments))
}

fn unknown(arguments: &str) -> Error {
    Error::invalid(format!(
        "ps arguments {arguments:?} are not understood: want -ef, aux, or -o with column names, and --sort"
    ))
}

fn user_name(uid: u32, users: &str) -> String {
    let entry = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    entry.unwrap_or_else(|| uid.to_string())
}

fn tty(device: u32) -> String {
    let (major, minor) = (device >> 8 & 0xfff, device & 0xff | device >> 12 & 0xfff00);
    match major {
        0 => "?".to_owned(),
        4 if minor < 64 => format!("tty{minor}"),
        4 => format!("ttyS{}", minor - 64),
        136..=143 => format!("pts/{}", minor + (major - 136) * 256),
        _ => format!("{major}:{minor}"),
    }
}

fn stat(process: &ProcessInfo) -> String {
    let mut text = process.state.to_string();
    let flags = [
        (process.nice < 0, '<'),
        (process.nice > 0, 'N'),
        (process.locked, 'L'),
        (process.sid == process.pid, 's'),
        (process.threads > 1, 'l'),
        (process.foreground == process.pgid && process.tty != 0, '+'),
    ];
    text.extend(flags.iter().filter(|(on, _)| *on).map(|(_, flag)| flag));
    text
}

fn tenths(value: u64) -> String {
    format!("{}.{}", value / 10, value % 10)
}

fn hours(seconds: u64) -> String {
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

fn elapsed(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    match (days, rest / 3600) {
        (0, 0) => format!("{:02}:{:02}", rest / 60, rest % 60),
        (0, _) => hours(rest),
        _ => format!("{days}-{}", hours(rest)),
    }
}

/// The time of day for what started today, else the day.
fn start_time(process: &ProcessInfo, clock: &Clock) -> String {
    let started = clock.started(process);
    let format = match clock.age(process) < 86_400 {
        true => started.format(format_description!("[hour]:[minute]")),
        false => started.format(format_description!("[month repr:short][day]")),
    };
    format.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_column_sets_are_known() {
        let titles = |arguments: &str| Columns::parse(arguments).unwrap().titles().join(" ");
        assert_eq!(titles(""), "UID PID PPID C STIME TTY TIME CMD");
        assert_eq!(titles("-ef"), titles(""));
        assert_eq!(titles("aux"), "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND");
        assert_eq!(titles("-o pid,comm"), "PID COMMAND");
        assert_eq!(titles("-eopid,user"), "PID USER");
        for arguments in ["--forest", "-o wings", "-o pid=X", "; reboot"] {
            assert!(Columns::parse(arguments).is_err(), "{arguments}");
        }
    }

    #[test]
    fn rows_are_sorted_by_what_is_asked_for() {
        let columns = Columns::parse("aux --sort=-rss,pid").unwrap();
        assert_eq!(columns.titles().len(), AUX.len());
        let keys: Vec<_> =
            columns.order.iter().map(|((name, ..), way)| (*name, *way == Direction::Down)).collect();
        assert_eq!(keys, [("rss", true), ("pid", false)]);
        assert_eq!(Columns::parse("-ef --sort comm").unwrap().order.len(), 1);
        for arguments in ["aux --sort", "aux --sort=wings"] {
            assert!(Columns::parse(arguments).is_err(), "{arguments}");
        }
    }

    #[test]
    fn terminals_and_times_look_like_ps() {
        assert_eq!([tty(0), tty(34816), tty(34817), tty(1025)], ["?", "pts/0", "pts/1", "tty1"]);
        assert_eq!([hours(3661), elapsed(61), elapsed(90_061)], ["01:01:01", "01:01", "1-01:01:01"]);
        assert_eq!(user_name(33, "root:x:0:0::/:\nwww:x:33:33::/:\n"), "www");
    }
}
