//! The engine's side of a container's supervisor: spawn it, find it again after an engine restart, talk to it.
//!
//! The protocol is [`minke_oci_runtime::supervise::protocol`]. One [`Supervisor`] is a cheap handle
//! that any number of tasks may share; each call is one connection, so calls never wait for each other.
#![forbid(unsafe_code)]

mod call;
mod clearing;
mod exit_record;
mod handle;
mod spawn;
mod waiting;

pub use minke_oci_runtime::supervise::protocol::{
    CollectorAddress, CollectorConfig, ExitRecord, Failure, FailureKind, FluentdFormat, LogConfig, LogPlace,
    NETNS_FD, Overflow, RecordFormat, Reply, Request, Retry, Streams, SupervisorConfig, SyslogForm,
    SyslogFormat, Target,
};

pub use self::{
    call::CallError,
    clearing::{ClearError, clear},
    exit_record::read_exit_record,
    handle::{ExecStarted, Status, Supervisor},
    spawn::{Inherit, SpawnError, Spawned},
    waiting::Waiting,
};
