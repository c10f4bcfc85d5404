//! criu(8), which freezes processes into files and thaws them: started as `criu swrk FD` for one request
//! each, and spoken to in its RPC. While it works it tells what it is about to do, and waits until that is
//! acknowledged.

mod options;
mod wire;

use std::{
    fs::{self, File},
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use minke_kernel::socket;
use rustix::io::FdFlags;

pub(crate) use self::options::Details;
pub use self::options::{CgroupsMode, CriuOptions};
use self::wire::{Field, Writer};

/// What criu calls the request and its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Request {
    Dump,
    Restore,
    PreDump,
}

const NOTIFY: u64 = 6;
const FEATURE_CHECK: i64 = 9;
const VERSION: i64 = 10;

/// The oldest version that knows all options that are sent: 3.15, as Debian 11 has it.
const OLDEST: u64 = 31500;

impl Request {
    fn number(self) -> i64 {
        match self {
            Self::Dump => 1,
            Self::Restore => 2,
            Self::PreDump => 4,
        }
    }
}

/// Why criu didn't do it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CriuError {
    /// There is none.
    #[error("criu is not installed (there is no program criu in $PATH)")]
    Absent,
    /// It is there, but couldn't be run or spoken to.
    #[error("{0}")]
    Io(&'static str, #[source] io::Error),
    /// It is too old.
    #[error("criu {0} is too old, 3.15 or newer is needed")]
    Old(String),
    /// The kernel or criu lacks something.
    #[error("criu is missing features: {0}")]
    Feature(&'static str),
    /// It refused.
    #[error("criu failed: type {kind} errno {errno}{why}")]
    Failed {
        kind: u64,
        errno: u64,
        /// The log's name, and the error in it.
        why: String,
    },
    /// It went away.
    #[error("criu ended without an answer{0}")]
    Gone(String),
    /// What it told could not be done.
    #[error("{0}")]
    Notified(String),
}

/// What criu is about to do, or has done.
#[derive(Debug)]
pub(crate) struct Notice {
    pub(crate) script: String,
    /// The first process, as the caller sees it.
    pub(crate) pid: i32,
    /// A descriptor that came along: the master side of a terminal.
    pub(crate) descriptor: Option<OwnedFd>,
}

/// criu, started and not asked yet.
#[derive(Debug)]
pub(crate) struct Criu {
    child: Child,
    channel: OwnedFd,
}

impl Criu {
    /// Starts criu. Descriptors of the caller's that aren't close-on-exec are its as well, under the same
    /// numbers.
    pub(crate) fn start(streams: bool) -> Result<Self, CriuError> {
        let step = "start criu";
        let failed = |error: io::Error| CriuError::Io(step, error);
        let (ours, theirs) = socket::pair().map_err(failed)?;
        rustix::io::fcntl_setfd(&theirs, FdFlags::empty()).map_err(|errno| failed(errno.into()))?;
        let stream = || if streams { Stdio::inherit() } else { Stdio::null() };
        let mut command = Command::new("criu");
        command.args(["swrk", &theirs.as_raw_fd().to_string()]);
        command.stdin(stream()).stdout(stream()).stderr(stream());
        let child = command.spawn().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => CriuError::Absent,
            _ => failed(error),
        })?;
        Ok(Self { child, channel: ours })
    }

    /// Its pid.
    pub(crate) fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// Has it do its work; `notified` hears what it tells.
    pub(crate) fn work(
        self,
        request: Request,
        options: &CriuOptions,
        details: &Details,
        notified: &mut dyn FnMut(Notice) -> Result<(), String>,
    ) -> Result<(), CriuError> {
        let log = options.work.as_ref().unwrap_or(&options.images).join(details.log_file);
        let mut message = Writer::default();
        message.number(1, request.number());
        message.message(2, |to| options::write(options, details, to));
        self.send(message)?;
        loop {
            let (answer, descriptor) = self.receive(&log)?;
            if !answer.success {
                return Err(failure(&answer, &log));
            }
            if answer.kind != NOTIFY {
                break;
            }
            let script = answer.script;
            notified(Notice { script, pid: answer.pid, descriptor }).map_err(CriuError::Notified)?;
            let mut message = Writer::default();
            message.number(1, NOTIFY as i64);
            message.bool(3, true);
            self.send(message)?;
        }
        self.finish(request == Request::PreDump, &log)
    }

    /// Waits for its end. After a pre-dump it waits for more, and leaves when nobody is there.
    fn finish(mut self, hangs: bool, log: &Path) -> Result<(), CriuError> {
        drop(std::mem::replace(&mut self.channel, File::open("/dev/null").map_err(wait_failed)?.into()));
        let status = self.child.wait().map_err(wait_failed)?;
        match status.success() || hangs {
            true => Ok(()),
            false => Err(CriuError::Gone(quote(log))),
        }
    }

    fn send(&self, message: Writer) -> Result<(), CriuError> {
        socket::send(&self.channel, &message.into_bytes(), &[])
            .map_err(|error| CriuError::Io("speak to criu", error))
    }

    fn receive(&self, log: &Path) -> Result<(Answer, Option<OwnedFd>), CriuError> {
        let received =
            socket::receive(&self.channel).map_err(|error| CriuError::Io("listen to criu", error))?;
        let message = received.ok_or_else(|| CriuError::Gone(quote(log)))?;
        Ok((Answer::parse(&message.bytes), message.descriptors.into_iter().next()))
    }
}

impl Drop for Criu {
    fn drop(&mut self) {
        // Done already, or it has gone wrong: then nothing of it may stay.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn wait_failed(error: io::Error) -> CriuError {
    CriuError::Io("wait for criu", error)
}

/// `criu_resp`.
#[derive(Debug, Default)]
struct Answer {
    kind: u64,
    success: bool,
    script: String,
    pid: i32,
    errno: u64,
    text: String,
    memory_tracking: bool,
    lazy_pages: bool,
    version: [u64; 3],
}

impl Answer {
    fn parse(bytes: &[u8]) -> Self {
        let mut answer = Self::default();
        let text = |field: Field<'_>| String::from_utf8_lossy(field.bytes()).into_owned();
        for (number, field) in wire::fields(bytes) {
            match number {
                1 => answer.kind = field.number(),
                2 => answer.success = field.number() != 0,
                5 => {
                    for (number, field) in wire::fields(field.bytes()) {
                        match number {
                            1 => answer.script = text(field),
                            2 => answer.pid = field.number() as i32,
                            _ => {}
                        }
                    }
                }
                7 => answer.errno = field.number(),
                8 => {
                    for (number, field) in wire::fields(field.bytes()) {
                        match number {
                            1 => answer.memory_tracking = field.number() != 0,
                            2 => answer.lazy_pages = field.number() != 0,
                            _ => {}
                        }
                    }
                }
                9 => answer.text = text(field),
                10 => {
                    for (number, field) in wire::fields(field.bytes()) {
                        match number {
                            1 => answer.version[0] = field.number(),
                            2 => answer.version[1] = field.number(),
                            4 => answer.version[2] = field.number(),
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        answer
    }
}

/// Checks that criu is there, new enough, and can do what these options need.
pub(crate) fn check(options: &CriuOptions) -> Result<(), CriuError> {
    let mut message = Writer::default();
    message.number(1, VERSION);
    let [major, minor, sublevel] = ask(message)?.version;
    if major * 10_000 + minor * 100 + sublevel < OLDEST {
        return Err(CriuError::Old(format!("{major}.{minor}")));
    }
    if !options.pre_dump && !options.lazy_pages {
        return Ok(());
    }
    let mut message = Writer::default();
    message.number(1, FEATURE_CHECK);
    message.message(5, |features| {
        features.bool(1, true);
        features.bool(2, true);
    });
    let has = ask(message)?;
    match (options.pre_dump && !has.memory_tracking, options.lazy_pages && !has.lazy_pages) {
        (true, _) => Err(CriuError::Feature("MemTrack")),
        (_, true) => Err(CriuError::Feature("LazyPages")),
        _ => Ok(()),
    }
}

/// One question and its answer.
fn ask(message: Writer) -> Result<Answer, CriuError> {
    let criu = Criu::start(false)?;
    criu.send(message)?;
    let nowhere = Path::new("");
    let (answer, _) = criu.receive(nowhere)?;
    if answer.success { Ok(answer) } else { Err(failure(&answer, nowhere)) }
}

fn failure(answer: &Answer, log: &Path) -> CriuError {
    // The log has more than the error that newer ones tell.
    let why = match (quote(log), answer.text.lines().next()) {
        (quoted, Some(text)) if quoted.is_empty() => format!(": {}", text.trim()),
        (quoted, _) => quoted,
    };
    CriuError::Failed { kind: answer.kind, errno: answer.errno, why }
}

/// The log's name and the first error in it, if there is such a log.
fn quote(log: &Path) -> String {
    const LONGEST: usize = 1 << 20;
    let Ok(bytes) = fs::read(log) else { return String::new() };
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(LONGEST)]).into_owned();
    let error = text.lines().find(|line| line.contains("Error"));
    format!(", log file {}: {}", log.display(), error.unwrap_or("no error in it").trim())
}

/// Opens a directory for criu, which opens it again by the number; made if it doesn't exist.
pub(crate) fn directory(path: &Path) -> io::Result<OwnedFd> {
    match fs::DirBuilder::new().recursive(true).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    Ok(File::open(path)?.into())
}

/// Lets criu have a descriptor of the caller's, under the same number.
pub(crate) fn hand_on(fd: impl AsFd) -> io::Result<i32> {
    let fd = fd.as_fd();
    rustix::io::fcntl_setfd(fd, FdFlags::empty())?;
    Ok(fd.as_raw_fd())
}

/// What the container's standard streams were when it was made, beside the images.
pub(crate) const DESCRIPTORS: &str = "descriptors.json";

/// Where that is.
pub(crate) fn descriptors_file(options: &CriuOptions) -> PathBuf {
    options.images.join(DESCRIPTORS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_taken_apart() {
        let mut message = Writer::default();
        message.number(1, NOTIFY as i64);
        message.bool(2, true);
        message.message(5, |notify| {
            notify.text(1, "post-restore");
            notify.number(2, 77);
        });
        message.message(10, |version| {
            version.number(1, 4);
            version.number(2, 2);
        });
        let answer = Answer::parse(&message.into_bytes());
        assert_eq!(
            (answer.kind, answer.success, answer.script.as_str(), answer.pid),
            (NOTIFY, true, "post-restore", 77)
        );
        assert_eq!(answer.version, [4, 2, 0]);
    }

    #[test]
    fn modes_are_known_by_name() {
        assert_eq!(CgroupsMode::parse("full"), Some(CgroupsMode::Full));
        assert_eq!(CgroupsMode::parse("x"), None);
    }
}
