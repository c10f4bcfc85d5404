//! cgroup v2's rdma controller: the file is that of v1.

pub(super) use super::super::v1::rdma::settings;
