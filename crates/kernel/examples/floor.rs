//! What the kernel alone costs: new namespaces, a root file system with the usual mounts, `pivot_root`, `execve`, wait.
//!
//! No cgroup, no limits, no masks, no seccomp, no state: the floor that `make bench` holds the runtimes against.
//!
//!     floor ROOTFS PROGRAM

use std::{
    ffi::CString,
    io,
    os::fd::AsFd,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::ExitCode,
};

use minke_kernel::{
    mount::{self, Attributes, Propagation},
    namespace::Kinds,
    path::Root,
    process::{self, CloneOptions},
};
use minke_model::runtime_spec::NamespaceType;

const MOUNTS: [(&str, &str); 6] = [
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("tmpfs", "/dev"),
    ("devpts", "/dev/pts"),
    ("tmpfs", "/dev/shm"),
    ("mqueue", "/dev/mqueue"),
];

fn main() -> ExitCode {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [rootfs, program] = arguments.as_slice() else {
        eprintln!("floor: wants a root file system and a program in it");
        return ExitCode::from(2);
    };
    match run(rootfs, program) {
        Ok(code) => ExitCode::from(code as u8),
        Err(error) => {
            eprintln!("floor: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(rootfs: &Path, program: &Path) -> io::Result<i32> {
    use NamespaceType::{Cgroup, Ipc, Mount, Network, Pid, Uts};
    let namespaces = [Mount, Pid, Ipc, Uts, Network, Cgroup].into_iter().collect::<Kinds>();
    let child = process::spawn(&CloneOptions { namespaces, ..CloneOptions::default() }, || {
        eprintln!("floor: in the container: {}", enter(rootfs, program).unwrap_or_else(|error| error));
        1
    })?;
    Ok(process::wait(&child.pidfd)?.code())
}

/// Returns only what went wrong.
fn enter(rootfs: &Path, program: &Path) -> io::Result<io::Error> {
    let host = std::fs::File::open("/")?;
    mount::set_propagation(&host, Propagation::Private, true)?;
    let root = mount::clone_path(rootfs, true)?;
    mount::attach_at(&root, rootfs)?;
    let root = Root::from_fd(root);
    for (kind, place) in MOUNTS {
        let place = root.mkdir_all(Path::new(place))?;
        mount::attach(mount::filesystem(kind, Some(kind), &[], &Attributes::default())?, place)?;
    }
    mount::pivot(root.as_fd())?;
    let program = CString::new(program.as_os_str().as_bytes())?;
    Ok(process::exec(&program, std::slice::from_ref(&program), &[]))
}
