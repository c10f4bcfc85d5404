//! Opening: claim the root, take over what an earlier engine left running, sweep what it left lying; and
//! closing.

use std::{
    collections::BTreeSet,
    fs,
    os::fd::AsFd,
    path::Path,
    sync::{Arc, RwLock, Weak},
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};
use minke_image::ImageStore;
use minke_kernel::cgroup::Cgroup;
use minke_model::runtime_spec::NamespaceType;
use minke_network::{Attachment, NetworkConfig, Networks};
use minke_supervisor::{Supervisor, Target, read_exit_record};
use tokio::runtime::Handle;

use super::{CleanUps, Engine, Idle, Inner, lock};
use crate::{
    DefaultBridge, EngineConfig, OpenError,
    container::{
        self, Adopted, Container, Phase, Places, Record, RestartPolicy, RunNote, RunView, SIGKILL,
        SOCKET_NAME, SOCKETS, links, ready::WaitingPlaces, removal, sandbox,
    },
    events::Events,
    exec::Execs,
    host::{self, Host},
    images::Downloads,
    metrics::Counts,
    networks::{Names, Relays, errors::attach, open::open},
    settings::Live,
    spec::modes::Modes,
    store::Store,
    time_text,
    volumes::Volumes,
};

/// How many supervisors are asked at the same time.
const SUPERVISORS_AT_ONCE: usize = 32;
/// How long a container that joins another's namespaces waits for that to start.
const DONOR_PATIENCE: Duration = Duration::from_secs(10);
/// How often it is looked whether the networks are still as they were made.
const RECONCILE_EVERY: Duration = Duration::from_secs(30);

impl Engine {
    /// Opens the engine of a root: living containers are taken over, those that should run are started.
    ///
    /// # Errors
    /// [`OpenError`]; nothing was changed that the next attempt does not deal with.
    pub async fn open(config: EngineConfig) -> Result<Self, OpenError> {
        check_prefix(&config.name_prefix)?;
        let prepared = tokio::task::spawn_blocking(move || prepare(config)).await;
        let (inner, records) = prepared.map_err(|error| part("the engine", error))??;
        let found = stream::iter(records).map(async |record| {
            let run = find_run(&inner, &record).await;
            (record, run)
        });
        let mut found: Vec<_> = found.buffer_unordered(SUPERVISORS_AT_ONCE).collect().await;
        let living = found
            .iter_mut()
            .filter(|(_, run)| run.phase.is_alive())
            .filter_map(|(record, run)| {
                inner.drop_unwanted(record, run.attachment.as_mut()?);
                run.attachment.clone()
            })
            .collect();
        let (inner, found) = tokio::task::spawn_blocking(move || {
            clean_up(&inner, &found, living);
            (inner, found)
        })
        .await
        .map_err(|error| part("the engine", error))?;
        inner.take_over(found);
        tokio::spawn(reconciling(Arc::downgrade(&inner)));
        Ok(Self(inner))
    }

    /// Ends the engine's part: containers run on, and what is being cleaned up is waited for. If no container runs, the
    /// bridge, the table and the cgroup parent are removed.
    pub async fn close(&self) {
        let containers = self.0.containers();
        let active = containers.iter().any(|container| container.is_active());
        for container in containers {
            container.leave();
        }
        self.0.clean_ups.finish().await;
        let inner = Arc::clone(&self.0);
        let closing = tokio::task::spawn_blocking(move || {
            if active {
                return;
            }
            if let Err(error) = inner.networks.close() {
                tracing::warn!(%error, "close the networks");
            }
            for directory in inner.cgroup_directories("") {
                // Not empty means that somebody still uses it.
                let _ = fs::remove_dir(directory);
            }
        });
        let _ = closing.await;
    }
}

/// Repairs now and then what other programs have flushed or deleted of our networks.
async fn reconciling(engine: Weak<Inner>) {
    loop {
        tokio::time::sleep(RECONCILE_EVERY).await;
        let Some(inner) = engine.upgrade() else { return };
        if !inner.containers().iter().any(|container| container.look(|run| run.attachment.is_some())) {
            continue;
        }
        let reconciled = tokio::task::spawn_blocking(move || inner.networks.reconcile()).await;
        if let Ok(Err(error)) = reconciled {
            tracing::warn!(%error, "repair the networks");
        }
    }
}

/// Everything that needs no task.
fn prepare(mut config: EngineConfig) -> Result<(Arc<Inner>, Vec<Record>), OpenError> {
    let io = |action: &'static str, path: &Path| {
        let path = path.to_owned();
        move |source| OpenError::Io { action, path, source }
    };
    for directory in [&config.root, &config.state] {
        fs::create_dir_all(directory).map_err(io("make", directory))?;
        restrict(directory).map_err(io("restrict", directory))?;
    }
    check_length(&config.state)?;
    let below_state = ["containers", SOCKETS].map(|name| config.state.join(name));
    for directory in
        [config.root.join("containers"), config.root.join("volumes")].into_iter().chain(below_state)
    {
        fs::create_dir_all(&directory).map_err(io("make", &directory))?;
    }
    let lock = lock::take(&config.root)?;
    let path = config.root.join("engine.db");
    let database = redb::Builder::new()
        // The default of 1 GiB would be most of an idle engine's memory after a while.
        .set_cache_size(4 << 20)
        .create(&path)
        .map_err(|error| OpenError::Database { path: path.clone(), source: Box::new(error) })?;
    let database = Arc::new(database);
    let store = Store::open(Arc::clone(&database)).map_err(|error| part("the container store", error))?;
    let images = ImageStore::open(&config.root, database).map_err(|error| part("the image store", error))?;
    let id = engine_id(&config.root).map_err(io("read", &config.root))?;
    let networks =
        Networks::open(network_config(&config, &id)).map_err(|error| part("the networks", error))?;
    let has_default = config.networks.bridge != DefaultBridge::None;
    let network_table = open(&store, &networks, has_default).map_err(|error| part("the networks", error))?;
    let host =
        Host::read().map_err(|source| OpenError::Io { action: "read", path: "/proc".into(), source })?;
    host::take_all_open_files(host.facts.open_files);
    let records = store.containers().map_err(|error| part("the container store", error))?;
    let volume_records = store.volumes().map_err(|error| part("the container store", error))?;
    let volumes = Volumes::new(config.root.join("volumes"), volume_records);
    let live =
        Live::new(std::mem::take(&mut config.settings)).map_err(|error| part("the settings", error))?;
    let downloads = Downloads::new(live.settings.downloads());
    let inner = Inner {
        config,
        host,
        store,
        images,
        live: RwLock::new(Arc::new(live)),
        downloads,
        networks,
        network_table,
        names: Names::new(Handle::current()),
        relays: Relays::new(Handle::current()),
        volumes,
        events: Events::new(),
        counts: Counts::default(),
        execs: Execs::default(),
        idle: Arc::new(Idle::new()),
        clean_ups: CleanUps::default(),
        waiting_places: WaitingPlaces::default(),
        id,
        registry: RwLock::default(),
        _lock: lock,
    };
    Ok((Arc::new(inner), records))
}

/// What the network crate has to know of the configuration.
fn network_config(config: &EngineConfig, id: &str) -> NetworkConfig {
    let defaults = &config.networks;
    NetworkConfig {
        seed: id.to_owned(),
        bridge: match &defaults.bridge {
            DefaultBridge::Existing(name) => Some(name.clone()),
            DefaultBridge::Own | DefaultBridge::None => None,
        },
        subnet: defaults.bip,
        range: defaults.fixed_cidr,
        ipv6: defaults.ipv6,
        subnet_ipv6: defaults.bip6,
        range_ipv6: defaults.fixed_cidr_v6,
        gateway: defaults.default_gateway,
        gateway_ipv6: defaults.default_gateway_v6,
        pools: defaults.address_pools.clone(),
        mtu: defaults.mtu,
        icc: defaults.icc,
        masquerade: defaults.ip_masq,
        host_binding: defaults.ip,
        obey_input: defaults.obey_input,
        forward: defaults.ip_forward,
        forward_for_others: defaults.ip_forward_no_drop,
        direct_routing: defaults.allow_direct_routing,
        relay: defaults.userland_proxy,
        ..NetworkConfig::new(config.name_prefix.clone(), &config.state)
    }
}

/// Where a container stands: told by its supervisor if that lives, else by what the last run left.
async fn find_run(inner: &Inner, record: &Record) -> RunView {
    let places = inner.places(&record.id);
    let note = RunNote::read(&places.directory);
    let mut run = RunView::from_note(note.as_ref());
    let found = Supervisor::find(&places.socket).await;
    if let Err(error) = &found {
        tracing::warn!(%error, container = record.id.short(), "ask a supervisor");
    }
    let is_gone = matches!(found, Ok(None));
    if let Ok(Some(supervisor)) = found {
        // One that is just leaving has no status any more, but a record very soon.
        let status = supervisor.status().await.ok();
        if let Some(status) = status.filter(|status| status.started) {
            let frozen = status.paused && !thaw_commits(&places, &supervisor).await;
            run.phase = if frozen { Phase::Paused } else { Phase::Running };
            run.process = Some((status.pid, status.start_time));
            run.supervisor = Some(supervisor);
            return run;
        }
        if status.is_some() {
            // The engine died between creating the container and executing its program: nobody was told that
            // it runs, and by itself it would wait for ever.
            let _ = supervisor.signal(Target::Init, SIGKILL).await;
        }
        let _ = tokio::time::timeout(Duration::from_secs(5), supervisor.wait(Target::Init)).await;
    }
    let Some(note) = note.filter(|note| note.has_run) else { return run };
    run.phase = Phase::Exited;
    match read_exit_record(&places.exit_record()) {
        Ok(Some(exit)) => {
            (run.exit_code, run.oom_killed) = (exit.exit_code.into(), exit.oom_killed);
            run.finished_at = exit.finished_at;
        }
        _ if note.error.is_some() => run.exit_code = note.exit_code,
        // Nobody saw its end: the host went down, or the supervisor was killed.
        _ => {
            let booted_since = note.boot != inner.host.boot;
            if is_gone && !booted_since {
                container::ending::clear(inner, places.directory.clone()).await;
            }
            run.exit_code = if booted_since { 255 } else { 137 };
            run.finished_at = time_text::now();
        }
    }
    run
}

/// An engine that died in a commit left the container frozen. Whether it is thawed now.
async fn thaw_commits(places: &Places, supervisor: &Supervisor) -> bool {
    if fs::remove_file(places.frozen()).is_err() {
        return false;
    }
    let thawed = supervisor.resume().await;
    if let Err(error) = &thawed {
        tracing::warn!(%error, socket = %places.socket.display(), "thaw a container after a commit");
    }
    thawed.is_ok()
}

impl RunView {
    fn from_note(note: Option<&RunNote>) -> Self {
        let mut run = Self::unstarted();
        if let Some(note) = note {
            run.started_at.clone_from(&note.started_at);
            run.attachment.clone_from(&note.attachment);
            run.restart_count = note.restart_count;
            run.error = note.error.clone().unwrap_or_default();
            run.exit_code = note.exit_code;
        }
        run
    }
}

impl Inner {
    /// Makes every container known, and then lets each go on.
    fn take_over(self: &Arc<Self>, found: Vec<(Record, RunView)>) {
        let mut resumed = Vec::new();
        for (record, mut run) in found {
            let policy = RestartPolicy::parse(&record.host).unwrap_or_default();
            let ended = run.phase == Phase::Exited;
            if !run.phase.is_alive() {
                run.attachment = None;
            }
            let start =
                ended && policy.wants_start_on_open(run.exit_code, record.stopped_by_hand, run.restart_count);
            let remove = ended && record.host.auto_remove == Some(true);
            let container = Container::spawn(self, record, Some(run));
            self.register(&container);
            self.name_again(&container);
            resumed.push((container, Adopted { start, remove }));
        }
        // When all are known.
        for (container, _) in &resumed {
            links::open_again(self, container);
        }
        for (container, adopted) in resumed {
            let donors = if adopted.start { self.donors(&container) } else { Vec::new() };
            if donors.is_empty() {
                container.resume(adopted);
                continue;
            }
            // It joins namespaces of containers that may be starting at this moment, too.
            tokio::spawn(async move {
                let deadline = Instant::now() + DONOR_PATIENCE;
                while donors.iter().any(|donor| !donor.is_alive()) && Instant::now() < deadline {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                container.resume(adopted);
            });
        }
    }

    /// Forgets places on networks that the record doesn't ask for: an engine was killed while the container was put on
    /// them or taken off them.
    fn drop_unwanted(&self, record: &Record, attachment: &mut Attachment) {
        attachment.endpoints.retain(|endpoint| {
            record.networks.keys().any(|name| match self.network_table.find(name) {
                Ok(network) => network.id == endpoint.network,
                // The default network of an earlier engine, where this one has none: it lasts as long as who is on it.
                Err(_) => name == "bridge" && endpoint.network_name == *name,
            })
        });
    }

    /// Makes a living container's names known, serves it those of others, and relays its ports, as the engine before did.
    fn name_again(self: &Arc<Self>, container: &Arc<Container>) {
        let Some(attachment) = container.run().attachment else { return };
        let record = container.record();
        self.make_named(&record, &attachment);
        self.relays.update(&self.networks, &attachment);
        if !self.has_names(&attachment) {
            return;
        }
        let (inner, container) = (Arc::clone(self), Arc::clone(container));
        tokio::task::spawn_blocking(move || {
            let again = || -> Result<(), crate::Error> {
                let netns = sandbox::namespace_of(&container, NamespaceType::Network)?;
                let sockets =
                    inner.networks.dns_sockets(netns.as_fd()).map_err(|error| attach("", &error))?;
                inner.tell_names(&record, &attachment, netns, sockets)?;
                if container.look(|run| run.attachment.is_none()) {
                    // It has ended meanwhile.
                    inner.forget_named(&attachment);
                }
                Ok(())
            };
            if let Err(error) = again() {
                tracing::warn!(%error, container = record.id.short(), "serve names to a container again");
            }
        });
    }

    fn donors(&self, container: &Container) -> Vec<Arc<Container>> {
        let record = container.record();
        let modes = Modes::parse(&record.host, self.host.facts.resources.unified);
        let mut donors: Vec<_> = modes
            .map(|modes| modes.donors().filter_map(|name| self.find(name).ok()).collect())
            .unwrap_or_default();
        donors.extend(links::targets(self, &record));
        donors
    }

    /// The directories of a cgroup below the engine's own, in every hierarchy; the empty name is the
    /// engine's own.
    pub(crate) fn cgroup_directories(&self, name: &str) -> Vec<std::path::PathBuf> {
        let layout = &self.host.cgroups;
        let hierarchies = layout.legacy.iter().chain(layout.unified.iter());
        let below = Path::new(&self.config.name_prefix).join(name);
        hierarchies.map(|hierarchy| hierarchy.mount_point.join(&below)).collect()
    }
}

/// Removes what belongs to no living container: processes, cgroups, links, directories.
fn clean_up(inner: &Arc<Inner>, found: &[(Record, RunView)], living: Vec<Attachment>) {
    for (record, run) in found {
        if !run.phase.is_alive() {
            end_remains(inner, &inner.cgroup_of(record));
        }
    }
    let alive: BTreeSet<&str> =
        found.iter().filter(|(_, run)| run.phase.is_alive()).map(|(record, _)| record.id.as_str()).collect();
    sweep_cgroups(inner, &alive);
    if let Err(error) = inner.networks.restore(&living) {
        tracing::warn!(%error, "restore the networks");
    }
    let known: BTreeSet<&str> = found.iter().map(|(record, _)| record.id.as_str()).collect();
    sweep_directories(&inner.config.root.join("containers"), &known);
    sweep_directories(&inner.config.state.join("containers"), &known);
    sweep_directories(&inner.config.state.join("runtime"), &alive);
    sweep_sockets(&inner.config.state.join(SOCKETS), &known);
    let volumes = |record: &Record| record.mounts.iter().filter_map(|mount| mount.name.clone()).collect();
    let users: Vec<(String, Vec<String>)> = found
        .iter()
        .filter(|(_, run)| run.phase.is_alive())
        .map(|(record, _)| (record.id.to_string(), volumes(record)))
        .collect();
    inner.volumes.restore(&users);
    inner.volumes.sweep();
}

/// Kills what is left in the cgroup of a container whose supervisor is gone, and removes the cgroup.
fn end_remains(inner: &Inner, path: &str) {
    let layout = &inner.host.cgroups;
    let relative = path.trim_start_matches('/');
    let hierarchies = layout.legacy.iter().chain(layout.unified.iter());
    let directories: Vec<_> = hierarchies
        .map(|hierarchy| hierarchy.mount_point.join(relative))
        .filter(|path| path.is_dir())
        .collect();
    if directories.is_empty() {
        return;
    }
    if let Some(cgroup) = inner.open_cgroup(path)
        && let Err(error) = cgroup.kill_all()
    {
        tracing::warn!(%error, cgroup = path, "kill what a container left");
    }
    if let Err(error) = Cgroup::remove_paths(&directories) {
        tracing::warn!(%error, cgroup = path, "remove what a container left");
    }
}

fn sweep_cgroups(inner: &Inner, alive: &BTreeSet<&str>) {
    let mut names = BTreeSet::new();
    for directory in inner.cgroup_directories("") {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                names.insert(entry.file_name().to_string_lossy().into_owned());
            }
        }
    }
    for name in names.iter().filter(|name| name.len() == 64 && !alive.contains(name.as_str())) {
        end_remains(inner, &format!("/{}/{name}", inner.config.name_prefix));
    }
}

fn sweep_directories(parent: &Path, known: &BTreeSet<&str>) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let leftover =
            (name.len() == 64 && !known.contains(name.as_str())) || name.starts_with(removal::TRASH);
        if leftover && let Err(error) = removal::delete(&entry.path()) {
            tracing::warn!(%error, path = %entry.path().display(), "sweep");
        }
    }
}

fn sweep_sockets(parent: &Path, known: &BTreeSet<&str>) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !known.iter().any(|id| id.starts_with(&name)) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// The path of a socket has 107 bytes at most, unix(7).
fn check_length(state: &Path) -> Result<(), OpenError> {
    let longest = 107 - SOCKETS.len() - SOCKET_NAME - 2;
    match state.as_os_str().len() > longest {
        true => Err(OpenError::StatePath { state: state.to_owned(), longest }),
        false => Ok(()),
    }
}

/// Interfaces have 15 characters at most, and the bridge's name is the prefix and a digit.
fn check_prefix(prefix: &str) -> Result<(), OpenError> {
    let valid = (1..=10).contains(&prefix.len())
        && prefix.starts_with(|c: char| c.is_ascii_lowercase())
        && prefix.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if valid { Ok(()) } else { Err(OpenError::Prefix { prefix: prefix.to_owned() }) }
}

/// Containers' files and sockets are none of other users' business; a way through is needed for ordinary
/// users in containers.
fn restrict(directory: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(directory, fs::Permissions::from_mode(0o711))
}

/// A random id, made when the root is first used.
fn engine_id(root: &Path) -> std::io::Result<String> {
    let path = root.join("engine-id");
    match fs::read_to_string(&path) {
        Ok(id) => Ok(id.trim().to_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let id = fs::read_to_string("/proc/sys/kernel/random/uuid")?.trim().to_owned();
            fs::write(&path, &id)?;
            Ok(id)
        }
        Err(error) => Err(error),
    }
}

fn part(part: &'static str, source: impl std::error::Error + Send + Sync + 'static) -> OpenError {
    OpenError::Part { part, source: Box::new(source) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_fit_into_the_names_of_interfaces_and_tables() {
        for prefix in ["minke", "t-1", "a"] {
            assert!(check_prefix(prefix).is_ok(), "{prefix}");
        }
        for prefix in ["", "1a", "Minke", "a/b", "..", "abcdefghijk", "-a"] {
            assert!(check_prefix(prefix).is_err(), "{prefix}");
        }
    }
}
