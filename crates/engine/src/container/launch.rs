//! Starting a container: its network on one thread and its bundle on another, then the supervisor, then the
//! program.
//!
//! Nothing here waits for the disk. Whatever fails, what was made before it is taken down again.

use std::{
    collections::BTreeMap,
    fs,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use minke_network::{Attachment, files};
use minke_supervisor::{
    CallError, Failure, FailureKind, Inherit, NETNS_FD, SpawnError, Spawned, Supervisor, SupervisorConfig,
    Waiting,
};

use super::{
    Container, Places, Record, RunNote, links, log_options, network_owner, resolver,
    sandbox::{self, SandboxNetwork},
};
use crate::{
    Error, ErrorKind,
    engine::Inner,
    metrics::NetworkAction,
    rootfs,
    spec::{
        self, Inputs,
        modes::{IpcMode, Modes, NetworkMode},
    },
    time_text,
    volumes::{self, Seen},
};

/// The directory in the bundle that the root is mounted on.
pub(super) const ROOT: &str = "rootfs";

/// A container that has been created by its supervisor and waits for its program to be executed.
#[derive(Debug)]
pub(super) struct Launched {
    pub(super) spawned: Spawned,
    pub(super) attachment: Option<Attachment>,
    pub(super) note: RunNote,
}

/// Why it did not start, and the exit code that Docker gives to such a container.
#[derive(Debug)]
pub(super) struct LaunchError {
    pub(super) error: Error,
    pub(super) exit_code: i64,
}

impl From<Error> for LaunchError {
    fn from(error: Error) -> Self {
        Self { error, exit_code: 128 }
    }
}

/// Creates the container: everything but executing its program.
///
/// # Errors
/// [`LaunchError`]; nothing is left behind.
pub(super) async fn create(
    inner: &Arc<Inner>,
    container: &Container,
    restart_count: u32,
) -> Result<Launched, LaunchError> {
    let record = container.record();
    let modes = Modes::parse(&record.host, inner.host.facts.resources.unified)?;
    let places = inner.places(&record.id);
    let network = {
        let (inner, record, modes) = (Arc::clone(inner), Arc::clone(&record), modes.clone());
        tokio::task::spawn_blocking(move || {
            let began = Instant::now();
            let network = sandbox::network(&inner, &record, &modes)?;
            inner.counts.network(NetworkAction::Allocate).since(began);
            Ok(network)
        })
    };
    let bundle = {
        let (inner, record, modes, places) =
            (Arc::clone(inner), Arc::clone(&record), modes.clone(), places.clone());
        tokio::task::spawn_blocking(move || write_bundle(&inner, &record, &modes, &places))
    };
    let (network, bundle) = tokio::join!(network, bundle);
    let panicked = |error: tokio::task::JoinError| Error::internal("prepare the start", &error);
    let (network, bundle) = (network.map_err(panicked), bundle.map_err(panicked));
    let mut network = network.and_then(|result| result)?;
    let attachment = network.attachment.clone();
    let launched = async {
        let held = bundle.and_then(|result| result)?;
        if let Some(attachment) = &attachment {
            make_named(inner, &record, attachment, &mut network)?;
            inner.relays.update(&inner.networks, attachment);
        }
        let note = RunNote {
            boot: inner.host.boot.clone(),
            started_at: time_text::now(),
            attachment: attachment.clone(),
            restart_count,
            has_run: true,
            ..RunNote::default()
        };
        finish_bundle(inner, &record, &modes, &places, &note)?;
        let waiting = container.ready.take().await;
        let spawned = spawn(inner, &record, &places, waiting, network).await?;
        // Until here the paths of joined namespaces and of volumes' directories had to stay good.
        drop(held);
        Ok(Launched { spawned, attachment: attachment.clone(), note })
    };
    let result: Result<Launched, LaunchError> = launched.await;
    if let (Err(_), Some(attachment)) = (&result, attachment.clone()) {
        inner.detach(attachment).await;
    }
    result
}

/// Makes the container's names known, and serves it those of others.
fn make_named(
    inner: &Inner,
    record: &Record,
    attachment: &Attachment,
    network: &mut SandboxNetwork,
) -> Result<(), Error> {
    inner.make_named(record, attachment);
    tell_names(inner, record, attachment, network)
}

/// Serves a container the names of others, where a network of its has names.
pub(super) fn tell_names(
    inner: &Inner,
    record: &Record,
    attachment: &Attachment,
    network: &mut SandboxNetwork,
) -> Result<(), Error> {
    let (Some(sockets), Some(netns)) = (network.dns.take(), &network.netns) else { return Ok(()) };
    let netns = netns.try_clone().map_err(|error| Error::internal("keep a network namespace", &error))?;
    inner.tell_names(record, attachment, netns, sockets)
}

/// Executes the program of a created container.
///
/// # Errors
/// [`LaunchError`]; the supervisor then ends by itself.
pub(super) async fn execute(supervisor: &Supervisor, record: &Record) -> Result<(), LaunchError> {
    match supervisor.start().await {
        Ok(()) => Ok(()),
        Err(CallError::Refused(failure)) => Err(refused(&failure, record)),
        Err(error) => Err(Error::internal("start the container's program", &error).into()),
    }
}

pub(super) async fn spawn(
    inner: &Inner,
    record: &Record,
    places: &Places,
    waiting: Option<Waiting>,
    network: SandboxNetwork,
) -> Result<Spawned, LaunchError> {
    let plan = log_options::parse(record, &inner.host.name, &places.log(&record.id))?;
    let live = inner.live();
    let foreign = live.settings.foreign_runtime(record.host.runtime.as_deref())?;
    let config = SupervisorConfig {
        id: record.id.clone(),
        bundle: places.directory.clone(),
        runtime_root: inner.config.state.join("runtime"),
        socket: places.socket.clone(),
        exit_record: places.exit_record(),
        held_fds: Vec::new(),
        open_stdin: record.config.open_stdin.unwrap_or(false),
        stdin_once: record.config.stdin_once.unwrap_or(false),
        log: plan.resolve().await?,
        runtime: foreign.map(|program| program.path.clone()),
        runtime_args: foreign.map(|program| program.args.clone()).unwrap_or_default(),
    };
    let inherit = Inherit { netns: network.netns, held: network.held };
    match Supervisor::spawn(&inner.config.runtime, waiting, config, inherit).await {
        Ok(spawned) => Ok(spawned),
        Err(SpawnError::Create(failure)) => Err(refused(&failure, record)),
        Err(error) => Err(Error::internal("create the container", &error).into()),
    }
}

/// Docker's clients take the exit code from words in the message.
pub(super) fn refused(failure: &Failure, record: &Record) -> LaunchError {
    let program = spec::arguments(&record.config).first().cloned().unwrap_or_default();
    let message = &failure.message;
    let (hint, exit_code, kind) = match failure.kind {
        FailureKind::NotFound if program.contains('/') => {
            ("no such file or directory", 127, ErrorKind::InvalidParameter)
        }
        FailureKind::NotFound => ("executable file not found in $PATH", 127, ErrorKind::InvalidParameter),
        FailureKind::NotExecutable => ("permission denied", 126, ErrorKind::InvalidParameter),
        FailureKind::Invalid => ("", 128, ErrorKind::InvalidParameter),
        FailureKind::NotRunning | FailureKind::Internal => ("", 128, ErrorKind::Internal),
    };
    let known = [
        "executable file not found",
        "no such file or directory",
        "permission denied",
        "is a directory",
        "exec format error",
    ];
    let told = known.iter().any(|words| message.to_ascii_lowercase().contains(words));
    let details = match hint {
        "" => message.clone(),
        _ if told => message.clone(),
        hint => format!("{message}: exec: {program:?}: {hint}"),
    };
    // Scripts look for these words.
    let text = match message.starts_with("failed to initialize logging driver") {
        true => format!("failed to create task for container: {message}"),
        false => format!(
            "failed to create task for container: OCI runtime create failed: unable to start container process: {details}: unknown"
        ),
    };
    let error = Error::new(kind, text);
    LaunchError { error, exit_code }
}

/// Writes everything that does not depend on the network, and gives what must be kept open until the
/// container has been created.
fn write_bundle(
    inner: &Inner,
    record: &Record,
    modes: &Modes,
    places: &Places,
) -> Result<Vec<OwnedFd>, Error> {
    fs::create_dir_all(&places.state).map_err(failed("make the container's state directory"))?;
    remove_if_there(&places.exit_record()).map_err(failed("remove the last exit record"))?;
    let layers = inner.layers(record)?;
    let root = layers.read_only().map_err(failed("look at the container's files"))?;
    let accounts = rootfs::accounts(&root).map_err(failed("read the container's users"))?;
    let groups = record.host.group_add.clone().unwrap_or_default();
    let user = accounts.resolve(record.config.user.as_deref().unwrap_or(""), &groups)?;
    drop(root);

    inner.volumes.hold(volume_names(record), record.id.as_str())?;
    let mut sources = inner.volumes.sources(&record.mounts)?;
    let images = image_mounts(inner, record)?;
    if !images.is_empty() {
        fs::create_dir_all(places.empty()).map_err(failed("make an empty directory"))?;
    }
    let joined = sandbox::join(inner, modes, &mut sources.held)?;
    let joined = spec::Joined { network: netns_path(modes), ..joined };
    let (devices, device_rules) = devices(record)?;
    let shm = shared_shm(inner, modes, places)?;
    let donor_files = donor_places(inner, modes)?;
    let file_places = donor_files.as_ref().unwrap_or(places);
    let hostname = hostname(inner, record, modes)?;
    if donor_files.is_none() {
        let resolv_conf = resolver::resolv_conf(inner, record, modes)?;
        fs::write(places.directory.join("resolv.conf"), resolv_conf).map_err(failed("write resolv.conf"))?;
        fs::write(places.directory.join("hostname"), files::hostname(&hostname))
            .map_err(failed("write hostname"))?;
    }
    let paths = ["/etc/resolv.conf", "/etc/hostname", "/etc/hosts"]
        .map(|inside| (inside, file_places.directory.join(inside.trim_start_matches("/etc/"))));
    let paths: Vec<(&'static str, &Path)> =
        paths.iter().map(|(inside, path)| (*inside, path.as_path())).collect();
    let config = links::with_environment(inner, record)?;
    let mut spec = spec::build(Inputs {
        facts: &inner.host.facts,
        config: &config,
        host: &record.host,
        modes,
        joined: &joined,
        user: &user,
        root: ROOT,
        mounts: &record.mounts,
        sources: &sources.paths,
        images: &images,
        files: &paths,
        init: Some(&inner.config.runtime),
        shared_shm: shm.as_deref(),
        devices,
        device_rules,
        cgroup: &inner.cgroup_of(record),
        hostname: &hostname,
    })?;
    spec::cdi::apply(&mut spec, &cdi_edits(inner, record)?)?;
    layers.annotate(&mut spec);
    let json = serde_json::to_vec(&spec).map_err(|error| Error::internal("write config.json", &error))?;
    fs::write(places.directory.join("config.json"), json).map_err(failed("write config.json"))?;
    Ok(sources.held)
}

/// What depends on the network: /etc/hosts; and the note that lets the next engine take over.
fn finish_bundle(
    inner: &Inner,
    record: &Record,
    modes: &Modes,
    places: &Places,
    note: &RunNote,
) -> Result<(), Error> {
    resolver::write_hosts(inner, record, modes, places, note.attachment.as_ref())?;
    note.write(&places.directory).map_err(failed("write the run's note"))
}

/// An error about a file, for `map_err`.
pub(super) fn failed(action: &'static str) -> impl Fn(std::io::Error) -> Error {
    move |error| Error::internal(action, &error)
}

pub(super) fn netns_path(modes: &Modes) -> Option<String> {
    (modes.network != NetworkMode::Host).then(|| format!("/proc/self/fd/{NETNS_FD}"))
}

/// Who shares a network shares its names.
pub(super) fn donor_places(inner: &Inner, modes: &Modes) -> Result<Option<Places>, Error> {
    match &modes.network {
        NetworkMode::Container(name) => Ok(Some(inner.places(&network_owner(inner, inner.find(name)?)?.id))),
        _ => Ok(None),
    }
}

fn hostname(inner: &Inner, record: &Record, modes: &Modes) -> Result<String, Error> {
    Ok(match &modes.network {
        NetworkMode::Container(name) => {
            let donor = inner.find(name)?.record();
            donor.hostname().to_owned()
        }
        NetworkMode::Host if record.config.hostname.as_deref().unwrap_or("").is_empty() => {
            inner.host.name.clone()
        }
        _ if modes.host_uts => inner.host.name.clone(),
        _ => record.hostname().to_owned(),
    })
}

/// The directory that is bound on /dev/shm where it is shared: a mount of its own could not be reached from
/// another mount namespace.
fn shared_shm(inner: &Inner, modes: &Modes, places: &Places) -> Result<Option<std::path::PathBuf>, Error> {
    let failed = |error: std::io::Error| Error::internal("make the shared /dev/shm", &error);
    match &modes.ipc {
        IpcMode::Shareable => {
            use std::os::unix::fs::PermissionsExt;
            fs::create_dir_all(places.shm()).map_err(failed)?;
            fs::set_permissions(places.shm(), fs::Permissions::from_mode(0o1777)).map_err(failed)?;
            Ok(Some(places.shm()))
        }
        IpcMode::Container(name) => Ok(Some(inner.places(&inner.find(name)?.id).shm())),
        _ => Ok(None),
    }
}

/// What its devices of the Container Device Interface need.
///
/// # Errors
/// `InvalidParameter`.
pub(super) fn cdi_edits(inner: &Inner, record: &Record) -> Result<Vec<spec::cdi::Edits>, Error> {
    let directories = inner.live().settings.containers.cdi_directories();
    spec::cdi::find(&spec::cdi::requested(&record.host)?, &directories)
}

/// The names of the volumes that a container has.
pub(super) fn volume_names(record: &Record) -> impl Iterator<Item = &str> {
    record.mounts.iter().filter_map(|mount| mount.name.as_deref())
}

/// What its mounts of images show, by their destinations.
///
/// # Errors
/// `NotFound` for an image that is gone, `InvalidParameter` for a path that is not in it.
pub(super) fn image_mounts(inner: &Inner, record: &Record) -> Result<BTreeMap<String, Seen>, Error> {
    let mut seen = BTreeMap::new();
    for mount in &record.mounts {
        let Some((image, id)) = mount.image.as_ref().and_then(|image| Some((image, image.id?))) else {
            continue;
        };
        let layers = inner.images.lower_dirs(&inner.find_image(&id.to_string())?);
        let layers = layers.map_err(|error| Error::internal("find the image's layers", &error))?;
        let subpath = mount.subpath.as_deref().unwrap_or_default();
        // Links in the image are followed inside it.
        let real = match subpath {
            "" => Ok(PathBuf::new()),
            subpath => crate::build::layers_root(&layers).and_then(|root| root.real_path(Path::new(subpath))),
        };
        let found = real.and_then(|real: PathBuf| volumes::seen(&layers, &real));
        let mut found = found.map_err(|error| {
            Error::invalid(format!("cannot access path {subpath:?} of image {}: {error}", image.reference))
        })?;
        if let Seen::Directory(layers) = &mut found
            && layers.len() == 1
        {
            // The kernel overlays at least two directories.
            layers.push(inner.places(&record.id).empty());
        }
        seen.insert(mount.destination.clone(), found);
    }
    Ok(seen)
}

type Devices = (Vec<minke_model::runtime_spec::Device>, Vec<minke_model::runtime_spec::DeviceRule>);

/// `--device`, `--device-cgroup-rule`, and for `--privileged` all.
///
/// # Errors
/// `InvalidParameter`.
pub(super) fn devices(record: &Record) -> Result<Devices, Error> {
    let (mut devices, mut rules) = (Vec::new(), Vec::new());
    if record.host.privileged == Some(true) {
        devices = spec::devices::all()?;
    }
    for mapping in record.host.devices.iter().flatten() {
        let (more, more_rules) = spec::devices::mapped(mapping)?;
        devices.retain(|device: &minke_model::runtime_spec::Device| {
            more.iter().all(|new| new.path != device.path)
        });
        devices.extend(more);
        rules.extend(more_rules);
    }
    for rule in record.host.device_cgroup_rules.iter().flatten() {
        rules.push(spec::devices::parse_rule(rule)?);
    }
    Ok((devices, rules))
}

fn remove_if_there(path: &Path) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The volumes a container mounts, for their events.
pub(super) fn mounted_volumes(record: &Record) -> impl Iterator<Item = (&str, &str, bool)> {
    record
        .mounts
        .iter()
        .filter_map(|mount| Some((mount.name.as_deref()?, mount.destination.as_str(), mount.rw)))
}
