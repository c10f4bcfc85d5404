//! The driver for another OCI runtime, through its command line (runc's, which crun, youki and kata share).
//!
//! The supervisor waits for each command, which is what such a runtime costs. Its messages are read
//! from the log file that `--log-format json` gives, since its standard error is the container's own.
//! Commands are not started by the standard library, which would hand on our blocked signals.

mod console;
mod invocation;
mod rootfs;
mod words;

use std::{
    collections::BTreeMap,
    fs, io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use minke_kernel::{
    cgroup::{Cgroup, Controller, Layout},
    process::Exit,
};
use minke_model::runtime_spec::{Process, Resources, Spec};

use self::{
    console::Console,
    invocation::{Invocation, on_path, quiet},
    rootfs::Rootfs,
    words::{kind_of, last_message},
};
use super::{Added, Driver, Executed, Made, failure};
use crate::{
    container::Stdio,
    supervise::{
        protocol::{Failure, FailureKind, SupervisorConfig},
        setup::write_by_rename,
    },
};

/// A container of another runtime.
struct Foreign {
    runtime: PathBuf,
    /// What comes before the global flags.
    args: Vec<String>,
    root: PathBuf,
    bundle: PathBuf,
    socket: PathBuf,
    id: String,
    pid: i32,
    start_time: u64,
    /// Where its memory is accounted, for [`Cgroup::open`].
    memory: BTreeMap<String, PathBuf>,
    deleted: bool,
}

pub(super) fn create(
    config: &SupervisorConfig,
    runtime: &Path,
    spec: &Spec,
    stdio: Stdio,
    console: Option<(u16, u16)>,
) -> Result<Made, Failure> {
    let mut driver = Foreign {
        runtime: on_path(runtime),
        args: config.runtime_args.clone(),
        root: config.runtime_root.clone(),
        bundle: config.bundle.clone(),
        socket: config.socket.clone(),
        id: config.id.to_string(),
        pid: 0,
        start_time: 0,
        memory: BTreeMap::new(),
        deleted: false,
    };
    name_inherited_namespaces(&config.bundle)?;
    let root = Rootfs::mount(&config.bundle, spec)?;
    let create = driver.command("create").with("--bundle").with(&config.bundle);
    let launched = driver.launch(create, stdio);
    drop(root);
    let (pid, pty_master) = launched?;
    match driver.adopt(pid) {
        Ok(()) => Ok(Made { driver: Box::new(driver), pty_master, console }),
        Err(error) => {
            let _ = driver.delete();
            Err(error)
        }
    }
}

/// `/proc/self/…` means another process in the runtime's: names our own there instead.
fn name_inherited_namespaces(bundle: &Path) -> Result<(), Failure> {
    let path = bundle.join("config.json");
    let edited = fs::read(&path).and_then(|json| {
        let mut spec: serde_json::Value = serde_json::from_slice(&json)?;
        let Some(namespaces) = spec.pointer_mut("/linux/namespaces").and_then(|list| list.as_array_mut())
        else {
            return Ok(());
        };
        let mut changed = false;
        for namespace in namespaces {
            let rest = namespace["path"].as_str().and_then(|path| path.strip_prefix("/proc/self/"));
            if let Some(rest) = rest {
                namespace["path"] = format!("/proc/{}/{rest}", std::process::id()).into();
                changed = true;
            }
        }
        if changed { write_by_rename(&path, &serde_json::to_vec(&spec)?) } else { Ok(()) }
    });
    edited.map_err(|error| internal(&format!("prepare {}", path.display()), &error))
}

impl Foreign {
    /// `RUNTIME ARGS --root … --log … COMMAND`.
    fn command(&self, name: &'static str) -> Invocation {
        let invocation = Invocation { name, args: self.args.iter().map(Into::into).collect() };
        let invocation = invocation.with("--root").with(&self.root).with("--log").with(self.log());
        invocation.with("--log-format").with("json").with(name)
    }

    fn log(&self) -> PathBuf {
        self.bundle.join("runtime.log")
    }

    /// Runs a command with these standard streams; its failure is what it logged last.
    fn run(&self, command: &Invocation, streams: &[OwnedFd; 3]) -> Result<(), Failure> {
        let _ = fs::remove_file(self.log()); // messages of earlier commands are not about this one
        let exit = command
            .run(&self.runtime, streams)
            .map_err(|error| internal(&format!("run the OCI runtime {}", self.runtime.display()), &error))?;
        if exit == Exit::Code(0) {
            return Ok(());
        }
        let message =
            last_message(&fs::read_to_string(self.log()).unwrap_or_default()).unwrap_or_else(|| {
                format!("{} {} ended with status {}", self.runtime.display(), command.name, exit.code())
            });
        Err(Failure { kind: kind_of(&message), message })
    }

    /// Runs a command about the container without any streams.
    fn run_quietly(&self, command: Invocation) -> Result<(), Failure> {
        let streams = quiet().map_err(|error| internal("open /dev/null", &error))?;
        self.run(&command, &streams)
    }

    /// Runs a command that makes a process with `stdio`, and gives the process's pid and terminal.
    fn launch(&self, command: Invocation, stdio: Stdio) -> Result<(i32, Option<OwnedFd>), Failure> {
        let pid_file = self.bundle.join("runtime.pid");
        let mut command = command.with("--pid-file").with(&pid_file);
        let is_pty = matches!(stdio, Stdio::Pty);
        let mut console = None;
        let streams = match stdio {
            Stdio::Fds { stdin, stdout, stderr } => [stdin, stdout, stderr],
            Stdio::Pty | Stdio::Inherit => quiet().map_err(|error| internal("open /dev/null", &error))?,
        };
        if is_pty {
            let listening = Console::listen(&self.socket)?;
            command = command.with("--console-socket").with(&listening.path);
            console = Some(listening);
        }
        self.run(&command.with(&self.id), &streams)?;
        drop(streams); // our copies of the process's ends
        let pid = fs::read_to_string(&pid_file)
            .and_then(|text| text.trim().parse().map_err(io::Error::other))
            .map_err(|error| internal(&format!("read {}", pid_file.display()), &error))?;
        let _ = fs::remove_file(&pid_file);
        Ok((pid, console.map(|console| console.receive()).transpose()?))
    }

    /// Learns what later questions need while the process surely is the one that was made.
    fn adopt(&mut self, pid: i32) -> Result<(), Failure> {
        self.pid = pid;
        let stat = minke_kernel::process::stat(pid)
            .and_then(|stat| stat.ok_or_else(|| io::ErrorKind::NotFound.into()))
            .map_err(|error| internal(&format!("find the container's process {pid}"), &error))?;
        self.start_time = stat.start_time;
        self.memory = memory_cgroup(pid).unwrap_or_default();
        Ok(())
    }
}

impl Driver for Foreign {
    fn pid(&self) -> i32 {
        self.pid
    }

    fn start_time(&self) -> u64 {
        self.start_time
    }

    fn start(&mut self) -> Result<(), Failure> {
        self.run_quietly(self.command("start").with(&self.id))
    }

    fn exec(&mut self, process: &Process, stdio: Stdio) -> Result<Added, Failure> {
        let file = self.bundle.join("runtime-process.json");
        let json = serde_json::to_vec(process).map_err(io::Error::from);
        json.and_then(|json| fs::write(&file, json))
            .map_err(|error| internal(&format!("write {}", file.display()), &error))?;
        let command = self.command("exec").with("--detach").with("--process").with(&file);
        let launched = self.launch(command, stdio);
        let _ = fs::remove_file(&file);
        let (pid, pty_master) = launched?;
        Ok(Added::Running(Executed { pid, pty_master }))
    }

    fn signal(&mut self, signal: i32) -> Result<(), Failure> {
        self.run_quietly(self.command("kill").with(&self.id).with(signal.to_string()))
    }

    fn pause(&mut self) -> Result<(), Failure> {
        self.run_quietly(self.command("pause").with(&self.id))
    }

    fn resume(&mut self) -> Result<(), Failure> {
        self.run_quietly(self.command("resume").with(&self.id))
    }

    fn update(&mut self, resources: &Resources) -> Result<(), Failure> {
        let file = self.bundle.join("runtime-resources.json");
        let json = serde_json::to_vec(resources).map_err(io::Error::from);
        json.and_then(|json| fs::write(&file, json))
            .map_err(|error| internal(&format!("write {}", file.display()), &error))?;
        let updated = self.run_quietly(self.command("update").with("--resources").with(&file).with(&self.id));
        let _ = fs::remove_file(&file);
        updated
    }

    fn oom_killed(&self) -> bool {
        !self.memory.is_empty()
            && Cgroup::open(&self.memory).and_then(|cgroup| cgroup.oom_kills()).is_ok_and(|kills| kills > 0)
    }

    fn delete(&mut self) -> Result<(), Failure> {
        if std::mem::replace(&mut self.deleted, true) {
            return Ok(());
        }
        let deleted = self.run_quietly(self.command("delete").with("--force").with(&self.id));
        let _ = fs::remove_file(self.log());
        deleted
    }
}

fn memory_cgroup(pid: i32) -> io::Result<BTreeMap<String, PathBuf>> {
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let layout = Layout::parse(&mounts, &fs::read_to_string(format!("/proc/{pid}/cgroup"))?);
    let directory = |hierarchy: &minke_kernel::cgroup::Hierarchy| hierarchy.mount_point.join(&hierarchy.own);
    let memory = layout.legacy.iter().find(|hierarchy| hierarchy.controllers.contains(Controller::Memory));
    let found = match (memory, &layout.unified) {
        (Some(memory), _) => Some((Controller::Memory.name().to_owned(), directory(memory))),
        (None, Some(unified)) if layout.legacy.is_empty() => Some((String::new(), directory(unified))),
        (None, _) => None,
    };
    Ok(found.into_iter().collect())
}

fn internal(action: &str, error: &io::Error) -> Failure {
    failure(FailureKind::Internal, action, error)
}
