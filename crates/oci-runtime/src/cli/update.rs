//! `update`: change a running container's limits.

use std::{
    fs,
    io::{self, Read},
    str::FromStr,
};

use anyhow::{Context, anyhow};
use minke_model::{
    quantity::parse_bytes,
    runtime_spec::{BlockIo, Cpu, IntelRdt, Memory, Pids, Resources},
};
use minke_oci_runtime::{config, container::Container};

use super::{
    Command, Global, find,
    flags::{Flag, Parsed},
};

pub(super) const COMMAND: Command = Command {
    name: "update",
    summary: "change a container's limits",
    operands: "<container-id>",
    count: 1..=1,
    flags: FLAGS,
    rest: None,
    sealed: false,
    run: update,
    failure: 1,
};

const FLAGS: &[Flag] = &[
    Flag::value("resources", Some('r'), "PATH", "a JSON file as linux.resources, or - for standard input"),
    Flag::value("blkio-weight", None, "N", "weight of block devices, 10 to 1000"),
    Flag::value("cpu-period", None, "US", "CPU period in microseconds"),
    Flag::value("cpu-quota", None, "US", "CPU time per period in microseconds"),
    Flag::value("cpu-burst", None, "US", "unused CPU time that may add up, in microseconds"),
    Flag::value("cpu-share", None, "N", "relative weight of CPU time"),
    Flag::value("cpu-rt-period", None, "US", "real-time CPU period in microseconds"),
    Flag::value("cpu-rt-runtime", None, "US", "real-time CPU time per period in microseconds"),
    Flag::value("cpuset-cpus", None, "LIST", "CPUs to use"),
    Flag::value("cpuset-mems", None, "LIST", "memory nodes to use"),
    Flag::value("memory", None, "BYTES", "memory limit"),
    Flag::value("cpu-idle", None, "N", "1: run only when nothing else wants the CPU"),
    Flag::value("memory-reservation", None, "BYTES", "soft memory limit"),
    Flag::value("memory-swap", None, "BYTES", "memory and swap together; -1 is unlimited"),
    Flag::value("pids-limit", None, "N", "number of tasks"),
    Flag::value("kernel-memory", None, "BYTES", "obsolete and ignored"),
    Flag::value("kernel-memory-tcp", None, "BYTES", "obsolete and ignored"),
    Flag::value("l3-cache-schema", None, "SCHEMA", "the line of L3 caches of Intel RDT"),
    Flag::value("mem-bw-schema", None, "SCHEMA", "the line of memory bandwidth of Intel RDT"),
];

fn update(global: &Global, parsed: Parsed) -> anyhow::Result<u8> {
    let stored = find(global, &parsed)?;
    let mut resources = match parsed.path("resources") {
        Some(path) => read(&path)?,
        None => from_flags(&parsed)?,
    };
    let line = |name| anyhow::Ok(parsed.text(name)?.filter(|text| !text.is_empty()).map(str::to_owned));
    let rdt = IntelRdt {
        l3_cache_schema: line("l3-cache-schema")?,
        mem_bw_schema: line("mem-bw-schema")?,
        ..IntelRdt::default()
    };
    // As runc: managers send the whole of a container's resources, and rules that a hook added must stay.
    resources.devices.clear();
    if parsed.has("kernel-memory") || parsed.has("kernel-memory-tcp") {
        global.log.warning("Kernel memory settings are ignored and will be removed");
    }
    let container = Container::attach(stored, None)?;
    let mut container = container.ok_or_else(|| anyhow!("container not running"))?;
    let what = match rdt.l3_cache_schema {
        Some(_) => "Intel RDT/CAT: l3 cache schema",
        None => "Intel RDT/MBA: memory bandwidth schema",
    };
    container.update_rdt(&rdt).context(what)?;
    container.update(&resources)?;
    Ok(0)
}

fn read(path: &std::path::Path) -> anyhow::Result<Resources> {
    let mut text = Vec::new();
    if path.as_os_str() == "-" {
        io::stdin().read_to_end(&mut text).context("read standard input")?;
    } else {
        text = fs::read(path).with_context(|| format!("read {}", path.display()))?;
    }
    config::resources(&text).with_context(|| path.display().to_string())
}

fn from_flags(parsed: &Parsed) -> anyhow::Result<Resources> {
    let list = |name| parsed.text(name).map(|text| text.filter(|text| !text.is_empty()).map(str::to_owned));
    let cpu = Cpu {
        shares: number(parsed, "cpu-share")?,
        quota: number(parsed, "cpu-quota")?,
        burst: number(parsed, "cpu-burst")?,
        period: number(parsed, "cpu-period")?,
        realtime_runtime: number(parsed, "cpu-rt-runtime")?,
        realtime_period: number(parsed, "cpu-rt-period")?,
        cpus: list("cpuset-cpus")?,
        mems: list("cpuset-mems")?,
        idle: number(parsed, "cpu-idle")?,
    };
    let memory = Memory {
        limit: bytes(parsed, "memory")?,
        reservation: bytes(parsed, "memory-reservation")?,
        swap: bytes(parsed, "memory-swap")?,
        ..Memory::default()
    };
    let block_io = BlockIo { weight: number(parsed, "blkio-weight")?, ..BlockIo::default() };
    let pids = Pids { limit: number(parsed, "pids-limit")? };
    Ok(Resources {
        cpu: (cpu != Cpu::default()).then_some(cpu),
        memory: (memory != Memory::default()).then_some(memory),
        block_io: (block_io != BlockIo::default()).then_some(block_io),
        pids: (pids != Pids::default()).then_some(pids),
        ..Resources::default()
    })
}

/// A number; an empty text is as good as none.
fn number<T: FromStr>(parsed: &Parsed, name: &str) -> anyhow::Result<Option<T>>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    let given = parsed.text(name)?.filter(|text| !text.is_empty());
    given.map(|text| text.parse().with_context(|| format!("invalid value for {name}: {text:?}"))).transpose()
}

/// A size with or without a unit (`64m`), or -1.
fn bytes(parsed: &Parsed, name: &str) -> anyhow::Result<Option<i64>> {
    match parsed.text(name)?.filter(|text| !text.is_empty()) {
        None => Ok(None),
        Some("-1") => Ok(Some(-1)),
        Some(text) => parse_bytes(text).map(Some).with_context(|| format!("invalid value for {name}")),
    }
}
