//! As an ordinary user: with a single id, with subordinate ids, and as root of a user namespace.
//!
//! The user is a number that no table of the host's knows. Where newuidmap looks for it, that is in a mount
//! namespace with tables of the test's own.

use std::{
    fs,
    io::Write,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use minke_model::runtime_spec::{IdMapping, Namespace, NamespaceType, Pids, Resources, TimeOffset};

use crate::bundle::{Bundle, Outcome};

const USER: u32 = 64_243;
const SUBORDINATE: (u32, u32) = (5_000_000, 6_000_000);

/// Runs the words after the first five in a mount namespace where the user is known and has subordinate ids.
const WITH_TABLES: &str = r#"
set -e
cd "$1"
for file in passwd group subuid subgid; do cat "/etc/$file" >"$file" 2>/dev/null || :; done
echo "minketest:x:$2:$2::/:/bin/sh" >>passwd
echo "minketest:x:$2:" >>group
echo "minketest:$3:1000" >>subuid
echo "minketest:$4:1000" >>subgid
for file in passwd group subuid subgid; do mount --bind "$file" "/etc/$file"; done
shift 4
exec "$@"
"#;

/// Moves itself into the cgroups named before `--` and runs the words after it.
const INSIDE: &str = r#"
while [ "$1" != -- ]; do echo $$ >"$1/cgroup.procs"; shift; done
shift
exec "$@"
"#;

/// A bundle of the user's, with a copy of the runtime that the user can reach.
struct Rootless {
    bundle: Bundle,
    tables: bool,
    path: &'static str,
    cgroups: Vec<PathBuf>,
}

impl Rootless {
    /// What `spec --rootless` writes, changed to run a script without a terminal.
    fn new(script: &str) -> Self {
        let mut rootless = Self::untouched();
        rootless.call(&["spec", "--rootless"]).succeeded();
        let text = fs::read(rootless.bundle.path().join("config.json")).unwrap();
        rootless.bundle.spec = serde_json::from_slice(&text).unwrap();
        rootless.bundle.process().terminal = false;
        rootless.bundle.script(script);
        rootless
    }

    /// A bundle without a configuration.
    fn untouched() -> Self {
        let bundle = Bundle::new("");
        fs::set_permissions(bundle.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::copy(minke_testkit::runtime(), bundle.path().join("minke-oci")).unwrap();
        for folder in ["runtime", "tables"] {
            fs::create_dir(bundle.path().join(folder)).unwrap();
        }
        let owner = format!("{USER}:{USER}");
        let given = Command::new("chown").args(["-R", "-h", &owner]).arg(bundle.path()).status().unwrap();
        assert!(given.success());
        Self { bundle, tables: false, path: "/usr/sbin:/usr/bin:/sbin:/bin", cgroups: Vec::new() }
    }

    /// Gives the container the user's subordinate ids from 1 on.
    fn map_subordinate_ids(&mut self) {
        self.tables = true;
        let map = |host_id| IdMapping { container_id: 1, host_id, size: 1000 };
        let linux = self.bundle.linux();
        linux.uid_mappings.push(map(SUBORDINATE.0));
        linux.gid_mappings.push(map(SUBORDINATE.1));
    }

    /// A program run by the user in the bundle, with `before` in front of it.
    fn command(&self, before: &[&str], program: &str, args: &[&str]) -> Command {
        let (user, uids, gids) = (USER.to_string(), SUBORDINATE.0.to_string(), SUBORDINATE.1.to_string());
        let at = |name: &str| self.bundle.path().join(name).display().to_string();
        let (tables, runtime) = (at("tables"), format!("XDG_RUNTIME_DIR={}", at("runtime")));
        let path = format!("PATH={}", self.path);
        let mut words: Vec<&str> = Vec::new();
        if self.tables {
            words.extend(["unshare", "--mount", "--propagation", "private"]);
            words.extend(["sh", "-c", WITH_TABLES, "sh", &tables, &user, &uids, &gids]);
        }
        words.extend(["/usr/bin/setpriv", "--reuid", &user, "--regid", &user, "--clear-groups"]);
        let bundle = self.bundle.path().display().to_string();
        words.extend(["/usr/bin/env", "-i", "-C", &bundle, &path, &runtime]);
        words.extend(before);
        words.push(program);
        words.extend(args);
        let cgroups = self.cgroups.iter().map(|path| path.display().to_string());
        let mut command = Command::new("sh");
        command.args(["-c", INSIDE, "sh"]).args(cgroups).arg("--").args(words).stdin(Stdio::null());
        command
    }

    fn call(&self, args: &[&str]) -> Outcome {
        let runtime = self.bundle.path().join("minke-oci").display().to_string();
        self.command(&[], &runtime, args).output().unwrap().into()
    }

    fn run(&self) -> Outcome {
        self.bundle.write_config();
        self.call(&["run", &self.bundle.id])
    }

    /// Creates and starts a container that stays.
    fn start_sleeping(&mut self) {
        self.bundle.process().args = ["sleep", "1000"].map(str::to_owned).to_vec();
        self.bundle.write_config();
        let runtime = self.bundle.path().join("minke-oci").display().to_string();
        let mut create = self.command(&[], &runtime, &["create", &self.bundle.id]);
        // A pipe would only close with the container.
        let log = fs::File::create(self.bundle.path().join("stderr")).unwrap();
        let status = create.stdout(Stdio::null()).stderr(log).status().unwrap();
        let said = fs::read_to_string(self.bundle.path().join("stderr")).unwrap();
        assert_eq!(status.code(), Some(0), "{said}");
        // What is written there is the container's, so what only people want to know isn't.
        assert!(!said.contains("no cgroup is delegated"), "{said}");
        self.on("start").succeeded();
    }

    fn on(&self, command: &str) -> Outcome {
        self.call(&[command, &self.bundle.id])
    }

    fn exec(&self, flags: &[&str], program: &[&str]) -> Outcome {
        self.call(&[&["exec"], flags, &[&self.bundle.id], program].concat())
    }

    fn state(&self, field: &str) -> String {
        let state: serde_json::Value = serde_json::from_str(&self.on("state").succeeded().stdout).unwrap();
        let value = &state[field];
        value.as_str().map_or_else(|| value.to_string(), str::to_owned)
    }

    fn state_root(&self) -> PathBuf {
        self.bundle.path().join("runtime/minke-oci")
    }

    /// Removes the container; nothing of it may be left.
    #[track_caller]
    fn end(&self) {
        self.call(&["delete", "--force", &self.bundle.id]).succeeded();
        assert_eq!(fs::read_dir(self.state_root()).unwrap().count(), 0);
    }
}

impl Drop for Rootless {
    fn drop(&mut self) {
        let _ = self.call(&["delete", "--force", &self.bundle.id]);
    }
}

#[test]
fn what_spec_writes_for_a_user_runs_as_it_is() {
    let rootless = Rootless::untouched();
    rootless.call(&["spec", "--rootless"]).succeeded();
    let runtime = rootless.bundle.path().join("minke-oci").display().to_string();
    let mut command = rootless.command(&[], &runtime, &["run", &rootless.bundle.id]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"tty; exit 7\n").unwrap();
    let outcome = Outcome::from(child.wait_with_output().unwrap());
    assert_eq!(outcome.code, Some(7), "{outcome:?}");
    assert!(outcome.stdout.contains("/dev/pts/0"), "{outcome:?}");
}

#[test]
fn a_single_id_is_root_inside_and_nobody_else() {
    let mut rootless = Rootless::new("id -u; cat /proc/self/setgroups; echo >/dev/null; touch /tmp/mine");
    rootless.bundle.spec.root.as_mut().unwrap().readonly = false;
    let outcome = rootless.run().succeeded();
    assert_eq!(outcome.lines(), ["0", "deny"]);
    assert_eq!(fs::metadata(rootless.bundle.rootfs().join("tmp/mine")).unwrap().uid(), USER);
    rootless.bundle.process().user.uid = 7;
    rootless.run().failed_with(1, &["process.user.uid: set 7", "not mapped"]);
    rootless.bundle.process().user.uid = 0;
    rootless.bundle.process().user.additional_gids = vec![7];
    rootless.run().failed_with(1, &["process.user.additionalGids", "not permitted"]);
    rootless.bundle.process().user.additional_gids.clear();
    rootless.bundle.namespace(NamespaceType::User, None);
    rootless.bundle.linux().uid_mappings.clear();
    rootless.bundle.linux().gid_mappings.clear();
    rootless.run().failed_with(1, &["linux.namespaces", "requires user namespaces"]);
}

#[test]
fn subordinate_ids_are_mapped_by_the_systems_own_tools() {
    let script =
        "tr -s ' ' </proc/self/uid_map; tr -s ' ' </proc/self/gid_map; id -u; id -G; touch /tmp/theirs";
    let mut rootless = Rootless::new(script);
    rootless.map_subordinate_ids();
    rootless.bundle.spec.root.as_mut().unwrap().readonly = false;
    fs::set_permissions(rootless.bundle.rootfs().join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
    let user = &mut rootless.bundle.process().user;
    (user.uid, user.gid, user.additional_gids) = (33, 44, vec![55]);
    let outcome = rootless.run().succeeded();
    let own = format!(" 0 {USER} 1");
    let maps = [&own, &format!(" 1 {} 1000", SUBORDINATE.0), &own, &format!(" 1 {} 1000", SUBORDINATE.1)];
    assert_eq!(outcome.lines()[..4], maps.map(String::as_str));
    assert_eq!(outcome.lines()[4..], ["33", "44 55"]);
    let theirs = fs::metadata(rootless.bundle.rootfs().join("tmp/theirs")).unwrap();
    assert_eq!((theirs.uid(), theirs.gid()), (SUBORDINATE.0 + 32, SUBORDINATE.1 + 43));
}

#[test]
fn ids_that_may_not_be_mapped_and_a_missing_tool_are_clear_errors() {
    let mut rootless = Rootless::new("true");
    rootless.map_subordinate_ids();
    rootless.bundle.linux().uid_mappings[1].size = 1001;
    rootless.run().failed_with(1, &["linux.uidMappings", "newuidmap refused", "not allowed", "/etc/subuid"]);
    rootless.bundle.linux().uid_mappings[1].size = 1000;
    rootless.bundle.linux().gid_mappings[1].host_id += 1;
    rootless.run().failed_with(1, &["newgidmap refused", "not allowed", "/etc/subgid"]);
    rootless.path = "/nonexistent";
    rootless.run().failed_with(1, &["linux.uidMappings", "newuidmap, which is not on PATH"]);
    assert_eq!(fs::read_dir(rootless.state_root()).unwrap().count(), 0);
}

#[test]
fn a_users_container_goes_through_its_life() {
    let mut rootless = Rootless::new("");
    rootless.map_subordinate_ids();
    rootless.bundle.write_config();
    let runtime = rootless.bundle.path().join("minke-oci").display().to_string();
    let mut create = rootless.command(&[], &runtime, &["create", &rootless.bundle.id]);
    assert!(create.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success());
    // While it waits for its start, it has to show its owner where its namespaces are.
    assert_eq!(rootless.exec(&[], &["id", "-u"]).succeeded().stdout, "0\n");
    rootless.call(&["delete", "--force", &rootless.bundle.id]).succeeded();
    rootless.start_sleeping();
    let mode = fs::metadata(rootless.state_root()).unwrap().mode() & 0o7777;
    assert_eq!((rootless.state("status").as_str(), mode), ("running", 0o1700));
    assert_eq!(rootless.exec(&[], &["id", "-u"]).succeeded().stdout, "0\n");
    assert_eq!(rootless.exec(&["--user", "33:44"], &["id", "-u"]).succeeded().stdout, "33\n");
    assert_eq!(rootless.exec(&["--tty"], &["tty"]).succeeded().stdout.trim(), "/dev/pts/0");
    assert_eq!(rootless.exec(&[], &["sh", "-c", "exit 7"]).code, Some(7));
    rootless.exec(&[], &["nosuch"]).failed_with(255, &["executable file not found in $PATH"]);
    assert!(rootless.call(&["list"]).succeeded().stdout.contains(&rootless.bundle.id));
    rootless.on("delete").failed_with(1, &["that is not stopped: running"]);
    // Without a cgroup, its pid namespace tells what is in it.
    let processes = rootless.call(&["ps", "--format", "json", &rootless.bundle.id]).succeeded();
    assert_eq!(processes.stdout.trim(), format!("[{}]", rootless.state("pid")));
    rootless.call(&["kill", "--all", &rootless.bundle.id, "KILL"]).succeeded();
    crate::bundle::wait_until("the end", || rootless.state("status") == "stopped");
    rootless.end();
}

#[test]
fn without_a_cgroup_a_container_runs_unless_it_asks_for_limits() {
    let mut rootless = Rootless::new("cat /proc/self/cgroup");
    let own = fs::read_to_string("/proc/self/cgroup").unwrap();
    let outcome = rootless.run().succeeded();
    // People and logs are told that it has none, but not a standard error that is the container's too.
    assert_eq!((outcome.stdout, outcome.stderr.as_str()), (own, ""));
    rootless.call(&["--log", "log", "run", &rootless.bundle.id]).succeeded();
    let log = fs::read_to_string(rootless.bundle.path().join("log")).unwrap();
    assert!(log.contains("level=warning") && log.contains("no cgroup is delegated"), "{log}");
    let limit = Pids { limit: Some(10) };
    rootless.bundle.linux().resources = Some(Resources { pids: Some(limit), ..Resources::default() });
    rootless.run().failed_with(1, &["linux.resources", "rootless needs no limits + no cgrouppath"]);
    rootless.bundle.linux().resources = None;
    rootless.bundle.linux().cgroups_path = Some(format!("/{}", rootless.bundle.id));
    rootless.run().failed_with(1, &["unable to apply cgroup configuration", "permission denied"]);
}

#[test]
fn a_users_container_among_the_hosts_processes_can_be_killed() {
    let mut rootless = Rootless::new("");
    rootless.bundle.namespace(NamespaceType::Pid, None);
    rootless.bundle.spec.mounts.retain(|mount| mount.destination != "/proc");
    rootless.bundle.mount("/proc", "none", "/proc", &["rbind", "nosuid", "nodev", "noexec"]);
    rootless.bundle.script("true");
    let warned = rootless.run().succeeded();
    assert!(warned.stderr.contains("Such configuration is strongly discouraged"), "{warned:?}");
    rootless.start_sleeping();
    let killed = rootless.call(&["kill", &rootless.bundle.id, "KILL"]).succeeded();
    assert!(killed.stderr.contains("failed to kill all processes"), "{killed:?}");
    crate::bundle::wait_until("the end", || rootless.state("status") == "stopped");
    rootless.end();
}

/// Cgroups that belong to the user, and the ones in them where the user's shell is.
struct Delegated {
    parents: Vec<PathBuf>,
    inside: Vec<PathBuf>,
}

impl Delegated {
    fn new(name: &str) -> Self {
        let unified = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
        let hierarchies: &[&str] = if unified { &[""] } else { &["pids", "memory", "freezer", "unified"] };
        let all = hierarchies.iter().map(|name| Path::new("/sys/fs/cgroup").join(name));
        let parents: Vec<PathBuf> = all.filter(|path| path.exists()).map(|path| path.join(name)).collect();
        // A v2 cgroup with processes gives no controllers to others.
        let inside: Vec<_> =
            parents.iter().map(|parent| if unified { parent.join("own") } else { parent.clone() }).collect();
        for parent in &parents {
            fs::create_dir(parent).unwrap();
            if unified {
                fs::write("/sys/fs/cgroup/cgroup.subtree_control", "+pids +memory").unwrap();
                fs::write(parent.join("cgroup.subtree_control"), "+pids +memory").unwrap();
                fs::create_dir(parent.join("own")).unwrap();
            }
            for file in ["", "cgroup.procs", "cgroup.subtree_control", "own", "own/cgroup.procs"] {
                let _absent = chown(parent.join(file), Some(USER), Some(USER));
            }
        }
        Self { parents, inside }
    }

    fn containers(&self) -> Vec<PathBuf> {
        let entries = self.parents.iter().flat_map(|parent| fs::read_dir(parent).unwrap().flatten());
        let folders = entries.map(|entry| entry.path()).filter(|path| path.is_dir());
        folders.filter(|path| !path.ends_with("own")).collect()
    }
}

impl Drop for Delegated {
    fn drop(&mut self) {
        for path in self.inside.iter().chain(&self.parents) {
            let _ = fs::remove_dir(path);
        }
    }
}

#[test]
fn delegated_cgroups_limit_and_pause_a_users_container() {
    let mut rootless = Rootless::new("");
    rootless.map_subordinate_ids();
    let delegated = Delegated::new(&format!("{}-user", rootless.bundle.id));
    rootless.cgroups.clone_from(&delegated.inside);
    // Root inside is a subordinate id, whose processes the user may not move.
    let map = |host_id| vec![IdMapping { container_id: 0, host_id, size: 1000 }];
    rootless.bundle.linux().uid_mappings = map(SUBORDINATE.0);
    rootless.bundle.linux().gid_mappings = map(SUBORDINATE.1);
    let limit = Pids { limit: Some(10) };
    let resources = Resources { pids: Some(limit), ..Resources::default() };
    rootless.bundle.linux().resources = Some(resources);
    rootless.start_sleeping();
    let groups = delegated.containers();
    assert_eq!(groups.len(), delegated.parents.len());
    let pid = rootless.state("pid");
    for group in &groups {
        assert_eq!(fs::read_to_string(group.join("cgroup.procs")).unwrap().trim(), pid, "{group:?}");
    }
    let limits = groups.iter().filter_map(|group| fs::read_to_string(group.join("pids.max")).ok());
    assert!(limits.map(|limit| limit.trim().to_owned()).any(|limit| limit == "10"));
    let name = rootless.bundle.id.clone();
    let inside = rootless.exec(&[], &["grep", "-c", &name, "/proc/self/cgroup"]).succeeded();
    assert_eq!(inside.stdout.trim(), groups.len().to_string());
    rootless.on("pause").succeeded();
    assert_eq!(rootless.state("status"), "paused");
    rootless.on("resume").succeeded();
    rootless.end();
    assert_eq!(delegated.containers(), Vec::<PathBuf>::new());
}

#[test]
fn root_of_a_user_namespace_needs_no_mappings() {
    let mut rootless = Rootless::new("id -u; id -G; echo >/dev/null && ls /dev/null");
    rootless.bundle.namespace(NamespaceType::User, None);
    rootless.bundle.linux().uid_mappings.clear();
    rootless.bundle.linux().gid_mappings.clear();
    // An image's groups, as podman passes them, can't be had in this user namespace: its caller knows.
    rootless.bundle.process().user.additional_gids = vec![7];
    rootless.bundle.write_config();
    let at = |name: &str| rootless.bundle.path().join(name);
    fs::rename(at("config.json"), at("first.json")).unwrap();
    rootless.bundle.process().args = ["sleep", "1000"].map(str::to_owned).to_vec();
    rootless.bundle.write_config();
    let at = |name: &str| rootless.bundle.path().join(name);
    fs::rename(at("config.json"), at("second.json")).unwrap();
    let runtime = at("minke-oci").display().to_string();
    let script = "set -e; ln -s first.json config.json; $0 run $1; ln -sf second.json config.json; \
        $0 create $1 </dev/null >/dev/null 2>&1; $0 start $1; $0 exec $1 echo entered; $0 exec -t $1 tty; \
        $0 kill $1 KILL; while $0 state $1 | grep -q running; do sleep 0.05; done; $0 delete $1; echo gone";
    let id = rootless.bundle.id.clone();
    let args = ["--user", "--map-root-user", "sh", "-c", script, &runtime, &id];
    let mut command = rootless.command(&[], "unshare", &args);
    let outcome = Outcome::from(command.output().unwrap()).succeeded();
    let lines: Vec<_> = outcome.lines().iter().map(|line| line.trim_end()).collect();
    assert_eq!(lines, ["0", "0", "/dev/null", "entered", "/dev/pts/0", "gone"], "{outcome:?}");
}

#[test]
fn clocks_of_a_users_container_are_its_own() {
    let mut rootless = Rootless::new("grep boottime /proc/self/timens_offsets | tr -s ' '; id -u");
    rootless.bundle.namespace(NamespaceType::Time, Some(None));
    let offset = TimeOffset { secs: 86_400, nanosecs: 0 };
    rootless.bundle.linux().time_offsets.insert("boottime".into(), offset);
    assert_eq!(rootless.run().succeeded().lines(), ["boottime 86400 0", "0"]);
}

#[test]
fn a_users_container_joins_the_namespaces_of_another() {
    let mut first = Rootless::new("");
    first.start_sleeping();
    let pid = first.state("pid");
    let mut second = Rootless::new("tr '\\0' ' ' </proc/1/cmdline; echo; readlink /proc/self/ns/user");
    let path = |kind: &str| Some(format!("/proc/{pid}/ns/{kind}"));
    for (kind, name) in
        [(NamespaceType::User, "user"), (NamespaceType::Pid, "pid"), (NamespaceType::Ipc, "ipc")]
    {
        second.bundle.linux().namespaces.retain(|namespace| namespace.kind != kind);
        second.bundle.linux().namespaces.push(Namespace { kind, path: path(name) });
    }
    second.bundle.linux().uid_mappings.clear();
    second.bundle.linux().gid_mappings.clear();
    let outcome = second.run().succeeded();
    let user = fs::read_link(format!("/proc/{pid}/ns/user")).unwrap().display().to_string();
    assert_eq!(outcome.lines(), ["sleep 1000 ", user.as_str()]);
    first.end();
}
