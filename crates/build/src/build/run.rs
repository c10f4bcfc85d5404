//! RUN: a program on the layers so far, with its mounts.

use std::{
    fs,
    os::{
        fd::OwnedFd,
        unix::fs::{DirBuilderExt, PermissionsExt, chown},
    },
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use minke_dockerfile::{
    ast::{NetworkMode, SecurityMode},
    evaluate::{Mount, MountKind, Owner, RunStep, Sharing},
    plan::Origin,
};
use minke_engine::{
    ErrorKind, LayersAt, StepMount, StepMountKind, StepNetwork, StepSpec, StepStream, Workspace, layers_at,
};
use minke_kernel::path::Root;
use minke_model::{Digest, Platform};
use rustix::fs::OFlags;

use super::{Claim, Files, State, Work};
use crate::{
    BuildError, BuildRequest, LogStream, NetworkMode as Requested,
    cache::{Key, failed},
    caches::{self, CacheName, Taken},
    copy::{Copier, copy_bytes},
    files::{Match, matches},
    ssh::Forward,
    walk::{Stop, Walk, apart},
};

/// A step that writes more than this is cut off in the log, not in its run; as in BuildKit.
const LONGEST_LOG: u64 = 2 << 20;

/// What a step has while it runs.
#[derive(Default)]
struct Prepared {
    mounts: Vec<StepMount>,
    environment: Vec<String>,
    caches: Vec<(Digest, Taken)>,
    _agents: Vec<Forward>,
}

impl Work<'_> {
    pub(super) async fn run(&self, run: &RunStep, state: State) -> Result<(bool, State), BuildError> {
        self.check_entitlements(run)?;
        let mut inputs = Vec::new();
        for mount in &run.mounts {
            let from = match &mount.kind {
                MountKind::Bind { from, .. } | MountKind::Cache { from, .. } => Some(from),
                _ => None,
            };
            inputs.push(match from {
                Some(from) if *from != Origin::Scratch => Some(self.build.files(from).await?),
                _ => None,
            });
        }
        let contents = contents(run, &inputs).await?;
        let key = run_key(run, &self.build.request, &state, &contents);
        let _turn = match self.claim(&key).await {
            Claim::Done(found) => return Ok((true, found)),
            Claim::Ours(turn) => turn,
        };
        let _program = self.build.programs.acquire().await.map_err(|error| failed(&error))?;
        self.node.start();
        let workspace = self.workspace()?;
        let prepared = self.prepare(run, &workspace, &inputs, &contents).await?;
        self.execute(run, &workspace, prepared, &state).await?;
        Ok((false, self.commit(workspace, key, &state).await?))
    }

    fn check_entitlements(&self, run: &RunStep) -> Result<(), BuildError> {
        let has = |name: &str| self.build.request.entitlements.iter().any(|granted| granted == name);
        let needed = [
            (run.security == SecurityMode::Insecure, "security.insecure"),
            (run.network == NetworkMode::Host, "network.host"),
            (!run.devices.is_empty(), "device"),
        ];
        match needed.into_iter().find(|(asked, name)| *asked && !has(name)) {
            Some((_, name)) => Err(BuildError::Invalid(format!(
                "{name} is not allowed: the step needs the entitlement, which is given with --allow {name}"
            ))),
            None if !run.devices.is_empty() => {
                Err(BuildError::Invalid("RUN --device can't be honoured by this builder".to_owned()))
            }
            None => Ok(()),
        }
    }

    /// A program that could not be executed, and is for another kind of processor: then that is why.
    fn check_platform(&self) -> Result<(), BuildError> {
        let (wanted, host) = (&self.stage.platform, Platform::host());
        if host.suitability(wanted) > 0 {
            return Ok(());
        }
        Err(BuildError::Invalid(format!(
            "{}: programs for {wanted} can't be run on this host, which is {host}: register an emulator for them (binfmt_misc \
             with the flag F, as qemu-user-static does), or let the step's stage be FROM --platform=$BUILDPLATFORM",
            self.step.title
        )))
    }

    async fn prepare(
        &self,
        run: &RunStep,
        workspace: &Arc<Workspace>,
        inputs: &[Option<Files>],
        contents: &[Option<Digest>],
    ) -> Result<Prepared, BuildError> {
        let mut prepared = Prepared::default();
        let mut agents = 0;
        for (number, ((mount, files), content)) in run.mounts.iter().zip(inputs).zip(contents).enumerate() {
            let target = mount.target.clone();
            match &mount.kind {
                MountKind::Bind { source, .. } => {
                    let files = files.as_ref().ok_or_else(|| nothing_to_mount(source))?;
                    let (workspace, files, source) = (Arc::clone(workspace), files.clone(), source.clone());
                    let read_only = mount.read_only;
                    let kind =
                        apart(move |stop| bind(&workspace, number, &files, &source, read_only, stop)).await?;
                    prepared.mounts.extend(target.map(|target| StepMount {
                        target,
                        read_only: mount.read_only,
                        kind,
                    }));
                }
                MountKind::Cache { .. } => {
                    let begin = files.as_ref().zip(content.as_ref());
                    self.cache_mount(mount, begin, &mut prepared).await?;
                }
                MountKind::Tmpfs { size } => prepared.mounts.extend(target.map(|target| StepMount {
                    target,
                    read_only: false,
                    kind: StepMountKind::Tmpfs((*size > 0).then_some(*size)),
                })),
                MountKind::Secret { .. } => self.secret(mount, number, workspace, &mut prepared).await?,
                MountKind::Ssh { .. } => {
                    self.agent(mount, agents, workspace, &mut prepared).await?;
                    agents += 1;
                }
            }
        }
        if let Some(script) = &run.script {
            let directory = workspace.volatile().join("script");
            fs::DirBuilder::new()
                .mode(0o755)
                .create(&directory)
                .map_err(|error| local("make a script", &error))?;
            let file = directory.join(Path::new(&script.name).file_name().unwrap_or_default());
            write_file(&file, script.content.as_bytes(), Owner::default(), 0o755)?;
            prepared.mounts.push(StepMount {
                target: script.directory.trim_end_matches('/').to_owned(),
                read_only: true,
                kind: StepMountKind::Bind(place(&directory)?),
            });
        }
        Ok(prepared)
    }

    async fn cache_mount(
        &self,
        mount: &Mount,
        begin: Option<(&Files, &Digest)>,
        prepared: &mut Prepared,
    ) -> Result<(), BuildError> {
        let MountKind::Cache { id, source, sharing, owner, .. } = &mount.kind else { return Ok(()) };
        let name = CacheName { id, content: begin.map(|(_, content)| content), owner: *owner };
        let key = name.digest();
        // One that is mounted twice is taken once: the step would wait for itself.
        if !prepared.caches.iter().any(|(other, _)| *other == key) {
            let taken = self.cache(name, *sharing, begin, *owner, source).await?;
            prepared.caches.push((key, taken));
        }
        let Some((_, taken)) = prepared.caches.iter().find(|(other, _)| *other == key) else { return Ok(()) };
        // With files it is a part of these, else of the cache itself, in which a step may have made anything.
        let handle = match begin.is_some() || source.trim_matches('/').is_empty() {
            true => place(&taken.path)?,
            false => Root::open(&taken.path)
                .and_then(|root| root.locate(&Path::new("/").join(source.trim_start_matches('/'))))
                .map_err(|_| BuildError::Invalid(format!("failed to mount {source:?}: not found")))?,
        };
        let (kind, read_only) = (StepMountKind::Bind(handle), mount.read_only);
        prepared.mounts.extend(mount.target.clone().map(|target| StepMount { target, read_only, kind }));
        Ok(())
    }

    /// A cache with what it begins with.
    async fn cache(
        &self,
        name: CacheName<'_>,
        sharing: Sharing,
        begin: Option<(&Files, &Digest)>,
        owner: Owner,
        source: &str,
    ) -> Result<Taken, BuildError> {
        let taken = match self.build.is_uncached(self.stage) {
            true => self.build.fresh.take(name, sharing).await,
            false => self.build.mounts.take(name, sharing).await,
        };
        let made = |error: std::io::Error| local("make a cache mount", &error);
        let mut taken = taken.map_err(made)?;
        if taken.is_new() {
            let begun = match begin {
                Some((files, _)) => {
                    let (files, source) = (files.clone(), source.to_owned());
                    // It goes along, so that nobody has it as long as it may be written to.
                    let filled = apart(move |stop| {
                        fill(&taken.path, &files, &source, stop).map(|owner| (taken, owner))
                    });
                    let (filled, begun) = filled.await?;
                    taken = filled;
                    begun
                }
                None => Owner::default(),
            };
            let owner = Owner {
                uid: owner.uid.or(begun.uid),
                gid: owner.gid.or(begun.gid),
                mode: owner.mode.or(begun.mode),
            };
            own(&taken.path, owner, caches::MODE).map_err(made)?;
            taken.filled().map_err(made)?;
        }
        Ok(taken)
    }

    async fn secret(
        &self,
        mount: &Mount,
        number: usize,
        workspace: &Workspace,
        prepared: &mut Prepared,
    ) -> Result<(), BuildError> {
        let MountKind::Secret { id, environment, required, owner } = &mount.kind else { return Ok(()) };
        let secret = match &self.build.client.secrets {
            Some(secrets) => secrets.secret(id).await?,
            None => None,
        };
        let Some(secret) = secret else {
            return match required {
                true => Err(BuildError::Invalid(format!("secret {id}: not found"))),
                false => Ok(()),
            };
        };
        if let Some(name) = environment {
            let value =
                String::from_utf8(secret.clone()).ok().filter(|value| !value.contains('\0')).ok_or_else(
                    || BuildError::Invalid(format!("secret {id} can't be a variable: it is not text")),
                )?;
            prepared.environment.push(format!("{name}={value}"));
        }
        let Some(target) = mount.target.clone() else { return Ok(()) };
        let file = workspace.volatile().join(format!("secret-{number}"));
        write_file(&file, &secret, *owner, 0o400)?;
        let kind = StepMountKind::Bind(place(&file)?);
        prepared.mounts.push(StepMount { target, read_only: true, kind });
        Ok(())
    }

    async fn agent(
        &self,
        mount: &Mount,
        number: usize,
        workspace: &Workspace,
        prepared: &mut Prepared,
    ) -> Result<(), BuildError> {
        let MountKind::Ssh { id, required, owner } = &mount.kind else { return Ok(()) };
        let agents = match &self.build.client.ssh {
            Some(agents) if agents.has(id).await? => agents,
            _ if *required => {
                return Err(BuildError::Invalid(format!(
                    "ssh agent {id}: not forwarded by the client (--ssh {id})"
                )));
            }
            _ => return Ok(()),
        };
        let target = mount.target.clone().unwrap_or_else(|| format!("/run/buildkit/ssh_agent.{number}"));
        let path = workspace.volatile().join(format!("agent-{number}"));
        let forward = Forward::start(&path, Arc::clone(agents), id.clone())
            .map_err(|error| local("forward an ssh agent", &error))?;
        own(&path, *owner, 0o600).map_err(|error| local("forward an ssh agent", &error))?;
        if number == 0 {
            prepared.environment.push(format!("SSH_AUTH_SOCK={target}"));
        }
        let kind = StepMountKind::Bind(place(&path)?);
        prepared.mounts.push(StepMount { target, read_only: false, kind });
        prepared._agents.push(forward);
        Ok(())
    }

    async fn execute(
        &self,
        run: &RunStep,
        workspace: &Arc<Workspace>,
        mut prepared: Prepared,
        state: &State,
    ) -> Result<(), BuildError> {
        let request = &self.build.request;
        let mut environment: Vec<String> =
            run.environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
        for (name, value) in &run.proxies {
            if !run.environment.iter().any(|(known, _)| known == name) {
                environment.push(format!("{name}={value}"));
            }
        }
        environment.append(&mut prepared.environment);
        let limits = &request.limits;
        let spec = StepSpec {
            lower: self.build.lower(&state.layers)?,
            arguments: run.arguments.clone(),
            environment,
            directory: run.directory.clone(),
            user: run.user.clone(),
            mounts: std::mem::take(&mut prepared.mounts),
            network: match (run.network, &request.network) {
                (NetworkMode::None, _) | (NetworkMode::Default, Requested::None) => StepNetwork::None,
                (NetworkMode::Host, _) | (NetworkMode::Default, Requested::Host) => StepNetwork::Host,
                (NetworkMode::Default, Requested::Default) => StepNetwork::Default,
                (NetworkMode::Default, Requested::Named(name)) => StepNetwork::Named(name.clone()),
            },
            insecure: run.security == SecurityMode::Insecure,
            extra_hosts: request.extra_hosts.clone(),
            shm_size: request.shm_size.and_then(|size| i64::try_from(size).ok()),
            ulimits: request.ulimits.clone(),
            cgroup_parent: request.cgroup_parent.clone(),
            hostname: request.hostname.clone(),
            memory: (limits.memory, limits.memory_swap),
            cpu: (limits.cpu_shares, limits.cpu_period, limits.cpu_quota),
            cpusets: (limits.cpuset_cpus.clone(), limits.cpuset_mems.clone()),
        };
        let (node, written) = (self.node.clone(), AtomicU64::new(0));
        let output = move |stream: StepStream, bytes: &[u8]| {
            let before = written.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            let stream = match stream {
                StepStream::Stdout => LogStream::Stdout,
                StepStream::Stderr => LogStream::Stderr,
            };
            if before < LONGEST_LOG {
                node.log(stream, bytes);
                if before + bytes.len() as u64 >= LONGEST_LOG {
                    let text = format!("\n[output clipped, log limit {}MiB reached]\n", LONGEST_LOG >> 20);
                    node.log(LogStream::Stderr, text.as_bytes());
                }
            }
        };
        let command = run.arguments.join(" ");
        let unsuccessful = format!("process {command:?} did not complete successfully");
        let ran = self.build.engine.run_step(Arc::clone(workspace), spec, output).await;
        let exit = ran.map_err(|error| match error.kind() {
            // Such as a user that the image doesn't have.
            ErrorKind::InvalidParameter => BuildError::Invalid(format!("{unsuccessful}: {error}")),
            _ => error.into(),
        })?;
        drop(prepared);
        if exit.code == 0 {
            return Ok(());
        }
        if let Some(error) = &exit.error {
            self.node.log(LogStream::Stderr, format!("{error}\n").as_bytes());
            self.check_platform()?;
        }
        let why = if exit.oom_killed { ": cannot allocate memory (killed by the kernel)" } else { "" };
        Err(BuildError::Step {
            message: format!("{unsuccessful}: exit code: {}{why}", exit.code),
            command,
            code: exit.code,
            lines: None,
        })
    }
}

/// What the files have that are mounted to be read, or that caches begin with.
async fn contents(run: &RunStep, inputs: &[Option<Files>]) -> Result<Vec<Option<Digest>>, BuildError> {
    let mut contents = Vec::new();
    for (mount, files) in run.mounts.iter().zip(inputs) {
        let (MountKind::Bind { source, .. } | MountKind::Cache { source, .. }, Some(files)) =
            (&mount.kind, files)
        else {
            contents.push(None);
            continue;
        };
        contents.push(Some(files.content(source).await?));
    }
    Ok(contents)
}

/// What the step is cached by: its words, its files, those that are mounted, and how it is run.
fn run_key(run: &RunStep, request: &BuildRequest, state: &State, contents: &[Option<Digest>]) -> Digest {
    let key = surroundings(Key::new("run").and(words(run)).and(state.key.hex()), run, request);
    contents.iter().flatten().fold(key, |key, content| key.and(content.hex())).digest()
}

/// Adds what a build's options change for a step. As in BuildKit the addresses of host names are none of it.
pub(crate) fn surroundings(key: Key, run: &RunStep, request: &BuildRequest) -> Key {
    let follows = run.network == NetworkMode::Default && request.network != Requested::Default;
    let hosts = request.extra_hosts.iter().map(|host| host.split([':', '=']).next().unwrap_or(host));
    let options = [
        ("network", if follows { format!("{:?}", request.network) } else { String::new() }),
        ("hosts", hosts.collect::<Vec<_>>().join(" ")),
        ("shm", request.shm_size.map(|size| size.to_string()).unwrap_or_default()),
        ("ulimits", request.ulimits.join(" ")),
        ("hostname", request.hostname.clone()),
    ];
    let given = options.into_iter().filter(|(_, value)| !value.is_empty());
    given.fold(key, |key, (what, value)| key.and(what).and(value))
}

/// The step's words, without numbers of stages, which change when another stage is put in.
pub(crate) fn words(run: &RunStep) -> String {
    let mut run = run.clone();
    run.proxies.clear();
    for mount in &mut run.mounts {
        if let MountKind::Bind { from, .. } | MountKind::Cache { from, .. } = &mut mount.kind {
            *from = Origin::Scratch;
        }
    }
    format!("{run:?}")
}

fn nothing_to_mount(source: &str) -> BuildError {
    BuildError::Invalid(format!("{source:?}: there is nothing to mount in an empty image"))
}

pub(super) fn local(action: &str, error: &dyn std::fmt::Display) -> BuildError {
    BuildError::Failed(format!("{action}: {error}"))
}

/// A handle that can be mounted.
fn place(path: &Path) -> Result<OwnedFd, BuildError> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = rustix::fs::open(path, flags, rustix::fs::Mode::empty());
    opened.map_err(|error| BuildError::Failed(format!("open {}: {error}", path.display())))
}

/// What a bind mount shows. Links are resolved within the files' own root, before the step runs.
fn bind(
    workspace: &Workspace,
    number: usize,
    files: &Files,
    source: &str,
    read_only: bool,
    stop: &Stop,
) -> Result<StepMountKind, BuildError> {
    let missing = || BuildError::Invalid(format!("failed to mount {source:?}: not found"));
    let found = matches(&files.root, &literal(source), Walk::all(stop))?;
    let [Match { path, .. }] = found.as_slice() else { return Err(missing()) };
    // Nothing has no layers, and is a directory all the same.
    let Some(lower) = files.lower.as_ref().filter(|lower| !lower.is_empty()) else {
        let inside = Path::new("/").join(path);
        let handle = files.root.locate(&inside).map_err(|_| missing())?;
        let is_directory = files.root.open_at(&inside, OFlags::PATH | OFlags::DIRECTORY).is_ok();
        return match (read_only, is_directory) {
            (true, _) => Ok(StepMountKind::Bind(handle)),
            (false, true) => Ok(StepMountKind::Overlay(vec![handle])),
            (false, false) => writable_copy(workspace, number, files, path, stop),
        };
    };
    match layers_at(lower, path) {
        Ok(LayersAt::Directory(directories)) => {
            let handles = directories.iter().map(|path| place(path)).collect::<Result<_, _>>()?;
            Ok(StepMountKind::Overlay(handles))
        }
        Ok(LayersAt::File(file)) if read_only => Ok(StepMountKind::Bind(place(&file)?)),
        Ok(LayersAt::File(_)) => writable_copy(workspace, number, files, path, stop),
        Err(_) => Err(missing()),
    }
}

/// No wildcards: a mount's source is a path as it is.
fn literal(path: &str) -> String {
    path.chars()
        .flat_map(|c| ['*', '?', '[', '\\'].contains(&c).then_some('\\').into_iter().chain([c]))
        .collect()
}

/// A single file that may be written, and whose changes are lost.
fn writable_copy(
    workspace: &Workspace,
    number: usize,
    files: &Files,
    path: &Path,
    stop: &Stop,
) -> Result<StepMountKind, BuildError> {
    let from = files.root.open_at(&Path::new("/").join(path), OFlags::RDONLY);
    let copy = workspace.directory().join(format!("mount-{number}"));
    let copied = from.and_then(|from| {
        let from = fs::File::from(from);
        let metadata = from.metadata()?;
        copy_bytes(&from, &mut fs::File::create_new(&copy)?, metadata.len(), Walk::all(stop))?;
        fs::set_permissions(&copy, metadata.permissions())
    });
    copied.map_err(|error| local("copy a file to be mounted", &error))?;
    Ok(StepMountKind::Bind(place(&copy)?))
}

/// Fills a new cache with the files that it begins with, and says whose their directory is.
fn fill(cache: &Path, files: &Files, source: &str, stop: &Stop) -> Result<Owner, BuildError> {
    let failed = |error: std::io::Error| local("fill a cache mount", &error);
    let root = minke_kernel::path::Root::open(cache).map_err(failed)?;
    let mut owner = Owner::default();
    let mut copier = Copier {
        to: &root,
        owner: None,
        chmod: None,
        whole: false,
        made_at: None,
        links: Default::default(),
    };
    for found in matches(&files.root, &literal(source), Walk::all(stop))? {
        copier.copy(&files.root, &found, "/", false, Walk::all(stop))?;
        let directory = files.root.locate(&Path::new("/").join(&found.path)).map_err(failed)?;
        let stat = rustix::fs::fstat(directory).map_err(|error| failed(error.into()))?;
        // Of a client's files it means nothing here whose they are.
        let is_ours = files.lower.is_some();
        owner = Owner {
            uid: is_ours.then_some(stat.st_uid),
            gid: is_ours.then_some(stat.st_gid),
            mode: Some(stat.st_mode & 0o7777),
        };
    }
    Ok(owner)
}

fn own(path: &PathBuf, owner: Owner, mode: u32) -> std::io::Result<()> {
    chown(path, Some(owner.uid.unwrap_or(0)), Some(owner.gid.unwrap_or(0)))?;
    fs::set_permissions(path, fs::Permissions::from_mode(owner.mode.unwrap_or(mode)))
}

fn write_file(path: &PathBuf, content: &[u8], owner: Owner, mode: u32) -> Result<(), BuildError> {
    use std::{io::Write, os::unix::fs::OpenOptionsExt};
    let written = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let written = written.and_then(|mut file| file.write_all(content)).and_then(|()| own(path, owner, mode));
    written.map_err(|error| local("write a file to be mounted", &error))
}
