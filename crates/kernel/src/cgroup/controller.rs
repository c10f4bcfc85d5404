//! The kernel's cgroup controllers that containers use, and sets of them.

/// One controller, under its cgroup v1 name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Controller {
    /// CPU time.
    Cpu,
    /// CPU accounting; part of `cpu` in v2.
    Cpuacct,
    /// CPUs and memory nodes.
    Cpuset,
    /// Memory.
    Memory,
    /// Access to devices; a BPF program in v2.
    Devices,
    /// Freezing; part of every cgroup in v2.
    Freezer,
    /// Block devices; named `io` in v2.
    Blkio,
    /// Number of tasks.
    Pids,
    /// Huge pages.
    Hugetlb,
    /// Network class; v1 only.
    NetCls,
    /// Network priorities; v1 only.
    NetPrio,
    /// Grouping for perf.
    PerfEvent,
    /// RDMA resources.
    Rdma,
    /// Resources without a controller of their own.
    Misc,
}

impl Controller {
    const ALL: [Controller; 14] = [
        Controller::Cpu,
        Controller::Cpuacct,
        Controller::Cpuset,
        Controller::Memory,
        Controller::Devices,
        Controller::Freezer,
        Controller::Blkio,
        Controller::Pids,
        Controller::Hugetlb,
        Controller::NetCls,
        Controller::NetPrio,
        Controller::PerfEvent,
        Controller::Rdma,
        Controller::Misc,
    ];

    /// The name in cgroup v1's mount options and in /proc/self/cgroup.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Controller::Cpu => "cpu",
            Controller::Cpuacct => "cpuacct",
            Controller::Cpuset => "cpuset",
            Controller::Memory => "memory",
            Controller::Devices => "devices",
            Controller::Freezer => "freezer",
            Controller::Blkio => "blkio",
            Controller::Pids => "pids",
            Controller::Hugetlb => "hugetlb",
            Controller::NetCls => "net_cls",
            Controller::NetPrio => "net_prio",
            Controller::PerfEvent => "perf_event",
            Controller::Rdma => "rdma",
            Controller::Misc => "misc",
        }
    }

    /// The controller with this name in cgroup v1.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Controller> {
        Controller::ALL.into_iter().find(|controller| controller.name() == name)
    }

    /// The name in cgroup v2's `cgroup.controllers`.
    #[must_use]
    pub fn unified_name(self) -> &'static str {
        match self {
            Controller::Blkio => "io",
            other => other.name(),
        }
    }
}

impl std::fmt::Display for Controller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of controllers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Controllers(u16);

impl Controllers {
    /// Whether `controller` is in the set.
    #[must_use]
    pub fn contains(self, controller: Controller) -> bool {
        self.0 & 1 << controller as u16 != 0
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Adds one.
    pub fn insert(&mut self, controller: Controller) {
        self.0 |= 1 << controller as u16;
    }

    /// Those in the set.
    pub fn iter(self) -> impl Iterator<Item = Controller> {
        Controller::ALL.into_iter().filter(move |controller| self.contains(*controller))
    }
}

impl FromIterator<Controller> for Controllers {
    fn from_iter<T: IntoIterator<Item = Controller>>(iter: T) -> Self {
        let mut set = Controllers::default();
        for controller in iter {
            set.insert(controller);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_controller_is_found_by_its_name() {
        for controller in Controller::ALL {
            assert_eq!(Controller::from_name(controller.name()), Some(controller));
        }
        assert_eq!(Controller::from_name("io"), None);
    }

    #[test]
    fn a_set_holds_what_was_put_in() {
        let set: Controllers = [Controller::Misc, Controller::Cpu].into_iter().collect();
        assert_eq!(set.iter().collect::<Vec<_>>(), [Controller::Cpu, Controller::Misc]);
        assert!(Controllers::default().is_empty());
    }
}
