//! Limits: HostConfig's resource fields checked as Docker checks them, and in the runtime's form.

use bollard_stubs::models::{HostConfig, ResourcesBlkioWeightDevice, ThrottleDevice};
use minke_model::runtime_spec::{self, BlockIo, Cpu, DeviceRule, Memory, Pids, Resources, WeightDevice};

use crate::Error;

/// Docker's smallest memory limit: less does not even start a shell.
const MINIMUM_MEMORY: i64 = 6 << 20;
/// The period that `--cpus` is a share of, in microseconds.
const PERIOD: i64 = 100_000;

/// What the host has, where limits depend on it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HostResources {
    /// Online CPUs.
    pub(crate) cpus: usize,
    /// The hierarchy of containers is cgroup v2.
    pub(crate) unified: bool,
}

/// Major and minor number of a block device's path.
pub(crate) type DeviceNumbers<'a> = &'a dyn Fn(&str) -> Result<(u32, u32), Error>;

/// Fills in what Docker derives at create time: swap is as much again as memory, if it isn't said.
pub(crate) fn adapt(host: &mut HostConfig, on: HostResources) {
    let memory = host.memory.unwrap_or(0);
    if memory > 0 && host.memory_swap.unwrap_or(0) == 0 {
        host.memory_swap = Some(memory.saturating_mul(2));
    }
    if memory > 0 && host.memory_reservation.is_none() {
        host.memory_reservation = Some(0);
    }
    // -1 is the clients' way of saying nothing.
    host.memory_swappiness = host.memory_swappiness.filter(|value| *value != -1);
    // cgroup v2 has no such switch, and Docker shows none there.
    host.oom_kill_disable = match on.unified {
        true => host.oom_kill_disable.filter(|off| *off),
        false => Some(host.oom_kill_disable.unwrap_or(false)),
    };
    if host.pids_limit.is_some_and(|limit| limit <= 0) {
        host.pids_limit = None;
    }
}

/// Refuses limits that contradict each other or this host.
///
/// # Errors
/// `InvalidParameter` with Docker's messages.
pub(crate) fn check(host: &HostConfig, on: HostResources) -> Result<(), Error> {
    let memory = host.memory.unwrap_or(0);
    let swap = host.memory_swap.unwrap_or(0);
    let reservation = host.memory_reservation.unwrap_or(0);
    let refuse = |message: &str| Err(Error::invalid(message));
    if host.shm_size.is_some_and(|size| size < 0) {
        return refuse("SHM size can not be less than 0");
    }
    if memory < 0 || reservation < 0 {
        return refuse("invalid memory limit: want a number of bytes, 0 for none");
    }
    if memory != 0 && memory < MINIMUM_MEMORY {
        return refuse("Minimum memory limit allowed is 6MB");
    }
    if memory > 0 && swap > 0 && swap < memory {
        return refuse("Minimum memoryswap limit should be larger than memory limit, see usage");
    }
    if memory == 0 && swap > 0 {
        return refuse("You should always set the Memory limit when using Memoryswap limit, see usage");
    }
    if reservation != 0 && reservation < MINIMUM_MEMORY {
        return refuse("Minimum memory reservation allowed is 6MB");
    }
    if memory > 0 && reservation > 0 && memory < reservation {
        return refuse("Minimum memory limit can not be less than memory reservation limit, see usage");
    }
    if let Some(swappiness) = host.memory_swappiness.filter(|value| *value != -1) {
        if !(0..=100).contains(&swappiness) {
            return Err(Error::invalid(format!(
                "Invalid value: {swappiness}, valid memory swappiness range is 0-100"
            )));
        }
        if on.unified {
            return refuse("MemorySwappiness can't be honoured: cgroup v2 has no swappiness");
        }
    }
    if on.unified && host.oom_kill_disable == Some(true) {
        return refuse("OomKillDisable can't be honoured: cgroup v2 always has the OOM killer");
    }
    check_cpu(host, on)?;
    if on.unified && (set(host.cpu_realtime_period) || set(host.cpu_realtime_runtime)) {
        return refuse(
            "CpuRealtimePeriod and CpuRealtimeRuntime can't be honoured: cgroup v2 has no real-time scheduling",
        );
    }
    if let Some(weight) = host.blkio_weight.filter(|weight| *weight != 0)
        && !(10..=1000).contains(&weight)
    {
        return refuse("Range of blkio weight is from 10 to 1000");
    }
    Ok(())
}

fn check_cpu(host: &HostConfig, on: HostResources) -> Result<(), Error> {
    let nano = host.nano_cpus.unwrap_or(0);
    let (period, quota) = (host.cpu_period.unwrap_or(0), host.cpu_quota.unwrap_or(0));
    if nano != 0 && (period != 0 || quota != 0) {
        let other = if period != 0 { "CPU Period" } else { "CPU Quota" };
        return Err(Error::invalid(format!("Conflicting options: Nano CPUs and {other} cannot both be set")));
    }
    let all = i64::try_from(on.cpus).unwrap_or(i64::MAX);
    if nano < 0 || nano > all.saturating_mul(1_000_000_000) {
        return Err(Error::invalid(format!(
            "range of CPUs is from 0.01 to {all}.00, as there are only {all} CPUs available"
        )));
    }
    if period != 0 && !(1000..=1_000_000).contains(&period) {
        return Err(Error::invalid(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
        ));
    }
    if quota > 0 && quota < 1000 {
        return Err(Error::invalid("CPU cfs quota can not be less than 1ms (i.e. 1000)"));
    }
    if host.cpu_shares.unwrap_or(0) < 0 {
        return Err(Error::invalid(format!(
            "invalid CPU shares ({}): value must be a positive integer",
            host.cpu_shares.unwrap_or(0)
        )));
    }
    Ok(())
}

/// Whether a container may have these processors and memory nodes. What it has already isn't looked at again: some may be
/// switched off by now.
///
/// # Errors
/// `InvalidParameter` in Docker's words.
pub(crate) fn check_cpusets(cpus: Option<&str>, nodes: Option<&str>) -> Result<(), Error> {
    check_cpuset("cpus", cpus.unwrap_or(""))?;
    check_cpuset("mems", nodes.unwrap_or(""))
}

/// A list of processors or memory nodes (cpuset(7)), all of which are there.
fn check_cpuset(name: &str, list: &str) -> Result<(), Error> {
    if list.is_empty() {
        return Ok(());
    }
    let wanted =
        cpuset(list).ok_or_else(|| Error::invalid(format!("Invalid value {list} for cpuset {name}")))?;
    let (directory, what) = if name == "cpus" { ("cpu", "CPUs") } else { ("node", "memory nodes") };
    // A kernel without NUMA has node 0 and no list.
    let online = std::fs::read_to_string(format!("/sys/devices/system/{directory}/online"));
    let online = online.unwrap_or_else(|_| "0".to_owned());
    let there = cpuset(online.trim()).unwrap_or_default();
    match wanted
        .iter()
        .all(|range| there.iter().any(|all| all.start() <= range.start() && range.end() <= all.end()))
    {
        true => Ok(()),
        false => Err(Error::invalid(format!(
            "Requested {what} are not available - requested {list}, available: {}",
            online.trim()
        ))),
    }
}

/// The ranges of such a list; `None` for anything else.
pub(crate) fn cpuset(list: &str) -> Option<Vec<std::ops::RangeInclusive<u32>>> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.parse().ok()?, last.parse().ok()?);
        (first <= last).then_some(first..=last)
    };
    list.split(',').map(range).collect()
}

/// The limits in the runtime's form, without device rules; `numbers` finds block devices.
///
/// # Errors
/// Those of `numbers`.
pub(crate) fn resources(host: &HostConfig, numbers: DeviceNumbers<'_>) -> Result<Resources, Error> {
    Ok(Resources {
        memory: memory(host),
        cpu: cpu(host),
        pids: host.pids_limit.map(|limit| Pids { limit: Some(if limit > 0 { limit } else { -1 }) }),
        block_io: block_io(host, numbers)?,
        ..Resources::default()
    })
}

fn memory(host: &HostConfig) -> Option<Memory> {
    let bytes = |value: Option<i64>| value.filter(|bytes| *bytes > 0);
    let memory = Memory {
        limit: bytes(host.memory),
        reservation: bytes(host.memory_reservation),
        swap: host.memory_swap.filter(|bytes| *bytes != 0),
        swappiness: host.memory_swappiness.and_then(|value| u64::try_from(value).ok()),
        disable_oom_killer: host.oom_kill_disable.filter(|off| *off),
        ..Memory::default()
    };
    (memory != Memory::default()).then_some(memory)
}

fn cpu(host: &HostConfig) -> Option<Cpu> {
    let positive =
        |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok()).filter(|value| *value > 0);
    let list = |value: &Option<String>| value.clone().filter(|list| !list.is_empty());
    let nano = host.nano_cpus.filter(|nano| *nano > 0);
    let cpu = Cpu {
        shares: positive(host.cpu_shares),
        quota: match nano {
            Some(nano) => Some(nano.saturating_mul(PERIOD) / 1_000_000_000),
            None => host.cpu_quota.filter(|quota| *quota != 0),
        },
        period: if nano.is_some() { Some(PERIOD.unsigned_abs()) } else { positive(host.cpu_period) },
        realtime_runtime: host.cpu_realtime_runtime.filter(|value| *value != 0),
        realtime_period: positive(host.cpu_realtime_period),
        cpus: list(&host.cpuset_cpus),
        mems: list(&host.cpuset_mems),
        ..Cpu::default()
    };
    (cpu != Cpu::default()).then_some(cpu)
}

fn block_io(host: &HostConfig, numbers: DeviceNumbers<'_>) -> Result<Option<BlockIo>, Error> {
    let throttle = |devices: &Option<Vec<ThrottleDevice>>| {
        let devices = devices.iter().flatten();
        devices.map(|device| throttle_device(device, numbers)).collect::<Result<Vec<_>, _>>()
    };
    let weights = host.blkio_weight_device.iter().flatten();
    let block_io = BlockIo {
        weight: host.blkio_weight.filter(|weight| *weight != 0),
        weight_device: weights.map(|device| weight_device(device, numbers)).collect::<Result<_, _>>()?,
        throttle_read_bps_device: throttle(&host.blkio_device_read_bps)?,
        throttle_write_bps_device: throttle(&host.blkio_device_write_bps)?,
        throttle_read_iops_device: throttle(&host.blkio_device_read_iops)?,
        throttle_write_iops_device: throttle(&host.blkio_device_write_iops)?,
        ..BlockIo::default()
    };
    Ok((block_io != BlockIo::default()).then_some(block_io))
}

fn throttle_device(
    device: &ThrottleDevice,
    numbers: DeviceNumbers<'_>,
) -> Result<runtime_spec::ThrottleDevice, Error> {
    let (major, minor) = numbers(device.path.as_deref().unwrap_or(""))?;
    let rate = u64::try_from(device.rate.unwrap_or(0))
        .map_err(|_| Error::invalid("invalid blkio rate: it is negative"))?;
    Ok(runtime_spec::ThrottleDevice { major: major.into(), minor: minor.into(), rate })
}

fn weight_device(
    device: &ResourcesBlkioWeightDevice,
    numbers: DeviceNumbers<'_>,
) -> Result<WeightDevice, Error> {
    let (major, minor) = numbers(device.path.as_deref().unwrap_or(""))?;
    let weight =
        device.weight.and_then(|weight| u16::try_from(weight).ok()).filter(|w| (10..=1000).contains(w));
    let weight = weight.ok_or_else(|| Error::invalid("Range of blkio weight is from 10 to 1000"))?;
    Ok(WeightDevice { major: major.into(), minor: minor.into(), weight: Some(weight), leaf_weight: None })
}

/// The device rules of every container: nothing but the harmless nodes, which it may also make.
pub(crate) fn default_device_rules() -> Vec<DeviceRule> {
    use minke_model::runtime_spec::DeviceType::{Block, Character};
    let rule = |kind, major, minor, access: &str| DeviceRule {
        allow: true,
        kind: Some(kind),
        major,
        minor,
        access: Some(access.to_owned()),
    };
    let mut rules = vec![
        DeviceRule { allow: false, access: Some("rwm".to_owned()), ..DeviceRule::default() },
        rule(Character, None, None, "m"),
        rule(Block, None, None, "m"),
    ];
    // null, zero, full, random, urandom; tty, console, ptmx; pts.
    for (major, minor) in [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2)] {
        rules.push(rule(Character, Some(major), Some(minor), "rwm"));
    }
    rules.push(rule(Character, Some(136), None, "rwm"));
    rules
}

/// Everything: for `--privileged`.
pub(crate) fn all_devices() -> Vec<DeviceRule> {
    vec![DeviceRule { allow: true, access: Some("rwm".to_owned()), ..DeviceRule::default() }]
}

fn set(value: Option<i64>) -> bool {
    value.is_some_and(|value| value != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: HostResources = HostResources { cpus: 2, unified: false };

    fn none(path: &str) -> Result<(u32, u32), Error> {
        if path == "/dev/sda" { Ok((8, 0)) } else { Err(Error::invalid(format!("no device {path}"))) }
    }

    #[test]
    fn an_unlimited_container_has_no_limits() {
        assert_eq!(resources(&HostConfig::default(), &none).unwrap(), Resources::default());
    }

    #[test]
    fn swap_is_as_much_again_as_memory() {
        let mut host = HostConfig { memory: Some(64 << 20), ..HostConfig::default() };
        adapt(&mut host, HOST);
        let memory = resources(&host, &none).unwrap().memory.unwrap();
        assert_eq!((memory.limit, memory.swap), (Some(64 << 20), Some(128 << 20)));
    }

    #[test]
    fn cpus_become_a_quota_of_100_milliseconds() {
        let host = HostConfig { nano_cpus: Some(1_500_000_000), ..HostConfig::default() };
        let cpu = resources(&host, &none).unwrap().cpu.unwrap();
        assert_eq!((cpu.quota, cpu.period), (Some(150_000), Some(100_000)));
    }

    #[test]
    fn pids_without_limit_are_minus_one_or_zero() {
        for limit in [0, -1] {
            let host = HostConfig { pids_limit: Some(limit), ..HostConfig::default() };
            assert_eq!(resources(&host, &none).unwrap().pids.unwrap().limit, Some(-1));
        }
        let host = HostConfig { pids_limit: Some(10), ..HostConfig::default() };
        assert_eq!(resources(&host, &none).unwrap().pids.unwrap().limit, Some(10));
    }

    #[test]
    fn block_devices_are_named_by_number() {
        let rates = vec![ThrottleDevice { path: Some("/dev/sda".into()), rate: Some(1024) }];
        let host = HostConfig { blkio_device_read_bps: Some(rates), ..HostConfig::default() };
        let device = &resources(&host, &none).unwrap().block_io.unwrap().throttle_read_bps_device[0];
        assert_eq!((device.major, device.minor, device.rate), (8, 0, 1024));
    }

    #[test]
    fn contradictions_are_refused_with_dockers_messages() {
        let host = |edit: fn(&mut HostConfig)| {
            let mut host = HostConfig::default();
            edit(&mut host);
            check(&host, HOST).unwrap_err().to_string()
        };
        assert!(host(|h| h.memory = Some(1 << 20)).contains("6MB"));
        assert!(host(|h| h.memory_swap = Some(1 << 30)).contains("always set the Memory limit"));
        assert!(host(|h| h.nano_cpus = Some(9_000_000_000)).contains("only 2 CPUs"));
        assert!(host(|h| (h.nano_cpus, h.cpu_quota) = (Some(1), Some(5000))).contains("Nano CPUs"));
        let cpus = |list| check_cpusets(Some(list), None).unwrap_err().to_string();
        assert_eq!(cpus("a"), "Invalid value a for cpuset cpus");
        assert_eq!(cpus("0-1,,"), "Invalid value 0-1,, for cpuset cpus");
        assert!(cpus("0,4000").starts_with("Requested CPUs are not available - requested 0,4000"));
        let nodes = check_cpusets(Some("0"), Some("42-3")).unwrap_err().to_string();
        assert_eq!(nodes, "Invalid value 42-3 for cpuset mems");
        assert!(host(|h| h.shm_size = Some(-1)).contains("SHM size"));
        assert!(host(|h| h.memory_swappiness = Some(101)).contains("0-100"));
        assert!(host(|h| h.blkio_weight = Some(5)).contains("10 to 1000"));
    }
}
