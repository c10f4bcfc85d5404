//! A step of a build: a program runs on layers, in a container that no list shows, confined as any other.
//!
//! Its supervisor is spawned as a container's; what follows is simpler, since nobody can pause, attach to or restart it. When
//! whoever waits goes away, it is killed.

mod mount_points;

use std::{
    fs,
    os::fd::AsRawFd,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bollard_stubs::models::{
    ContainerConfig, HostConfig, HostConfigLogConfig, NetworkingConfig, ResourcesUlimits,
};
use minke_model::{
    Digest,
    runtime_spec::{Mount, Scheduler},
};
use minke_network::Attachment;
use minke_supervisor::{CallError, ExitRecord, Streams, Supervisor, Target};
use tokio::io::AsyncReadExt;

use self::mount_points::MountPoints;
use super::{
    Record, SIGKILL, create, ending,
    launch::{self, LaunchError},
    record::NewRecord,
    resolver, sandbox,
};
use crate::{
    ContainerDefaults, Engine, Error, StepExit, StepMount, StepMountKind, StepNetwork, StepSpec, StepStream,
    Workspace,
    engine::Inner,
    networks::wanted,
    rootfs,
    spec::{self, Inputs, modes::Modes},
};

/// What Docker's builder calls the host that a step runs on.
const HOSTNAME: &str = "buildkitsandbox";
/// Pieces of output at most so long.
const PIECE: usize = 32 << 10;
/// How long a step's programs run before others have their turn, if those are as busy: the longest that Linux has. Who waits for
/// something and wakes up needn't wait for it.
const TURN: Duration = Duration::from_millis(100);

/// What a step has taken, to be given back: in order by [`Taken::end`], or when whoever waits for it is gone.
struct Taken {
    workspace: Arc<Workspace>,
    attachment: Option<Attachment>,
    /// Of a step that runs.
    supervisor: Mutex<Option<Supervisor>>,
}

impl Taken {
    fn running(&self, supervisor: Option<&Supervisor>) {
        *self.supervisor.lock().unwrap_or_else(PoisonError::into_inner) = supervisor.cloned();
    }

    async fn end(mut self) {
        if let Some(attachment) = self.attachment.take() {
            self.workspace.inner.detach(attachment).await;
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let supervisor = self.supervisor.lock().unwrap_or_else(PoisonError::into_inner).take();
        let attachment = self.attachment.take();
        if supervisor.is_none() && attachment.is_none() {
            return;
        }
        let workspace = Arc::clone(&self.workspace);
        let clean_up = tokio::spawn(async move {
            if let Some(supervisor) = supervisor {
                let _ = supervisor.signal(Target::Init, SIGKILL).await;
                let _ = exit_of(&supervisor, &workspace).await;
            }
            if let Some(attachment) = attachment {
                workspace.inner.detach(attachment).await;
            }
            drop(workspace);
        });
        self.workspace.inner.clean_ups.add(clean_up);
    }
}

impl Engine {
    /// Runs a program on layers; what it changes is in the workspace's upper directory afterwards, without the mount points
    /// that the engine made. When this is dropped the program is killed.
    ///
    /// # Errors
    /// `InvalidParameter` for what can't be, `Internal`; a program that could not be executed is no error but an exit code
    /// of 126 or 127.
    pub async fn run_step(
        &self,
        workspace: Arc<Workspace>,
        step: StepSpec,
        output: impl Fn(StepStream, &[u8]) + Send + Sync,
    ) -> Result<StepExit, Error> {
        let record = Arc::new(record(&workspace, &step)?);
        let modes = Modes::parse(&record.host, workspace.inner.host.facts.resources.unified)?;
        let (mounts, lower) = (step.mounts, step.lower);
        let targets: Vec<_> = mounts.iter().map(|mount| mount.target.clone()).collect();
        let layers = lower.clone();
        let mut points = self.blocking(move |_| MountPoints::new(&layers, &targets)).await?;
        // Whoever waits may be gone before the network is made: it is taken where it is made.
        let taking = {
            let (workspace, record, modes) = (Arc::clone(&workspace), Arc::clone(&record), modes.clone());
            tokio::task::spawn_blocking(move || {
                let network = sandbox::network(&workspace.inner, &record, &modes)?;
                let attachment = network.attachment.clone();
                Ok::<_, Error>((network, Taken { workspace, attachment, supervisor: Mutex::default() }))
            })
        };
        let (mut network, taken) =
            taking.await.map_err(|error| Error::internal("prepare a step", &error))??;
        let attachment = taken.attachment.clone();
        let ran = async {
            if let Some(attachment) = &attachment {
                launch::tell_names(&workspace.inner, &record, attachment, &mut network)?;
            }
            let (w, r, m, l) = (Arc::clone(&workspace), Arc::clone(&record), modes.clone(), lower.clone());
            let bundle = tokio::task::spawn_blocking(move || write_bundle(&w, &r, &m, &l, mounts)).await;
            // Handles on what is mounted stay open until the container has been made.
            let held = bundle.map_err(|error| Error::internal("prepare a step", &error))??;
            resolver::write_hosts(&workspace.inner, &record, &modes, &workspace.places, attachment.as_ref())?;
            let spawned = launch::spawn(&workspace.inner, &record, &workspace.places, None, network).await;
            drop(held);
            match spawned {
                Ok(spawned) => {
                    points.are_made(&workspace);
                    taken.running(Some(&spawned.supervisor));
                    let exit = execute(&spawned.supervisor, &workspace, &record, output).await;
                    // Whatever else became of it may still run, and is killed when it is dropped.
                    if exit.is_ok() {
                        taken.running(None);
                    }
                    exit
                }
                Err(failure) => never_ran(failure),
            }
        };
        let exit = ran.await;
        taken.end().await;
        let exit = exit?;
        let swept = self.blocking(move |_| points.sweep(&workspace)).await;
        swept.map(|()| exit)
    }
}

/// That the program is not there or not executable is the step's failure, as in a shell.
fn never_ran(failure: LaunchError) -> Result<StepExit, Error> {
    match failure.exit_code {
        126 | 127 => Ok(StepExit {
            code: failure.exit_code,
            oom_killed: false,
            error: Some(failure.error.to_string()),
        }),
        _ => Err(failure.error),
    }
}

async fn execute(
    supervisor: &Supervisor,
    workspace: &Workspace,
    record: &Record,
    output: impl Fn(StepStream, &[u8]) + Send + Sync,
) -> Result<StepExit, Error> {
    let failed = |error: CallError| Error::internal("run a step", &error);
    let streams = Streams { stdin: false, stdout: true, stderr: true };
    let mut stream = supervisor.attach(streams).await.map_err(failed)?;
    if let Err(failure) = launch::execute(supervisor, record).await {
        let _ = supervisor.wait(Target::Init).await;
        return never_ran(failure);
    }
    copy_output(&mut stream, output)
        .await
        .map_err(|error| Error::internal("read a step's output", &error))?;
    let exit = exit_of(supervisor, workspace).await.map_err(failed)?;
    Ok(StepExit { code: exit.exit_code.into(), oom_killed: exit.oom_killed, error: None })
}

/// How a step's program ended; where its supervisor was killed it is ended first.
async fn exit_of(supervisor: &Supervisor, workspace: &Workspace) -> Result<ExitRecord, CallError> {
    let exit = supervisor.wait(Target::Init).await;
    if matches!(exit, Err(CallError::Gone { .. })) {
        ending::clear(&workspace.inner, workspace.places.directory.clone()).await;
    }
    exit
}

/// Docker's frames: a header of the stream's number and the payload's length.
async fn copy_output(
    stream: &mut tokio::net::UnixStream,
    output: impl Fn(StepStream, &[u8]),
) -> std::io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        let mut header = [0; 8];
        match stream.read_exact(&mut header).await {
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(()),
            read => read?,
        };
        let kind = if header[0] == crate::frames::STDERR { StepStream::Stderr } else { StepStream::Stdout };
        let mut left = u32::from_be_bytes([header[4], header[5], header[6], header[7]]) as usize;
        while left > 0 {
            let length = left.min(PIECE);
            stream.read_exact(&mut piece[..length]).await?;
            output(kind, &piece[..length]);
            left -= length;
        }
    }
}

/// The step as a container's record, so that everything about containers holds for it.
fn record(workspace: &Workspace, step: &StepSpec) -> Result<Record, Error> {
    let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let number = |number: i64| Some(number).filter(|number| *number != 0);
    let host_network = step.network == StepNetwork::Host;
    let hostname = if step.hostname.is_empty() { HOSTNAME } else { &step.hostname };
    // A container's variable, which a step has only of its Dockerfile.
    let environment = std::iter::once("HOSTNAME".to_owned()).chain(step.environment.iter().cloned());
    let mut extra_hosts = step.extra_hosts.clone();
    if step.network == StepNetwork::None {
        // With an address it would be found by that.
        extra_hosts.push(format!("{hostname}:127.0.0.1"));
    }
    let config = ContainerConfig {
        hostname: (!host_network).then(|| hostname.to_owned()),
        cmd: Some(step.arguments.clone()),
        env: Some(environment.collect()),
        working_dir: text(&step.directory),
        user: text(&step.user),
        ..ContainerConfig::default()
    };
    let ulimits = step.ulimits.iter().map(|text| ulimit(text)).collect::<Result<Vec<_>, _>>()?;
    let mut host = HostConfig {
        network_mode: Some(match &step.network {
            StepNetwork::Default => "default".to_owned(),
            StepNetwork::None => "none".to_owned(),
            StepNetwork::Host => "host".to_owned(),
            StepNetwork::Named(name) => name.clone(),
        }),
        privileged: Some(step.insecure),
        extra_hosts: Some(extra_hosts),
        shm_size: step.shm_size,
        ulimits: Some(ulimits),
        cgroup_parent: text(&step.cgroup_parent),
        memory: number(step.memory.0),
        memory_swap: number(step.memory.1),
        cpu_shares: number(step.cpu.0),
        cpu_period: number(step.cpu.1),
        cpu_quota: number(step.cpu.2),
        cpuset_cpus: text(&step.cpusets.0),
        cpuset_mems: text(&step.cpusets.1),
        log_config: Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
        ..HostConfig::default()
    };
    let resources = workspace.inner.host.facts.resources;
    let cgroup_parent = workspace.inner.live().settings.containers.cgroup_parent.clone();
    let defaults = ContainerDefaults { cgroup_parent, ..ContainerDefaults::default() };
    create::adapt(&mut host, resources, &defaults)?;
    spec::resources::check(&host, resources)?;
    spec::resources::check_cpusets(host.cpuset_cpus.as_deref(), host.cpuset_mems.as_deref())?;
    let mode = Modes::parse(&host, resources.unified)?.network;
    let networks = wanted(&workspace.inner.network_table, &mode, &mut host, NetworkingConfig::default())?;
    Ok(Record::from(NewRecord {
        id: workspace.id.clone(),
        name: String::new(),
        image: Digest::from_bytes([0; 32]),
        config,
        host,
        networks,
        mounts: Vec::new(),
    }))
}

/// `nofile=1024:2048`.
fn ulimit(text: &str) -> Result<ResourcesUlimits, Error> {
    let invalid = || Error::invalid(format!("invalid ulimit argument: {text}"));
    let (name, values) = text.split_once('=').ok_or_else(invalid)?;
    let (soft, hard) = values.split_once(':').unwrap_or((values, values));
    let number = |text: &str| text.parse().map_err(|_| invalid());
    Ok(ResourcesUlimits { name: Some(name.to_owned()), soft: Some(number(soft)?), hard: Some(number(hard)?) })
}

/// Writes the bundle, and gives what must stay open until the container has been created.
fn write_bundle(
    workspace: &Workspace,
    record: &Record,
    modes: &Modes,
    lower: &[PathBuf],
    mounts: Vec<StepMount>,
) -> Result<Vec<StepMount>, Error> {
    let (inner, places) = (&workspace.inner, &workspace.places);
    let layers = workspace.layers(lower);
    let root = layers.read_only().map_err(launch::failed("look at the image's files"))?;
    let accounts = rootfs::accounts(&root).map_err(launch::failed("read the image's users"))?;
    let user = accounts.resolve(record.config.user.as_deref().unwrap_or(""), &[])?;
    drop(root);
    let donor_files = launch::donor_places(inner, modes)?;
    if donor_files.is_none() {
        let resolv_conf = resolver::resolv_conf(inner, record, modes)?;
        fs::write(places.directory.join("resolv.conf"), resolv_conf)
            .map_err(launch::failed("write resolv.conf"))?;
    }
    let files = donor_files.as_ref().unwrap_or(places);
    let hostname = record.config.hostname.clone().unwrap_or_else(|| inner.host.name.clone());
    // Not /etc/hostname, which a Dockerfile may write.
    let paths = ["/etc/resolv.conf", "/etc/hosts"]
        .map(|inside| (inside, files.directory.join(inside.trim_start_matches("/etc/"))));
    let paths: Vec<_> = paths.iter().map(|(inside, path)| (*inside, path.as_path())).collect();
    let (devices, device_rules) = launch::devices(record)?;
    let mut joined = sandbox::join(inner, modes, &mut Vec::new())?;
    joined.network = launch::netns_path(modes);
    let mut spec = spec::build(Inputs {
        facts: &inner.host.facts,
        config: &record.config,
        host: &record.host,
        modes,
        joined: &joined,
        user: &user,
        root: launch::ROOT,
        mounts: &[],
        sources: &[],
        images: &Default::default(),
        files: &paths,
        init: None,
        shared_shm: None,
        devices,
        device_rules,
        cgroup: &inner.cgroup_of(record),
        hostname: &hostname,
    })?;
    for mount in
        spec.mounts.iter_mut().filter(|mount| paths.iter().any(|(inside, _)| mount.destination == *inside))
    {
        // What is written there is in no layer: better that it fails.
        mount.options.retain(|option| option != "rw");
        mount.options.push("ro".to_owned());
    }
    spec.mounts.retain(|mount| !mounts.iter().any(|own| own.target == mount.destination));
    let mut own = mounts
        .iter()
        .enumerate()
        .map(|(number, mount)| oci_mount(workspace, number, mount))
        .collect::<Result<Vec<_>, _>>()?;
    own.sort_by_key(|mount| mount.destination.split('/').filter(|part| !part.is_empty()).count());
    spec.mounts.extend(own);
    if let Some(process) = &mut spec.process {
        process.scheduler = long_turns(inner, record)?;
    }
    match lower.is_empty() {
        // `FROM scratch`: the upper directory alone is the root.
        true => {
            if let Some(root) = &mut spec.root {
                root.path = layers.upper.to_string_lossy().into_owned();
            }
        }
        false => layers.annotate(&mut spec),
    }
    let json = serde_json::to_vec(&spec).map_err(|error| Error::internal("write config.json", &error))?;
    fs::write(places.directory.join("config.json"), json).map_err(launch::failed("write config.json"))?;
    Ok(mounts)
}

/// More compilers than processors push each other out of the caches at each turn. Linux takes the length of turns since 6.12
/// (sched_setattr(2)), and ignores it before. Other runtimes refuse it.
fn long_turns(inner: &Inner, record: &Record) -> Result<Option<Scheduler>, Error> {
    if inner.live().settings.foreign_runtime(record.host.runtime.as_deref())?.is_some() {
        return Ok(None);
    }
    let nice = rustix::process::getpriority_process(None).ok();
    let runtime = u64::try_from(TURN.as_nanos()).ok();
    Ok(Some(Scheduler { policy: "SCHED_OTHER".to_owned(), nice, runtime, ..Scheduler::default() }))
}

fn oci_mount(workspace: &Workspace, number: usize, mount: &StepMount) -> Result<Mount, Error> {
    let handle = |fd: &std::os::fd::OwnedFd| format!("/proc/{}/fd/{}", std::process::id(), fd.as_raw_fd());
    let access = mount.read_only.then(|| "ro".to_owned());
    let (kind, source, options) = match &mount.kind {
        StepMountKind::Bind(fd) => {
            let options = ["bind", "rprivate"].map(str::to_owned).into_iter().chain(access);
            ("bind", handle(fd), options.collect())
        }
        StepMountKind::Tmpfs(size) => {
            let mut options = ["nosuid", "nodev"].map(str::to_owned).to_vec();
            options.extend(size.map(|size| format!("size={size}")));
            ("tmpfs", "tmpfs".to_owned(), options)
        }
        StepMountKind::Overlay(layers) => {
            // The kernel overlays no mount of another namespace, which a handle of the engine's is on; by their paths the
            // directories are found in the container's own.
            let mut options = Vec::with_capacity(layers.len() + 3);
            for layer in layers {
                let path = fs::read_link(format!("/proc/self/fd/{}", layer.as_raw_fd()))
                    .map_err(launch::failed("find what is to be mounted"))?;
                options.push(format!("lowerdir+={}", path.display()));
            }
            // The kernel overlays at least two directories, and writing needs an upper one.
            let directory = workspace.places.directory.join(format!("mount-{number}"));
            for name in ["upper", "work", "empty"] {
                fs::create_dir_all(directory.join(name))
                    .map_err(launch::failed("make a mount's directories"))?;
            }
            let path = |name: &str| directory.join(name).display().to_string();
            match mount.read_only {
                true => options.push(format!("lowerdir+={}", path("empty"))),
                false => {
                    options.push(format!("upperdir={}", path("upper")));
                    options.push(format!("workdir={}", path("work")));
                }
            }
            options.extend(access);
            ("overlay", "overlay".to_owned(), options)
        }
    };
    Ok(Mount {
        destination: mount.target.clone(),
        kind: Some(kind.to_owned()),
        source: Some(source),
        options,
        ..Mount::default()
    })
}
