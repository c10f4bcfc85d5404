//! What /proc tells about one process, proc_pid_stat(5), proc_pid_status(5).

use std::{fs, io};

use time::OffsetDateTime;

/// Ticks per second in /proc; Linux has reported 100 to user space on every architecture for decades.
const TICKS: u64 = 100;

/// The clock that processes' times are relative to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    /// Seconds since boot.
    uptime: u64,
    /// When the host booted, seconds since 1970.
    boot: i64,
    /// Bytes of memory.
    memory: u64,
}

/// One process.
#[derive(Debug, Clone, Default)]
pub(super) struct ProcessInfo {
    pub(super) pid: i32,
    pub(super) ppid: i32,
    pub(super) pgid: i32,
    pub(super) sid: i32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) name: String,
    pub(super) command: String,
    pub(super) state: char,
    pub(super) tty: u32,
    pub(super) foreground: i32,
    pub(super) nice: i64,
    pub(super) priority: i64,
    pub(super) threads: i64,
    /// Ticks of CPU time.
    pub(super) cpu: u64,
    /// Ticks after boot.
    pub(super) started: u64,
    /// Bytes.
    pub(super) virtual_size: u64,
    pub(super) resident: u64,
    pub(super) locked: bool,
}

impl Clock {
    pub(super) fn read() -> io::Result<Self> {
        let uptime = fs::read_to_string("/proc/uptime")?;
        let uptime: u64 = uptime.split('.').next().and_then(|text| text.parse().ok()).unwrap_or(0);
        let meminfo = fs::read_to_string("/proc/meminfo")?;
        let memory = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
        let memory = memory.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(1);
        let boot = OffsetDateTime::now_utc().unix_timestamp() - i64::try_from(uptime).unwrap_or(0);
        Ok(Self { uptime, boot, memory: memory * 1024 })
    }

    /// Seconds that a process has lived.
    pub(super) fn age(&self, process: &ProcessInfo) -> u64 {
        self.uptime.saturating_sub(process.started / TICKS)
    }

    /// When it started.
    pub(super) fn started(&self, process: &ProcessInfo) -> OffsetDateTime {
        let seconds = self.boot + i64::try_from(process.started / TICKS).unwrap_or(0);
        OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }

    /// CPU time over lifetime, in tenths of a percent.
    pub(super) fn cpu_share(&self, process: &ProcessInfo) -> u64 {
        (process.cpu * 1000 / TICKS).checked_div(self.age(process)).unwrap_or(0)
    }

    /// Resident over all memory, in tenths of a percent.
    pub(super) fn memory_share(&self, process: &ProcessInfo) -> u64 {
        process.resident.saturating_mul(1000).checked_div(self.memory).unwrap_or(0)
    }
}

impl ProcessInfo {
    /// Seconds of CPU time.
    pub(super) fn cpu_seconds(&self) -> u64 {
        self.cpu / TICKS
    }

    /// Reads it; `None` when it has ended.
    pub(super) fn read(pid: i32) -> Option<Self> {
        let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        Self::parse(pid, &String::from_utf8_lossy(&stat), &status, &command)
    }

    fn parse(pid: i32, stat: &str, status: &str, command: &[u8]) -> Option<Self> {
        // The name is in parentheses and may contain anything.
        let (name, rest) =
            (stat.get(stat.find('(')? + 1..stat.rfind(')')?)?, stat.get(stat.rfind(')')? + 2..)?);
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number - 3).copied().unwrap_or("0");
        let number = |at: usize| field(at).parse::<i64>().unwrap_or(0);
        let positive = |at: usize| field(at).parse::<u64>().unwrap_or(0);
        let small = |at: usize| i32::try_from(number(at)).unwrap_or(0);
        let id = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key))?;
            line.split_whitespace().nth(1)?.parse::<u32>().ok()
        };
        let words: Vec<String> = command
            .split(|byte| *byte == 0)
            .filter(|word| !word.is_empty())
            .map(|word| String::from_utf8_lossy(word).replace(|c: char| c.is_control(), "?"))
            .collect();
        let locked = status
            .lines()
            .any(|line| line.strip_prefix("VmLck:").is_some_and(|rest| !rest.trim().starts_with('0')));
        Some(Self {
            pid,
            ppid: small(4),
            pgid: small(5),
            sid: small(6),
            uid: id("Uid:")?,
            gid: id("Gid:")?,
            name: name.to_owned(),
            command: if words.is_empty() { format!("[{name}]") } else { words.join(" ") },
            state: field(3).chars().next().unwrap_or('?'),
            tty: u32::try_from(number(7)).unwrap_or(0),
            foreground: small(8),
            nice: number(19),
            priority: number(18),
            threads: number(20),
            cpu: positive(14) + positive(15),
            started: positive(22),
            virtual_size: positive(23),
            resident: positive(24) * rustix::param::page_size() as u64,
            locked,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_do_not_confuse_the_reader() {
        let stat = "7 (a) b) R 1) S 1 7 7 34816 7 0 0 0 0 0 150 50 0 0 20 0 3 0 1000 4096 2 0";
        let info =
            ProcessInfo::parse(7, stat, "Uid:\t33\t34\t0\t0\nGid:\t5\t6\t0\t0\n", b"sh\0-c\0x\n\0").unwrap();
        assert_eq!((info.name.as_str(), info.ppid, info.state), ("a) b) R 1", 1, 'S'));
        assert_eq!((info.uid, info.gid, info.command.as_str()), (34, 6, "sh -c x?"));
        assert_eq!((info.cpu, info.threads, info.started), (200, 3, 1000));
    }

    #[test]
    fn this_process_can_be_read() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let info = ProcessInfo::read(pid).unwrap();
        assert!(info.resident > 0 && Clock::read().unwrap().age(&info) < 86_400);
    }
}
