//! Finding the user's program, as execvp(3) does, and saying why it can't be executed.
//!
//! The messages start as those of Go's os/exec, since dockerd and others tell the exit codes 126 and 127 from them.

use std::{
    fs,
    io::{self, Read},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use minke_kernel::path::Root;
use minke_model::runtime_spec::Process;
use rustix::{
    fs::{Access, AtFlags, CWD, OFlags},
    io::Errno,
};

use crate::{
    container::{InitError, InitErrorKind},
    step::plain,
};

/// The longest /etc/passwd that is read, in bytes: it is the image's.
const LONGEST_PASSWD: u64 = 4 << 20;

/// The process's environment: of several entries for a name the last, and `HOME` from the container's /etc/passwd where
/// it isn't given or empty.
pub(super) fn environment(process: &Process) -> Vec<String> {
    let mut env = last_of_each_name(&process.env);
    if !env.iter().any(|entry| entry.strip_prefix("HOME=").is_some_and(|home| !home.is_empty())) {
        env.retain(|entry| !entry.starts_with("HOME="));
        env.push(format!("HOME={}", home_of(process.user.uid)));
    }
    env
}

/// What comes later replaces what came before: which of two entries a program takes is its own choice else.
fn last_of_each_name(env: &[String]) -> Vec<String> {
    let name = |entry: &str| entry.split('=').next().unwrap_or_default().to_owned();
    let mut seen = std::collections::BTreeSet::new();
    let mut kept: Vec<String> = env.iter().rev().filter(|entry| seen.insert(name(entry))).cloned().collect();
    kept.reverse();
    kept
}

fn home_of(uid: u32) -> String {
    let text = passwd().unwrap_or_default();
    home_in(&String::from_utf8_lossy(&text), uid).unwrap_or("/").to_owned()
}

/// The container's /etc/passwd, which may be anything: a FIFO isn't waited for, and an endless file isn't read to its end.
fn passwd() -> io::Result<Vec<u8>> {
    let file =
        Root::open(Path::new("/"))?.open_at(Path::new("/etc/passwd"), OFlags::RDONLY | OFlags::NONBLOCK)?;
    let mut text = Vec::new();
    let file = fs::File::from(file);
    if file.metadata()?.is_file() {
        file.take(LONGEST_PASSWD).read_to_end(&mut text)?;
    }
    Ok(text)
}

/// passwd(5): name, password, uid, gid, comment, home.
fn home_in(passwd: &str, uid: u32) -> Option<&str> {
    passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let home = *fields.get(5)?;
        (fields[2].parse() == Ok(uid) && !home.is_empty()).then_some(home)
    })
}

/// Looks the program up: by its path, or in the directories of `PATH`.
pub(super) fn find(name: &str, env: &[String]) -> Result<PathBuf, InitError> {
    if name.contains('/') {
        return match check(Path::new(name)) {
            Ok(()) => Ok(name.into()),
            Err(error) => Err(refused(name, &error)),
        };
    }
    let path = env.iter().rev().find_map(|entry| entry.strip_prefix("PATH=")).unwrap_or_default();
    let mut denied = None;
    for directory in path.split(':') {
        let candidate = Path::new(if directory.is_empty() { "." } else { directory }).join(name);
        match check(&candidate) {
            Ok(()) => return Ok(candidate),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => denied = Some(error),
            Err(_) => {}
        }
    }
    match denied {
        Some(error) if !name.is_empty() => Err(refused(name, &error)),
        _ => Err(InitError {
            kind: InitErrorKind::NotFound,
            step: format!("exec: {name:?}"),
            message: "executable file not found in $PATH".into(),
            errno: Some(Errno::NOENT.raw_os_error()),
        }),
    }
}

/// Whether a path can be executed by the calling user.
fn check(path: &Path) -> io::Result<()> {
    let metadata = fs::metadata(path)?;
    if metadata.is_dir() {
        return Err(Errno::ISDIR.into());
    }
    if !metadata.is_file() || metadata.permissions().mode() & 0o111 == 0 {
        return Err(Errno::ACCESS.into());
    }
    Ok(rustix::fs::accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS)?)
}

fn refused(name: &str, error: &io::Error) -> InitError {
    let (kind, message) = match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            (InitErrorKind::NotFound, format!("stat {name}: {}", plain(error)))
        }
        _ => (InitErrorKind::NotExecutable, plain(error)),
    };
    InitError { kind, step: format!("exec: {name:?}"), message, errno: error.raw_os_error() }
}

/// Why execve(2) of a program that was found failed. `ENOENT` is about its interpreter then.
pub(super) fn exec_error(path: &Path, error: &io::Error) -> InitError {
    let errno = error.raw_os_error().and_then(|raw| Errno::from_io_error(&io::Error::from_raw_os_error(raw)));
    let kind = match errno {
        Some(Errno::NOENT | Errno::NOTDIR) => InitErrorKind::NotFound,
        Some(Errno::ACCESS | Errno::NOEXEC | Errno::ISDIR | Errno::PERM | Errno::LIBBAD | Errno::INVAL) => {
            InitErrorKind::NotExecutable
        }
        _ => InitErrorKind::Other,
    };
    InitError {
        kind,
        step: format!("exec {}", path.display()),
        message: plain(error),
        errno: error.raw_os_error(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(name: &str, path: &str) -> InitError {
        find(name, &[format!("PATH={path}")]).unwrap_err()
    }

    #[test]
    fn programs_are_found_in_path_or_where_they_are_said_to_be() {
        assert_eq!(find("sh", &["PATH=/nowhere:/bin".into()]).unwrap(), Path::new("/bin/sh"));
        assert_eq!(find("/bin/sh", &[]).unwrap(), Path::new("/bin/sh"));
    }

    #[test]
    fn what_is_missing_and_what_is_not_executable_are_told_apart() {
        let missing = error("no-such-program", "/bin");
        assert_eq!(missing.kind, InitErrorKind::NotFound);
        assert!(missing.to_string().contains("executable file not found in $PATH"), "{missing}");
        let missing = error("/no/such", "");
        assert!(missing.to_string().contains("stat /no/such: no such file or directory"), "{missing}");
        assert_eq!(error("/etc", "").kind, InitErrorKind::NotExecutable);
        let plain = error("/etc/passwd", "");
        assert_eq!(plain.kind, InitErrorKind::NotExecutable);
        assert!(plain.to_string().contains("permission denied"), "{plain}");
    }

    #[test]
    fn of_several_entries_for_a_variable_the_last_counts_and_an_empty_home_is_none() {
        let env = ["A=1", "HOME=", "B=2", "A=3"].map(str::to_owned).to_vec();
        let env = environment(&Process { env, ..Process::default() });
        assert_eq!(env[..2], ["B=2", "A=3"]);
        assert!(env[2].len() > "HOME=".len() && env.len() == 3, "{env:?}");
    }

    #[test]
    fn the_home_directory_is_found_by_the_user_id() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nbroken\nweb:x:33:33::/var/www:\n";
        assert_eq!(home_in(passwd, 33), Some("/var/www"));
        assert_eq!(home_in(passwd, 7), None);
    }
}
