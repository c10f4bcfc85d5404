//! `update`: change a running container's limits.

use std::{
    fs,
    io::{self, Read},
};

use anyhow::{Context, anyhow};
use minke_model::runtime_spec::{BlockIo, Cpu, Memory, Pids, Resources};
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
];

fn update(global: &Global, parsed: Parsed) -> anyhow::Result<u8> {
    let stored = find(global, &parsed)?;
    let resources = match parsed.path("resources") {
        Some(path) => read(&path)?,
        None => from_flags(&parsed)?,
    };
    let container = Container::attach(stored, None)?.ok_or_else(|| anyhow!("container not running"))?;
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
    let list = |name| parsed.text(name).map(|text| text.map(str::to_owned));
    let cpu = Cpu {
        shares: parsed.parsed("cpu-share")?,
        quota: parsed.parsed("cpu-quota")?,
        burst: parsed.parsed("cpu-burst")?,
        period: parsed.parsed("cpu-period")?,
        realtime_runtime: parsed.parsed("cpu-rt-runtime")?,
        realtime_period: parsed.parsed("cpu-rt-period")?,
        cpus: list("cpuset-cpus")?,
        mems: list("cpuset-mems")?,
        idle: parsed.parsed("cpu-idle")?,
    };
    let memory = Memory {
        limit: parsed.parsed("memory")?,
        reservation: parsed.parsed("memory-reservation")?,
        swap: parsed.parsed("memory-swap")?,
        ..Memory::default()
    };
    let block_io = BlockIo { weight: parsed.parsed("blkio-weight")?, ..BlockIo::default() };
    let pids = Pids { limit: parsed.parsed("pids-limit")? };
    Ok(Resources {
        cpu: (cpu != Cpu::default()).then_some(cpu),
        memory: (memory != Memory::default()).then_some(memory),
        block_io: (block_io != BlockIo::default()).then_some(block_io),
        pids: (pids != Pids::default()).then_some(pids),
        ..Resources::default()
    })
}
