//! Limits as properties of a unit (systemd.resource-control(5)), so that systemd, which writes the cgroup's
//! files anew at each reload, writes the same. What it has no property for is written to the files alone.

use minke_kernel::cgroup::{self, Mode};
use minke_model::runtime_spec::{Cpu, DeviceRule, DeviceType, Memory, Pids, Resources};

use super::wire::{Property, Value};

/// What a quota counts by if nothing else is said, in microseconds.
const DEFAULT_PERIOD: u64 = 100_000;

/// systemd's steps of CPU time: 1 %, in microseconds of a second.
const QUOTA_STEP: u64 = 10_000;

/// The host, as far as it decides about properties.
#[derive(Debug, Clone, Copy)]
pub(super) struct Host {
    pub(super) mode: Mode,
    /// systemd's version; 0 where it isn't known.
    pub(super) version: u32,
}

/// systemd counts CPU time in whole percents; the files get what it makes of a quota, else both would fight.
pub(super) fn round_quota(resources: &mut Resources) {
    let Some(cpu) = &mut resources.cpu else { return };
    if let Some(quota @ 1..) = cpu.quota {
        let period = cpu.period.filter(|period| *period != 0).unwrap_or(DEFAULT_PERIOD);
        cpu.quota = i64::try_from(u128::from(per_second(quota, period)) * u128::from(period) / 1_000_000)
            .ok()
            .or(cpu.quota);
    }
}

fn per_second(quota: i64, period: u64) -> u64 {
    let exact = u128::from(quota.unsigned_abs()) * 1_000_000 / u128::from(period.max(1));
    u64::try_from(exact).unwrap_or(u64::MAX - QUOTA_STEP).next_multiple_of(QUOTA_STEP)
}

/// All properties of these limits.
pub(super) fn of(resources: &Resources, host: Host) -> Vec<Property> {
    let mut properties = Vec::new();
    let mut add = |name: &str, value| properties.push((name.to_owned(), value));
    let unified = host.mode == Mode::Unified;
    if let Some(memory) = &resources.memory {
        self::memory(memory, unified, &mut add);
    }
    if let Some(cpu) = &resources.cpu {
        self::cpu(cpu, host, &mut add);
    }
    if let Some(pids) = &resources.pids {
        self::pids(pids, &mut add);
    }
    let weight = resources.block_io.as_ref().and_then(|io| io.weight).filter(|weight| *weight != 0);
    if let Some(weight) = weight.filter(|_| !unified) {
        add("BlockIOWeight", Value::U64(weight.into()));
    }
    if unified {
        for (file, value) in &resources.unified {
            self::unified(file, value.trim(), &mut add);
        }
    }
    properties.extend(devices(&resources.devices));
    properties
}

/// -1 is systemd's largest number too, which is its infinity.
fn amount(value: i64) -> Value {
    Value::U64(u64::try_from(value).unwrap_or(u64::MAX))
}

fn memory(memory: &Memory, unified: bool, add: &mut impl FnMut(&str, Value)) {
    let set = |value: Option<i64>| value.filter(|value| *value != 0);
    let limit = set(memory.limit);
    if let Some(limit) = limit {
        add(if unified { "MemoryMax" } else { "MemoryLimit" }, amount(limit));
    }
    if !unified {
        return;
    }
    if let Some(reservation) = set(memory.reservation) {
        add("MemoryLow", amount(reservation));
    }
    match (limit, set(memory.swap)) {
        (_, Some(..0)) | (Some(..0), None) => add("MemorySwapMax", Value::U64(u64::MAX)),
        // As in the files: what remains beyond memory. A contradiction is told where those are written.
        (Some(limit), Some(swap)) => add("MemorySwapMax", amount((swap - limit).max(0))),
        _ => {}
    }
}

fn cpu(cpu: &Cpu, host: Host, add: &mut impl FnMut(&str, Value)) {
    let idle = cpu.idle == Some(1) && host.version >= 252;
    if host.mode == Mode::Unified && idle {
        add("CPUWeight", Value::U64(0));
    } else if let Some(shares) = cpu.shares.filter(|shares| *shares != 0) {
        match host.mode {
            Mode::Unified => add("CPUWeight", Value::U64(cgroup::weight_from_shares(shares))),
            Mode::Legacy | Mode::Hybrid => add("CPUShares", Value::U64(shares)),
        }
    }
    let (quota, period) = (cpu.quota.filter(|quota| *quota != 0), cpu.period.filter(|period| *period != 0));
    if let Some(period) = period.filter(|_| host.version >= 242) {
        add("CPUQuotaPeriodUSec", Value::U64(period));
    }
    if quota.is_some() || period.is_some() {
        let value = match quota {
            Some(quota @ 1..) => per_second(quota, period.unwrap_or(DEFAULT_PERIOD)),
            _ => u64::MAX,
        };
        add("CPUQuotaPerSecUSec", Value::U64(value));
    }
    for (name, list) in [("AllowedCPUs", &cpu.cpus), ("AllowedMemoryNodes", &cpu.mems)] {
        let mask = list.as_deref().and_then(mask).filter(|_| host.version >= 244);
        if let Some(mask) = mask {
            add(name, Value::Bytes(mask));
        }
    }
}

/// A list like `0-2,7` as bits; None for an empty or wrong one.
fn mask(list: &str) -> Option<Vec<u8>> {
    let mut mask = Vec::new();
    for part in list.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        for number in first.parse::<u16>().ok()?..=last.parse::<u16>().ok()? {
            let at = usize::from(number / 8);
            if mask.len() <= at {
                mask.resize(at + 1, 0);
            }
            mask[at] |= 1 << (number % 8);
        }
    }
    (!mask.is_empty()).then_some(mask)
}

fn pids(pids: &Pids, add: &mut impl FnMut(&str, Value)) {
    if let Some(limit) = pids.limit {
        add("TasksMax", if limit > 0 { amount(limit) } else { Value::U64(u64::MAX) });
    }
}

/// The settings of the `unified` map that are properties too.
fn unified(file: &str, value: &str, add: &mut impl FnMut(&str, Value)) {
    let number = || if value == "max" { Some(u64::MAX) } else { value.parse().ok() };
    let named = match file {
        "memory.high" => "MemoryHigh",
        "memory.low" => "MemoryLow",
        "memory.min" => "MemoryMin",
        "memory.max" => "MemoryMax",
        "memory.swap.max" => "MemorySwapMax",
        "pids.max" => "TasksMax",
        "cpu.weight" => "CPUWeight",
        "cpuset.cpus" | "cpuset.mems" => {
            let name = if file == "cpuset.cpus" { "AllowedCPUs" } else { "AllowedMemoryNodes" };
            if let Some(mask) = mask(value) {
                add(name, Value::Bytes(mask));
            }
            return;
        }
        "cpu.max" => {
            let mut words = value.split_whitespace();
            let quota = words.next().and_then(|word| word.parse::<i64>().ok());
            let period = words.next().and_then(|word| word.parse().ok()).unwrap_or(DEFAULT_PERIOD);
            add("CPUQuotaPeriodUSec", Value::U64(period));
            add("CPUQuotaPerSecUSec", Value::U64(quota.map_or(u64::MAX, |quota| per_second(quota, period))));
            return;
        }
        _ => return,
    };
    if let Some(number) = number() {
        add(named, Value::U64(number));
    }
}

/// The device list, where it is one that systemd can hold: everything denied, then single permissions. Any
/// other list is left to the files (v1) or to the program that the runtime attaches (v2), which has the
/// last word anyway.
fn devices(rules: &[DeviceRule]) -> Vec<Property> {
    let total = |rule: &DeviceRule| {
        let wide = |number: Option<i64>| number.is_none_or(|number| number < 0);
        let access = rule.access.as_deref().unwrap_or("rwm");
        rule.kind.is_none_or(|kind| kind == DeviceType::All)
            && wide(rule.major)
            && wide(rule.minor)
            && ["r", "w", "m"].iter().all(|letter| access.contains(letter))
    };
    let Some((first, rest)) = rules.split_first() else { return Vec::new() };
    if first.allow || !total(first) {
        return Vec::new();
    }
    let entries: Option<Vec<_>> = rest.iter().map(entries).collect();
    let Some(entries) = entries else { return Vec::new() };
    vec![
        ("DevicePolicy".to_owned(), Value::Text("strict".to_owned())),
        // An empty list takes back what was allowed before.
        ("DeviceAllow".to_owned(), Value::Pairs(Vec::new())),
        ("DeviceAllow".to_owned(), Value::Pairs(entries.concat())),
    ]
}

/// One rule as systemd spells it; None for one that it has no words for.
fn entries(rule: &DeviceRule) -> Option<Vec<(String, String)>> {
    if !rule.allow {
        return None;
    }
    let kinds = match rule.kind {
        Some(DeviceType::Block) => vec!["block"],
        Some(DeviceType::Character) => vec!["char"],
        Some(DeviceType::All) | None => vec!["block", "char"],
        Some(DeviceType::Fifo) => return None,
    };
    let access = rule.access.clone().unwrap_or_else(|| "rwm".to_owned());
    let number = |number: Option<i64>| number.filter(|number| *number >= 0);
    let name = |kind: &str| match (number(rule.major), number(rule.minor)) {
        (Some(major), Some(minor)) => Some(format!("/dev/{kind}/{major}:{minor}")),
        (Some(major), None) => Some(format!("{kind}-{major}")),
        (None, None) => Some(format!("{kind}-*")),
        (None, Some(_)) => None,
    };
    kinds.into_iter().map(|kind| Some((name(kind)?, access.clone()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: Host = Host { mode: Mode::Unified, version: 252 };

    fn value(resources: &Resources, name: &str) -> Option<Value> {
        of(resources, HOST).into_iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    #[test]
    fn a_quota_is_rounded_up_to_whole_percents_in_both_places() {
        let cpu = Cpu { quota: Some(12_345), period: Some(100_000), ..Cpu::default() };
        let mut resources = Resources { cpu: Some(cpu), ..Resources::default() };
        assert_eq!(value(&resources, "CPUQuotaPerSecUSec"), Some(Value::U64(130_000)));
        round_quota(&mut resources);
        assert_eq!(resources.cpu.as_ref().unwrap().quota, Some(13_000));
        assert_eq!(value(&resources, "CPUQuotaPerSecUSec"), Some(Value::U64(130_000)));
        resources.cpu = Some(Cpu { quota: Some(-1), ..Cpu::default() });
        assert_eq!(value(&resources, "CPUQuotaPerSecUSec"), Some(Value::U64(u64::MAX)));
    }

    #[test]
    fn swap_is_what_remains_beyond_memory_and_minus_one_is_unlimited() {
        let memory = |limit, swap| Resources {
            memory: Some(Memory { limit, swap, ..Memory::default() }),
            ..Resources::default()
        };
        assert_eq!(value(&memory(Some(100), Some(300)), "MemorySwapMax"), Some(Value::U64(200)));
        assert_eq!(value(&memory(Some(-1), None), "MemoryMax"), Some(Value::U64(u64::MAX)));
        assert_eq!(value(&memory(Some(100), None), "MemorySwapMax"), None);
    }

    #[test]
    fn cpu_lists_become_bits() {
        assert_eq!(mask("0-2,9"), Some(vec![0b111, 0b10]));
        assert_eq!(mask(" 1 ,"), Some(vec![0b10]));
        for bad in ["", "x", "1-x", "70000"] {
            assert_eq!(mask(bad), None, "{bad}");
        }
    }

    #[test]
    fn only_a_list_of_permissions_after_a_total_denial_is_given_to_systemd() {
        let deny = DeviceRule { allow: false, access: Some("rwm".into()), ..DeviceRule::default() };
        let null = DeviceRule {
            allow: true,
            kind: Some(DeviceType::Character),
            major: Some(1),
            minor: Some(3),
            access: Some("rw".into()),
        };
        let all = DeviceRule { allow: true, kind: Some(DeviceType::Character), ..DeviceRule::default() };
        let properties = devices(&[deny.clone(), null.clone(), all]);
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(properties[2].1, Value::Pairs(vec![pair("/dev/char/1:3", "rw"), pair("char-*", "rwm")]));
        assert!(devices(std::slice::from_ref(&null)).is_empty());
        assert!(devices(&[deny, DeviceRule { allow: false, ..null }]).is_empty());
    }
}
