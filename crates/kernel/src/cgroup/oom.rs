//! Being told when the kernel runs out of memory in a cgroup: an eventfd on v1
//! (admin-guide/cgroup-v1/memory.rst, "OOM Control"), inotify on `memory.events` on v2
//! (admin-guide/cgroup-v2.rst).

use std::{
    collections::BTreeMap,
    io,
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::PathBuf,
};

use rustix::{
    event::EventfdFlags,
    fs::inotify::{self, CreateFlags, WatchFlags},
};

use super::{CgroupError, dir::Dir, stats};

/// A watch over one cgroup. Its descriptor is readable when there may be news.
#[derive(Debug)]
pub struct OomWatch {
    dir: Dir,
    fd: OwnedFd,
    /// The file that counts the kills.
    counter: &'static str,
    /// v1: an event is news even if nobody was killed (the killer may be off).
    legacy: bool,
    /// How many kills are known; on v1 also how often memory ran out, which is told before a kill is counted.
    seen: u64,
    /// Kept open: v1's registration is bound to it.
    _control: Option<std::fs::File>,
}

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
    let counter = if legacy { "memory.oom_control" } else { "memory.events" };
    if !dir.has(counter) {
        return Ok(None);
    }
    let (fd, control) = if legacy { eventfd(&dir) } else { notify(&dir) }.map_err(failed)?;
    let mut watch = OomWatch { dir, fd, counter, legacy, seen: 0, _control: control };
    watch.seen = watch.kills().unwrap_or(0);
    Ok(Some(watch))
}

fn eventfd(dir: &Dir) -> io::Result<(OwnedFd, Option<std::fs::File>)> {
    let fd = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    let control = dir.open_file("memory.oom_control")?;
    dir.write("cgroup.event_control", &format!("{} {}", fd.as_raw_fd(), control.as_raw_fd()))?;
    Ok((fd, Some(control)))
}

fn notify(dir: &Dir) -> io::Result<(OwnedFd, Option<std::fs::File>)> {
    let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    inotify::add_watch(&fd, dir.path().join("memory.events"), WatchFlags::MODIFY)?;
    Ok((fd, None))
}

impl OomWatch {
    /// Takes the news; says whether memory ran out since the last call.
    pub fn take(&mut self) -> bool {
        let mut buffer = [MaybeUninit::<u8>::uninit(); 4096];
        let mut told = false;
        while let Ok((read, _)) = rustix::io::read(&self.fd, &mut buffer)
            && !read.is_empty()
        {
            told = true;
        }
        // A v1 cgroup tells its removal in the same way.
        let Some(kills) = self.kills() else { return false };
        if self.legacy && told {
            self.seen = kills.max(self.seen + 1);
            return true;
        }
        let news = kills > self.seen;
        self.seen = self.seen.max(kills);
        news
    }

    fn kills(&self) -> Option<u64> {
        self.dir.read(self.counter).ok().map(|text| stats::pair(&text, "oom_kill").unwrap_or(0))
    }
}
