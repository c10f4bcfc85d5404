//! Being told when the kernel runs out of memory in a cgroup: an eventfd on v1
//! (admin-guide/cgroup-v1/memory.rst, "OOM Control"), inotify on `memory.events` on v2
//! (admin-guide/cgroup-v2.rst).

use std::{
    collections::BTreeMap,
    io,
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::PathBuf,
    time::Duration,
};

use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, Timespec},
    fs::inotify::{self, CreateFlags, WatchFlags},
};

use super::{CgroupError, dir::Dir, stats};

/// A watch over one cgroup. Its descriptor is readable when there may be news.
#[derive(Debug)]
pub struct OomWatch {
    dir: Dir,
    fd: OwnedFd,
    /// How many kills are known; on v1 also how often memory ran out, which is told before a kill is counted.
    seen: u64,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// An event is news even if nobody was killed: the killer may be off.
    V1 {
        /// Kept open: the registration is bound to it.
        _control: std::fs::File,
    },
    V2 {
        /// The cgroup above, which counts this one's kills too and outlives it, and how many it had when this one was last
        /// read; None below the root, which counts none.
        above: Option<(Dir, u64)>,
    },
}

impl Kind {
    /// The file that counts the kills.
    fn counter(&self) -> &'static str {
        match self {
            Kind::V1 { .. } => V1_COUNTER,
            Kind::V2 { .. } => V2_COUNTER,
        }
    }
}

const V1_COUNTER: &str = "memory.oom_control";
const V2_COUNTER: &str = "memory.events";

impl AsFd for OomWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Begins to watch the cgroup with these directories by controller; None where nothing limits memory.
pub(super) fn watch(paths: &BTreeMap<String, PathBuf>) -> Result<Option<OomWatch>, CgroupError> {
    let (path, legacy) = match (paths.get("memory"), paths.get("")) {
        (Some(path), _) => (path, true),
        (None, Some(path)) if paths.len() == 1 => (path, false),
        _ => return Ok(None),
    };
    let failed =
        |source| CgroupError::Io { action: "watch for memory events in", path: path.clone(), source };
    let dir = Dir::open(path.clone()).map_err(failed)?;
    if !dir.has(if legacy { V1_COUNTER } else { V2_COUNTER }) {
        return Ok(None);
    }
    let (fd, kind) = if legacy { eventfd(&dir) } else { notify(&dir) }.map_err(failed)?;
    let mut watch = OomWatch { dir, fd, seen: 0, kind };
    watch.seen = watch.kills().unwrap_or(0);
    Ok(Some(watch))
}

fn eventfd(dir: &Dir) -> io::Result<(OwnedFd, Kind)> {
    let fd = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    let control = dir.open_file(V1_COUNTER)?;
    dir.write("cgroup.event_control", &format!("{} {}", fd.as_raw_fd(), control.as_raw_fd()))?;
    Ok((fd, Kind::V1 { _control: control }))
}

fn notify(dir: &Dir) -> io::Result<(OwnedFd, Kind)> {
    let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    inotify::add_watch(&fd, dir.path().join(V2_COUNTER), WatchFlags::MODIFY)?;
    let above = dir.path().parent().and_then(|path| Dir::open(path.to_owned()).ok());
    let above = above.and_then(|dir| Some((kills_in(&dir, V2_COUNTER)?, dir)));
    Ok((fd, Kind::V2 { above: above.map(|(kills, dir)| (dir, kills)) }))
}

impl OomWatch {
    /// Takes the news; says whether memory ran out since the last call.
    ///
    /// Also where the cgroup is gone by now: systemd removes a scope as soon as its last process has ended.
    pub fn take(&mut self) -> bool {
        let told = self.drain();
        // Before this one's own: a kill in between is then told twice rather than never.
        let above_now = match &self.kind {
            Kind::V2 { above: Some((dir, _)) } => kills_in(dir, V2_COUNTER),
            _ => None,
        };
        let Some(kills) = self.kills() else { return self.last_news(told) };
        if let (Kind::V2 { above: Some((_, seen)) }, Some(now)) = (&mut self.kind, above_now) {
            *seen = now;
        }
        if matches!(self.kind, Kind::V1 { .. }) && told > 0 {
            self.seen = kills.max(self.seen + 1);
            return true;
        }
        let news = kills > self.seen;
        self.seen = self.seen.max(kills);
        news
    }

    /// The news of a cgroup that has been removed, whose own counter can't be read any more.
    fn last_news(&mut self, mut told: u64) -> bool {
        match &mut self.kind {
            // The removal is told in the same way, and perhaps a little later than it is seen.
            Kind::V1 { .. } => {
                while told < 2 && self.readable_within(REMOVAL_IS_TOLD) {
                    told += self.drain();
                }
                told >= 2
            }
            // A neighbour's kill in the moment between is taken for this one's: said too often rather than never.
            Kind::V2 { above } => above.as_mut().is_some_and(|(dir, seen)| {
                let kills = kills_in(dir, V2_COUNTER).unwrap_or(*seen);
                std::mem::replace(seen, kills) < kills
            }),
        }
    }

    /// Empties the descriptor. Returns how often v1 told something, or how many bytes v2 told it in.
    fn drain(&self) -> u64 {
        let mut buffer = [MaybeUninit::<u8>::uninit(); 4096];
        let mut told = 0;
        while let Ok((read, _)) = rustix::io::read(&self.fd, &mut buffer)
            && !read.is_empty()
        {
            told += match (&self.kind, <[u8; 8]>::try_from(&*read)) {
                (Kind::V1 { .. }, Ok(count)) => u64::from_ne_bytes(count),
                _ => read.len() as u64,
            };
        }
        told
    }

    fn readable_within(&self, limit: Duration) -> bool {
        let limit = Timespec { tv_sec: 0, tv_nsec: i64::from(limit.subsec_nanos()) };
        rustix::event::poll(&mut [PollFd::new(&self.fd, PollFlags::IN)], Some(&limit))
            .is_ok_and(|ready| ready > 0)
    }

    fn kills(&self) -> Option<u64> {
        kills_in(&self.dir, self.kind.counter())
    }
}

/// How long after a v1 cgroup can't be read any more its removal is told at the latest.
const REMOVAL_IS_TOLD: Duration = Duration::from_millis(200);

fn kills_in(dir: &Dir, counter: &str) -> Option<u64> {
    dir.read(counter).ok().map(|text| stats::pair(&text, "oom_kill").unwrap_or(0))
}
