//! cgroup v2's pids controller: the files are those of v1.

pub(super) use super::super::v1::pids::{read_stats, settings};
