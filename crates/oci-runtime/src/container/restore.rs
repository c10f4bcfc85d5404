//! Thawing a container from the files of a checkpoint, by criu: what `create` makes around the process is
//! made here, and the processes are criu's work.

use std::{
    fs::{self, File},
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    path::{Path, PathBuf},
};

use minke_kernel::{
    cgroup::{Cgroup, Pid},
    identity, link, mount,
    namespace::{self, Kinds},
    path::Root,
    process::{self, CloneOptions},
};
use minke_model::runtime_spec::{Hooks, Linux, NamespaceType, Resources, Spec, Status};

use super::{
    Container, CreateError, CreateOptions, Created, ExecContext, cgroup, checkpoint,
    create::{self, Paths},
    error::chain,
    state::{Record, StateDir},
    systemd_cgroup,
    undo::{Undo, kill},
    validate::{self, config},
};
use crate::{
    criu::{self, Criu, CriuError, CriuOptions, Details, Notice, Request},
    hooks,
    step::Step,
};

/// Thaws a container. What is said at [`super::create`] about the caller holds here too; the container runs
/// when this returns.
///
/// # Errors
/// What criu said, with the first error of its log; everything that was made is undone.
pub fn restore(spec: &Spec, options: CreateOptions, criu: &CriuOptions) -> Result<Created, CreateError> {
    validate::spec(spec)?;
    let empty = Linux::default();
    let linux = spec.linux.as_ref().unwrap_or(&empty);
    if linux.intel_rdt.is_some() {
        return Err(validate::config("linux.intelRdt", "a restored container can't have it"));
    }
    criu::check(criu).map_err(|error| failed(&error))?;
    let paths = Paths::resolve(spec, &options.bundle)?;
    let missing = || format!("open {}", criu.images.display());
    fs::metadata(&criu.images).action(missing)?;

    let mut undo = Undo::default();
    let dir = create::claim(&options, &mut undo)?;
    let new = linux.namespaces.iter().filter(|wanted| wanted.path.is_none()).map(|wanted| wanted.kind);
    let mut record = create::record(spec, &options, &paths, linux, new.collect());
    let (cgroup, filling) = make_cgroup(&options, spec, linux, &mut undo)?;
    record.cgroup_paths = cgroup.as_ref().map(Cgroup::paths).unwrap_or_default();
    record.systemd = filling.as_ref().map(|filling| filling.unit().clone());
    dir.save(&record).action(|| "write the state".into())?;

    let away = Away::prepare(&dir.join("criu-root"), &paths.rootfs)?;
    // Only now: criu mounts below them, which it can't in another mount namespace.
    let images = File::open(&criu.images).action(missing)?;
    let work = criu.work.as_deref().map(criu::directory).transpose();
    let work = work.action(|| "open the work directory".into())?;
    make_mount_points(spec, &paths)?;
    let mut details = Details {
        images_fd: images.as_raw_fd(),
        work_fd: work.as_ref().map(AsRawFd::as_raw_fd),
        log_file: "restore.log",
        root: away.root.display().to_string(),
        external_mounts: checkpoint::external_mounts(spec, &record.cgroup_paths, |source, _| {
            absolute(source, &paths.bundle)
        }),
        inherited: inherited_streams(criu)?,
        config_file: checkpoint::config_file(spec),
        empty_namespaces: checkpoint::EMPTY_NAMESPACES,
        restore: true,
        ..Details::default()
    };
    let _kept = join_namespaces(linux, &mut details)?;
    let program = Criu::start(true).map_err(|error| failed(&error))?;
    details.cgroup_roots = enter_cgroup(program.pid(), cgroup.as_ref())?;
    let mut restored = Restored { record: &mut record, dir: &dir, hooks: spec.hooks.as_ref(), master: None };
    let notified = &mut |notice| restored.hear(notice);
    program.work(Request::Restore, criu, &details, notified).map_err(|error| failed(&error))?;
    let pty_master = restored.master;
    away.come_home()?;

    let pidfd = process::open(record.pid).action(|| format!("open process {}", record.pid))?;
    undo.add({
        let pidfd = pidfd.try_clone().action(|| "copy the pidfd".into())?;
        move || kill(&pidfd)
    });
    limit(linux, cgroup.as_ref())?;
    if let Some(filling) = filling {
        filling.settle(cgroup.as_ref())?;
    }
    record.is_unfinished = false;
    dir.save(&record).action(|| "write the state".into())?;
    if let Some(path) = &options.pid_file {
        create::write_pid_file(path, record.pid)
            .action(|| format!("write the pid file {}", path.display()))?;
    }
    undo.disarm();
    let exec = ExecContext::of(linux.clone());
    let container = Container { record, dir, pidfd, channel: None, cgroup, exec };
    Ok(Created { container, warnings: Vec::new(), notes: Vec::new(), pty_master })
}

fn failed(error: &CriuError) -> CreateError {
    CreateError::Part(chain(error))
}

/// Makes the cgroup without limits: criu is in it for a while, and needs more than the container may have.
fn make_cgroup(
    options: &CreateOptions,
    spec: &Spec,
    linux: &Linux,
    undo: &mut Undo,
) -> Result<(Option<Cgroup>, Option<systemd_cgroup::Filling>), CreateError> {
    let unlimited = Linux { resources: None, cgroups_path: linux.cgroups_path.clone(), ..Linux::default() };
    if options.systemd_cgroup {
        let (_, group, filling) = systemd_cgroup::make(&options.id, spec, &unlimited, undo)?;
        return Ok((Some(group), Some(filling)));
    }
    let group = cgroup::make(&options.id, &unlimited, undo)?;
    Ok((group, None))
}

/// The container's limits, once criu is gone.
fn limit(linux: &Linux, cgroup: Option<&Cgroup>) -> Result<(), CreateError> {
    let (Some(group), Some(resources)) = (cgroup, &linux.resources) else { return Ok(()) };
    let mut resources: Resources = resources.clone();
    cgroup::with_default_devices(&mut resources);
    group.apply(&resources).map_err(|error| CreateError::Part(chain(&error)))
}

/// Puts criu, whose children the container's processes will be, into the cgroup; returns where that is, as
/// criu wants it.
fn enter_cgroup(pid: i32, cgroup: Option<&Cgroup>) -> Result<Vec<(String, String)>, CreateError> {
    let (Some(group), Some(number)) = (cgroup, Pid::from_raw(pid)) else { return Ok(Vec::new()) };
    group.add_process(number).map_err(|error| CreateError::Part(chain(&error)))?;
    let path = format!("/proc/{pid}/cgroup");
    let text = fs::read_to_string(&path).action(|| format!("read {path}"))?;
    let mut roots = Vec::new();
    for line in text.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        if let (Some(controllers), Some(path)) = (parts.next(), parts.next()) {
            roots.extend(controllers.split(',').map(|name| (name.to_owned(), path.to_owned())));
        }
    }
    Ok(roots)
}

/// A mount namespace of the caller's own, in which the container's root is a mount, as criu wants it.
/// Nothing of it is left on the host, whatever happens.
struct Away {
    home: File,
    directory: File,
    root: PathBuf,
}

impl Away {
    fn prepare(root: &Path, rootfs: &Path) -> Result<Self, CreateError> {
        let step = || "make a mount namespace for criu".to_owned();
        fs::create_dir(root).action(|| format!("make {}", root.display()))?;
        let root = create::resolve(root).action(step)?;
        let home = File::open("/proc/self/ns/mnt").action(step)?;
        let directory = File::open(".").action(step)?;
        namespace::unshare(Kinds::of(NamespaceType::Mount)).action(step)?;
        let away = Self { home, directory, root };
        let top = File::open("/").action(step)?;
        // What is mounted here stays here; and criu has to find whom bind mounts of the host's were slaves of.
        mount::set_propagation(&top, mount::Propagation::Slave, true).action(step)?;
        let copy = mount::clone_path(rootfs, true).action(step)?;
        mount::attach_at(&copy, &away.root).action(step)?;
        Ok(away)
    }

    fn come_home(self) -> Result<(), CreateError> {
        self.back().action(|| "leave the mount namespace for criu".into())?;
        fs::remove_dir(&self.root).action(|| format!("remove {}", self.root.display()))?;
        Ok(())
    }

    fn back(&self) -> io::Result<()> {
        namespace::join(&self.home, NamespaceType::Mount)?;
        identity::change_directory_to(&self.directory)
    }
}

impl Drop for Away {
    fn drop(&mut self) {
        // For whoever gave up half-way: undoing wants the host's mounts.
        let _ = self.back();
    }
}

/// What criu doesn't make: places for mounts in the root, except those in a tmpfs, whose content it has.
fn make_mount_points(spec: &Spec, paths: &Paths) -> Result<(), CreateError> {
    let root = Root::open(&paths.rootfs).action(|| format!("open {}", paths.rootfs.display()))?;
    for (i, wanted) in spec.mounts.iter().enumerate() {
        let place = Path::new(&wanted.destination);
        let covered = spec.mounts.iter().any(|other| {
            let above = Path::new(&other.destination);
            above != place && above != Path::new("/") && place.starts_with(above)
        });
        if covered || wanted.kind.as_deref() == Some("cgroup") {
            continue;
        }
        let source = wanted.source.as_deref().map(|source| absolute(source, &paths.bundle));
        let is_file = checkpoint::is_bind(wanted)
            && source.is_some_and(|source| fs::metadata(source).is_ok_and(|found| !found.is_dir()));
        let made = if is_file { root.create_file(place) } else { root.mkdir_all(place) };
        made.action(|| format!("mounts[{i}].destination: make {}", wanted.destination))?;
    }
    Ok(())
}

fn absolute(source: &str, bundle: &Path) -> String {
    bundle.join(source).display().to_string()
}

/// Pipes that were the container's standard streams become the caller's own.
fn inherited_streams(criu: &CriuOptions) -> Result<Vec<(String, i32)>, CreateError> {
    let path = criu::descriptors_file(criu);
    let text = fs::read_to_string(&path).action(|| format!("read {}", path.display()))?;
    let names: Vec<String> = serde_json::from_str(&text)
        .map_err(|error| CreateError::Part(format!("{} is damaged: {error}", path.display())))?;
    Ok(names.into_iter().zip(0..).filter(|(name, _)| name.contains("pipe:")).collect())
}

/// Tells criu the namespaces that exist; returns the descriptors that it needs for some.
fn join_namespaces(linux: &Linux, details: &mut Details) -> Result<Vec<OwnedFd>, CreateError> {
    let mut kept = Vec::new();
    for (i, wanted) in linux.namespaces.iter().enumerate() {
        let Some(path) = wanted.path.as_deref().filter(|path| !path.is_empty()) else { continue };
        let field = || format!("linux.namespaces[{i}].path");
        match checkpoint::namespace_key(wanted.kind) {
            Some((_, key)) => {
                let fd = namespace::open(Path::new(path), wanted.kind)
                    .map_err(|error| config(field(), format!("{path}: {error}")))?;
                let number = criu::hand_on(fd.as_fd()).action(|| format!("hand {path} on"))?;
                details.inherited.push((key.to_owned(), number));
                kept.push(fd);
            }
            None if wanted.kind == NamespaceType::Cgroup => {
                return Err(config(field(), "criu can't restore into an existing cgroup namespace"));
            }
            None => details.join_namespaces.push((wanted.kind.proc_name().to_owned(), path.to_owned())),
        }
    }
    Ok(kept)
}

/// What criu's notices change.
struct Restored<'a> {
    record: &'a mut Record,
    dir: &'a StateDir,
    hooks: Option<&'a Hooks>,
    master: Option<OwnedFd>,
}

impl Restored<'_> {
    fn hear(&mut self, notice: Notice) -> Result<(), String> {
        match notice.script.as_str() {
            "setup-namespaces" => {
                self.record.pid = notice.pid;
                bring_loopback_up(notice.pid);
                self.run_hooks()
            }
            "post-restore" => {
                self.record.pid = notice.pid;
                self.record.start_time = create::start_time(notice.pid).map_err(|error| error.to_string())?;
                self.dir.save(self.record).map_err(|error| format!("write the state: {error}"))
            }
            "orphan-pts-master" => {
                self.master = notice.descriptor;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn run_hooks(&self) -> Result<(), String> {
        let Some(all) = self.hooks else { return Ok(()) };
        let state = self.record.state(Status::Creating);
        for (stage, hooks) in [("prestart", &all.prestart), ("createRuntime", &all.create_runtime)] {
            hooks::run_all(stage, hooks, &state).map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

/// In the new network namespace, as a new container finds it. Where that is the host's or a manager's, it
/// is up already.
fn bring_loopback_up(pid: i32) {
    let Ok(network) = namespace::open(format!("/proc/{pid}/ns/net").as_ref(), NamespaceType::Network) else {
        return;
    };
    let child = process::spawn(&CloneOptions::default(), || {
        let done = namespace::join(&network, NamespaceType::Network).and_then(|()| link::bring_loopback_up());
        i32::from(done.is_err())
    });
    if let Ok(child) = child {
        let _ = process::wait(&child.pidfd);
    }
}
