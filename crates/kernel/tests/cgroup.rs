//! Cgroups on the real kernel, whatever layout this host has; and the v2 driver where v2 is mounted at all.
//!
//! As root. Each test has its own cgroup, below one whose name carries this process's id.

#![expect(clippy::unwrap_used, reason = "a test says with a panic what went wrong")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use minke_kernel::cgroup::{Cgroup, CgroupError, Layout, Mode, Pid, default_device_rules};
use minke_model::runtime_spec::{BlockIo, Cpu, DeviceRule, HugepageLimit, Memory, Pids, Resources};

/// A cgroup that is removed with its parent at the end, and the processes in it.
struct Fixture {
    layout: Layout,
    name: String,
    cgroup: Cgroup,
    children: Vec<Child>,
    _turn: Option<V2Turn>,
}

/// Tests of the v2 driver take turns, since it enables controllers in the host's root, which is undone here.
struct V2Turn {
    root: PathBuf,
    enabled: String,
    _lock: fs::File,
}

impl V2Turn {
    fn take(root: PathBuf) -> V2Turn {
        let lock = fs::File::open(&root).unwrap();
        lock.lock().unwrap();
        let enabled = fs::read_to_string(root.join("cgroup.subtree_control")).unwrap();
        V2Turn { root, enabled, _lock: lock }
    }
}

impl Drop for V2Turn {
    fn drop(&mut self) {
        let file = self.root.join("cgroup.subtree_control");
        for name in fs::read_to_string(&file).unwrap().split_whitespace() {
            if !self.enabled.split_whitespace().any(|enabled| enabled == name) {
                let _ = fs::write(&file, format!("-{name}"));
            }
        }
    }
}

impl Fixture {
    fn new() -> Fixture {
        Fixture::on(Layout::detect().unwrap(), None)
    }

    /// On the v2 hierarchy of this host alone, even if that has no controllers.
    fn unified() -> Option<Fixture> {
        let unified = Layout::detect().unwrap().unified?;
        let turn = V2Turn::take(unified.mount_point.clone());
        Some(Fixture::on(Layout { unified: Some(unified), legacy: Vec::new() }, Some(turn)))
    }

    fn on(layout: Layout, turn: Option<V2Turn>) -> Fixture {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let parent = format!("/minke-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let name = format!("{parent}/inner");
        let cgroup = Cgroup::create_in(&layout, &name).unwrap();
        Fixture { layout, name, cgroup, children: Vec::new(), _turn: turn }
    }

    fn spawn(&mut self, command: &str) -> Pid {
        let child = Command::new("sh").args(["-c", command]).spawn().unwrap();
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        self.children.push(child);
        self.cgroup.add_process(pid).unwrap();
        pid
    }

    fn file(&self, controller: &str, file: &str) -> Option<String> {
        let paths = self.cgroup.paths();
        let dir = paths.get(controller).or_else(|| paths.get("").filter(|_| paths.len() == 1))?;
        Some(fs::read_to_string(dir.join(file)).unwrap().trim().to_owned())
    }

    fn has(&self, controller: &str) -> bool {
        self.layout.mode() != Mode::Unified && self.cgroup.paths().contains_key(controller)
    }

    fn reap(&mut self) {
        for mut child in self.children.drain(..) {
            child.wait().unwrap();
        }
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let _ = self.cgroup.kill_all();
        for child in &mut self.children {
            let _ = child.kill();
        }
        let _ = self.cgroup.thaw();
        self.reap();
        let _ = self.cgroup.remove();
        let parents: Vec<PathBuf> =
            self.cgroup.paths().values().map(|path| path.parent().unwrap().to_owned()).collect();
        let removed = Cgroup::remove_paths(&parents);
        assert!(removed.is_ok() || std::thread::panicking(), "{removed:?}");
    }
}

fn wait_until(mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_cgroup_is_made_everywhere_entered_left_and_removed() {
    let mut f = Fixture::new();
    let pid = f.spawn("exec sleep 100");
    assert_eq!(f.cgroup.pids().unwrap(), [pid]);
    let own = fs::read_to_string(format!("/proc/{}/cgroup", pid.as_raw_nonzero())).unwrap();
    let inside = own.lines().filter(|line| line.ends_with(&f.name)).count();
    assert_eq!(inside, f.layout.legacy.len() + usize::from(f.layout.unified.is_some()), "{own}");
    let paths = f.cgroup.paths();
    let again = Cgroup::open(&paths).unwrap();
    assert_eq!(again.paths(), paths);
    again.kill_all().unwrap();
    again.remove().unwrap();
    assert!(paths.values().all(|path| !path.exists()));
    again.remove().unwrap();
    assert!(matches!(Cgroup::open(&paths), Err(CgroupError::Missing { .. })));
    assert!(again.pids().unwrap().is_empty());
}

#[test]
fn what_exists_already_is_used() {
    let f = Fixture::new();
    let again = Cgroup::create_in(&f.layout, &f.name).unwrap();
    assert_eq!(again.paths(), f.cgroup.paths());
}

#[test]
fn a_failed_creation_leaves_nothing() {
    let name = format!("/minke-test-undo-{}", std::process::id());
    // A name that is free in the first hierarchies and a file in a later one.
    let taken = if Layout::detect().unwrap().mode() == Mode::Unified { "cgroup.events" } else { "pids.max" };
    let error = Cgroup::create(&format!("{name}/a/{taken}")).unwrap_err();
    assert!(matches!(error, CgroupError::Io { action: "open", .. }), "{error}");
    let layout = Layout::detect().unwrap();
    let points = layout.legacy.iter().chain(&layout.unified).map(|hierarchy| &hierarchy.mount_point);
    for point in points {
        assert!(!point.join(&name[1..]).exists(), "{}", point.display());
    }
}

#[test]
fn cgroups_that_the_container_made_are_listed_killed_and_removed() {
    let mut f = Fixture::new();
    let pid = f.spawn("exec sleep 100");
    let paths = f.cgroup.paths();
    let dirs: std::collections::BTreeSet<&PathBuf> = paths.values().collect();
    for dir in dirs {
        let below = dir.join("own/deeper");
        fs::create_dir_all(&below).unwrap();
        if !dir.starts_with("/sys/fs/cgroup/cpuset") {
            fs::write(below.join("cgroup.procs"), pid.as_raw_nonzero().to_string()).unwrap();
        }
    }
    assert_eq!(f.cgroup.pids().unwrap(), [pid]);
    f.cgroup.kill_all().unwrap();
    f.reap();
    f.cgroup.remove().unwrap();
    assert!(paths.values().all(|path| !path.exists()));
}

fn freezes_and_thaws(mut f: Fixture) {
    let pid = f.spawn("while :; do :; done");
    assert!(!f.cgroup.is_frozen().unwrap());
    f.cgroup.freeze().unwrap();
    assert!(f.cgroup.is_frozen().unwrap());
    let ticks = || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap();
        stat.rsplit(')').next().unwrap().split(' ').nth(12).unwrap().parse::<u64>().unwrap()
    };
    let before = ticks();
    std::thread::sleep(Duration::from_millis(60));
    assert_eq!(ticks(), before, "a frozen process uses no time");
    f.cgroup.thaw().unwrap();
    assert!(!f.cgroup.is_frozen().unwrap());
    wait_until(|| ticks() > before);
}

#[test]
fn freezing_stops_and_thawing_goes_on() {
    freezes_and_thaws(Fixture::new());
}

#[test]
fn freezing_stops_and_thawing_goes_on_with_version_2() {
    if let Some(f) = Fixture::unified() {
        freezes_and_thaws(f);
    }
}

fn kills_all(mut f: Fixture, frozen: bool) {
    f.spawn("while :; do (sleep 0.01 & ) ; sleep 0.001; done");
    f.spawn("exec sleep 100");
    std::thread::sleep(Duration::from_millis(30));
    if frozen {
        f.cgroup.freeze().unwrap();
    }
    f.cgroup.kill_all().unwrap();
    f.reap();
    wait_until(|| f.cgroup.pids().unwrap().is_empty());
    f.cgroup.remove().unwrap();
}

#[test]
fn killing_ends_even_those_that_fork_or_are_frozen() {
    for frozen in [false, true] {
        kills_all(Fixture::new(), frozen);
        if let Some(f) = Fixture::unified() {
            kills_all(f, frozen);
        }
    }
}

#[test]
fn removing_waits_for_ending_processes_and_gives_up_on_living_ones() {
    let mut f = Fixture::new();
    f.spawn("exec sleep 0.2");
    f.cgroup.remove().unwrap();
    let mut f = Fixture::new();
    f.spawn("exec sleep 100");
    let error = f.cgroup.remove().unwrap_err();
    assert!(matches!(&error, CgroupError::Remove { failures } if !failures.is_empty()), "{error}");
}

#[test]
fn limits_are_what_the_kernel_then_says() {
    let f = Fixture::new();
    if !f.has("memory") || !f.has("cpu") || !f.has("pids") || !f.has("cpuset") {
        return;
    }
    let resources = Resources {
        memory: Some(Memory {
            limit: Some(64 << 20),
            swap: Some(96 << 20),
            reservation: Some(32 << 20),
            swappiness: Some(10),
            ..Memory::default()
        }),
        cpu: Some(Cpu {
            shares: Some(512),
            quota: Some(50_000),
            period: Some(200_000),
            burst: Some(10_000),
            cpus: Some("0".into()),
            mems: Some("0".into()),
            ..Cpu::default()
        }),
        pids: Some(Pids { limit: Some(42) }),
        ..Resources::default()
    };
    f.cgroup.apply(&resources).unwrap();
    let expect = |controller: &str, file: &str, value: &str| {
        assert_eq!(f.file(controller, file).unwrap(), value, "{file}");
    };
    expect("memory", "memory.limit_in_bytes", "67108864");
    expect("memory", "memory.memsw.limit_in_bytes", "100663296");
    expect("memory", "memory.soft_limit_in_bytes", "33554432");
    expect("memory", "memory.swappiness", "10");
    expect("cpu", "cpu.shares", "512");
    expect("cpu", "cpu.cfs_quota_us", "50000");
    expect("cpu", "cpu.cfs_period_us", "200000");
    expect("cpu", "cpu.cfs_burst_us", "10000");
    expect("cpuset", "cpuset.cpus", "0");
    expect("pids", "pids.max", "42");
    let stats = f.cgroup.stats().unwrap();
    assert_eq!(stats.memory.usage.limit, Some(64 << 20));
    assert_eq!(stats.pids.limit, Some(42));
}

#[test]
fn memory_and_swap_go_up_and_down_in_the_right_order() {
    let f = Fixture::new();
    if !f.has("memory") {
        return;
    }
    for mib in [64, 512, 16, 1024, 32] {
        let memory = Memory { limit: Some(mib << 20), swap: Some(mib << 21), ..Memory::default() };
        f.cgroup.apply(&Resources { memory: Some(memory), ..Resources::default() }).unwrap();
        assert_eq!(f.file("memory", "memory.limit_in_bytes").unwrap(), (mib << 20).to_string());
        assert_eq!(f.file("memory", "memory.memsw.limit_in_bytes").unwrap(), (mib << 21).to_string());
    }
    let memory = Memory { limit: Some(-1), ..Memory::default() };
    f.cgroup.apply(&Resources { memory: Some(memory), ..Resources::default() }).unwrap();
    assert_eq!(f.cgroup.stats().unwrap().memory.swap.limit, None);
}

#[test]
fn quota_period_and_burst_change_together() {
    let f = Fixture::new();
    if !f.has("cpu") {
        return;
    }
    for (quota, period, burst) in
        [(100_000, 100_000, 100_000), (2_000, 10_000, 1_000), (900_000, 1_000_000, 800_000), (-1, 50_000, 0)]
    {
        let cpu = Cpu { quota: Some(quota), period: Some(period), burst: Some(burst), ..Cpu::default() };
        f.cgroup.apply(&Resources { cpu: Some(cpu), ..Resources::default() }).unwrap();
        assert_eq!(f.file("cpu", "cpu.cfs_quota_us").unwrap(), quota.to_string());
        assert_eq!(f.file("cpu", "cpu.cfs_period_us").unwrap(), period.to_string());
    }
}

#[test]
fn a_limit_without_its_controller_names_field_and_controller() {
    let f = Fixture::new();
    if f.has("hugetlb") || f.layout.mode() == Mode::Unified {
        return;
    }
    let limit = HugepageLimit { page_size: "2MB".into(), limit: 0 };
    let error =
        f.cgroup.apply(&Resources { hugepage_limits: vec![limit], ..Resources::default() }).unwrap_err();
    assert_eq!(
        error.to_string(),
        "linux.resources.hugepageLimits: this host has no hugetlb cgroup controller"
    );
    let Some(v2) = Fixture::unified() else { return };
    let memory = Memory { limit: Some(1 << 30), ..Memory::default() };
    let error = v2.cgroup.apply(&Resources { memory: Some(memory), ..Resources::default() }).unwrap_err();
    assert_eq!(error.to_string(), "linux.resources.memory.limit: this host has no memory cgroup controller");
    let unified = [("memory.high".to_owned(), "1".to_owned())].into();
    let error = v2.cgroup.apply(&Resources { unified, ..Resources::default() }).unwrap_err();
    assert!(error.to_string().ends_with("this host has no memory cgroup controller"), "{error}");
}

#[test]
fn version_2_hands_controllers_down_to_the_container() {
    let Some(f) = Fixture::unified() else { return };
    let root = &f.layout.unified.as_ref().unwrap().mount_point;
    let read = |path: PathBuf| fs::read_to_string(path).unwrap();
    let available = read(root.join("cgroup.controllers"));
    let own = read(f.cgroup.paths()[""].join("cgroup.controllers"));
    for name in ["cpu", "cpuset", "memory", "io", "pids", "hugetlb"] {
        let has = |list: &str| list.split_whitespace().any(|word| word == name);
        assert_eq!(has(&own), has(&available), "{name}");
    }
    if own.contains("hugetlb") && Path::new("/sys/kernel/mm/hugepages/hugepages-2048kB").exists() {
        let limit = HugepageLimit { page_size: "2MB".into(), limit: 4 << 20 };
        f.cgroup.apply(&Resources { hugepage_limits: vec![limit], ..Resources::default() }).unwrap();
        assert_eq!(f.file("hugetlb", "hugetlb.2MB.max").unwrap(), "4194304");
        assert_eq!(f.file("hugetlb", "hugetlb.2MB.rsvd.max").unwrap(), "4194304");
        assert_eq!(f.cgroup.stats().unwrap().hugetlb["2MB"].usage, 0);
    }
}

#[test]
fn a_refused_value_names_field_value_and_file() {
    let f = Fixture::new();
    if !f.has("cpuset") {
        return;
    }
    let cpu = Cpu { cpus: Some("nonsense".into()), ..Cpu::default() };
    let error = f.cgroup.apply(&Resources { cpu: Some(cpu), ..Resources::default() }).unwrap_err();
    assert!(error.to_string().starts_with("linux.resources.cpu.cpus: write \"nonsense\" to /"), "{error}");
}

#[test]
fn a_memory_limit_below_what_is_in_use_is_refused_if_asked() {
    let mut f = Fixture::new();
    if !f.has("memory") {
        return;
    }
    // The usage goes up and down while the shell takes the text in; afterwards it has 30 MB for good.
    let taken = std::env::temp_dir().join(format!("minke-taken-{}", std::process::id()));
    f.spawn(&format!("x=$(head -c 30000000 /dev/zero | tr '\\0' x); : >{}; sleep 100", taken.display()));
    wait_until(|| taken.exists());
    fs::remove_file(taken).unwrap();
    let memory = Memory { limit: Some(1 << 20), check_before_update: Some(true), ..Memory::default() };
    let error = f.cgroup.apply(&Resources { memory: Some(memory), ..Resources::default() }).unwrap_err();
    assert!(matches!(error, CgroupError::InUse { limit: 1_048_576, usage } if usage > 20 << 20), "{error}");
}

#[test]
fn out_of_memory_kills_are_counted() {
    let mut f = Fixture::new();
    if !f.has("memory") {
        return;
    }
    let memory = Memory { limit: Some(8 << 20), swap: Some(8 << 20), ..Memory::default() };
    f.cgroup.apply(&Resources { memory: Some(memory), ..Resources::default() }).unwrap();
    assert_eq!(f.cgroup.oom_kills().unwrap(), 0);
    f.spawn("sleep 0.1; head -c 60000000 /dev/zero | tail -c 50000000 >/dev/null");
    wait_until(|| f.cgroup.oom_kills().unwrap() > 0);
    assert!(f.cgroup.stats().unwrap().memory.oom_kills > 0);
}

#[test]
fn usage_is_measured() {
    let mut f = Fixture::new();
    f.spawn("x=$(head -c 3000000 /dev/zero | tr '\\0' x); i=0; while [ $i -lt 50000 ]; do i=$((i+1)); done; sleep 100");
    let both = f.layout.mode() == Mode::Unified || f.has("cpuacct");
    wait_until(|| !both || f.cgroup.stats().unwrap().cpu.usage.total > 1_000_000);
    let stats = f.cgroup.stats().unwrap();
    if f.has("pids") {
        assert!(stats.pids.current >= 1);
    }
    if f.has("memory") {
        wait_until(|| f.cgroup.stats().unwrap().memory.usage.usage > 1 << 20);
        assert!(stats.memory.stats.contains_key("total_rss"));
        assert_eq!(stats.memory.usage.limit, None);
    }
    if f.has("cpuacct") {
        assert!(!stats.cpu.usage.percpu.is_empty());
    }
    if let Some(mut v2) = Fixture::unified() {
        v2.spawn("i=0; while [ $i -lt 50000 ]; do i=$((i+1)); done; sleep 100");
        wait_until(|| v2.cgroup.stats().unwrap().cpu.usage.total > 1_000_000);
    }
}

/// Whether a process in the cgroup can open a device for reading.
fn can_open(f: &mut Fixture, device: &str) -> bool {
    let result = std::env::temp_dir().join(format!("{}-read", f.name.replace('/', "-")));
    let _ = fs::remove_file(&result);
    let out = result.display();
    f.spawn(&format!(
        "sleep 0.05; if (: < {device}) 2>/dev/null; then echo yes > {out}; else echo no > {out}; fi"
    ));
    f.reap();
    let text = fs::read_to_string(&result).unwrap();
    fs::remove_file(&result).unwrap();
    text.trim() == "yes"
}

fn device_rules_hold(mut f: Fixture) {
    let deny_all = DeviceRule::default();
    let mut rules = vec![deny_all.clone()];
    rules.extend(default_device_rules());
    let apply = |f: &Fixture, devices: Vec<DeviceRule>| {
        f.cgroup.apply(&Resources { devices, ..Resources::default() })
    };
    apply(&f, rules.clone()).unwrap();
    assert!(can_open(&mut f, "/dev/urandom"));
    assert!(!can_open(&mut f, "/dev/kmsg"));
    apply(&f, rules.clone()).unwrap();
    rules.push(DeviceRule {
        allow: true,
        kind: Some(minke_model::runtime_spec::DeviceType::Character),
        major: Some(1),
        minor: Some(11),
        access: Some("r".into()),
    });
    apply(&f, rules).unwrap();
    assert!(can_open(&mut f, "/dev/kmsg"), "an update replaces the rules");
    apply(&f, vec![deny_all, default_device_rules().remove(2)]).unwrap();
    assert!(!can_open(&mut f, "/dev/urandom"));
}

#[test]
fn device_rules_hold_and_are_replaced() {
    let f = Fixture::new();
    if f.has("devices") {
        device_rules_hold(f);
    }
}

#[test]
fn device_rules_hold_and_are_replaced_with_version_2() {
    if let Some(f) = Fixture::unified() {
        device_rules_hold(f);
    }
}

#[test]
fn block_device_rates_are_written_by_device() {
    let f = Fixture::new();
    if !f.has("blkio") {
        return;
    }
    let Some((major, minor)) = a_disk() else { return };
    let device = minke_model::runtime_spec::ThrottleDevice { major, minor, rate: 1 << 20 };
    let io = BlockIo {
        // A weight takes a scheduler that knows it.
        weight: f.cgroup.paths()["blkio"].join("blkio.bfq.weight").exists().then_some(200),
        throttle_read_bps_device: vec![device.clone()],
        throttle_write_iops_device: vec![device],
        ..BlockIo::default()
    };
    f.cgroup.apply(&Resources { block_io: Some(io), ..Resources::default() }).unwrap();
    let expected = format!("{major}:{minor} 1048576");
    assert_eq!(f.file("blkio", "blkio.throttle.read_bps_device").unwrap(), expected);
    assert_eq!(f.file("blkio", "blkio.throttle.write_iops_device").unwrap(), expected);
}

fn a_disk() -> Option<(i64, i64)> {
    let disks = fs::read_dir("/sys/block").ok()?.filter_map(Result::ok);
    let numbers = disks.filter_map(|disk| fs::read_to_string(disk.path().join("dev")).ok());
    numbers
        .filter_map(|text| {
            let (major, minor) = text.trim().split_once(':')?;
            Some((major.parse().ok()?, minor.parse().ok()?))
        })
        .next()
}

#[test]
fn roots_are_never_killed() {
    let layout = Layout::detect().unwrap();
    let mut roots: Vec<(String, PathBuf)> = layout
        .legacy
        .iter()
        .flat_map(|h| h.controllers.iter().map(|c| (c.name().to_owned(), h.mount_point.clone())))
        .collect();
    if layout.mode() == Mode::Unified {
        roots = vec![(String::new(), layout.unified.as_ref().unwrap().mount_point.clone())];
    }
    let cgroup = Cgroup::open(&roots.into_iter().collect()).unwrap();
    if Path::new("/proc/1/root").exists() {
        assert!(matches!(cgroup.kill_all(), Err(CgroupError::KillRoot { .. })));
    }
    assert!(matches!(Cgroup::create("/"), Err(CgroupError::Path { .. })));
    assert!(matches!(Cgroup::create("/a/../../b"), Err(CgroupError::Path { .. })));
}

/// Run with `--ignored --nocapture` to see what a container's cgroups cost, in medians.
#[test]
#[ignore = "prints a time; a figure, not a check"]
fn how_long_a_cgroup_takes() {
    let layout = Layout::detect().unwrap();
    let legacy_only = Layout { unified: None, ..layout.clone() };
    let mut layouts = vec![("all hierarchies", &layout)];
    if layout.mode() == Mode::Hybrid {
        layouts.push(("without version 2", &legacy_only));
    }
    let parent = format!("/minke-test-time-{}", std::process::id());
    let keep = Cgroup::create(&format!("{parent}/keep")).unwrap();
    for (name, layout) in layouts {
        let mut times: [Vec<Duration>; 3] = Default::default();
        for _ in 0..200 {
            let rounds = one_round(layout, &format!("{parent}/one"));
            times.iter_mut().zip(rounds).for_each(|(list, time)| list.push(time));
        }
        let [make, enter, remove] = times.map(|mut list| {
            list.sort_unstable();
            list[list.len() / 2]
        });
        println!("{name}: make {make:?}, enter {enter:?}, remove {remove:?}");
    }
    let begin = Instant::now();
    (0..100).for_each(|_| drop(Layout::detect().unwrap()));
    println!("detect: {:?}", begin.elapsed() / 100);
    keep.remove().unwrap();
    let parents: Vec<PathBuf> = keep.paths().values().map(|p| p.parent().unwrap().to_owned()).collect();
    Cgroup::remove_paths(&parents).unwrap();
}

fn one_round(layout: &Layout, name: &str) -> [Duration; 3] {
    let mut child = Command::new("sleep").arg("100").spawn().unwrap();
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    let begin = Instant::now();
    let cgroup = Cgroup::create_in(layout, name).unwrap();
    let made = Instant::now();
    cgroup.add_process(pid).unwrap();
    let entered = Instant::now();
    child.kill().unwrap();
    child.wait().unwrap();
    let ended = Instant::now();
    cgroup.remove().unwrap();
    [made - begin, entered - made, ended.elapsed()]
}
