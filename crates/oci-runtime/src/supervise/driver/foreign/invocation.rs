//! One run of the runtime's command line.

use std::{
    ffi::OsString,
    fs, io,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
};

use minke_kernel::{process::Exit, spawn::Spawn};

/// One command of the runtime.
pub(super) struct Invocation {
    pub(super) name: &'static str,
    pub(super) args: Vec<OsString>,
}

impl Invocation {
    pub(super) fn with(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    pub(super) fn run(&self, runtime: &Path, streams: &[OwnedFd; 3]) -> io::Result<Exit> {
        let mut spawn = Spawn::new(runtime);
        for arg in &self.args {
            spawn.arg(arg);
        }
        if let Some(path) = std::env::var_os("PATH") {
            spawn.env("PATH".as_ref(), &path);
        }
        for (number, stream) in (0..).zip(streams) {
            spawn.descriptor(stream.as_fd(), number);
        }
        minke_kernel::process::wait(spawn.spawn()?)
    }
}

pub(super) fn quiet() -> io::Result<[OwnedFd; 3]> {
    let null: OwnedFd = fs::File::options().read(true).write(true).open("/dev/null")?.into();
    Ok([null.try_clone()?, null.try_clone()?, null])
}

/// The program that a shell would run under this name.
pub(super) fn on_path(program: &Path) -> PathBuf {
    if program.components().count() > 1 {
        return program.to_owned();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.is_file());
    found.unwrap_or_else(|| program.to_owned())
}
