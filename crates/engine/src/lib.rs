//! The engine: owner of every container, image, volume and network of this host.
//!
//! One [`Engine`] is a cheap handle; the Docker API, and later Compose, Swarm and the kubelet's face, are its
//! callers. Each container is an actor (a task with a mailbox) around a pure state machine.
//!
//! ```text
//!  create ─▶ spec, volumes checked ─▶ engine.db (1 commit) ─▶ actor
//!  start  ─▶ actor ─▶ network namespace ∥ bundle ─▶ supervisor: created ─▶ waiting clients wired ─▶
//! program runs
//!  exit   ─▶ supervisor's record ─▶ actor ─▶ network released ─▶ waits answered ─▶ restart policy or --rm
//! ```
//! What an API call acknowledged is durable; starting and ending cost no disk sync (see
//! `container::record`). The engine may be
//! killed at any time: containers run on under their supervisors, and the next engine finds them (see
//! `engine::open`).

#![forbid(unsafe_code)]

mod attach;
mod build;
mod config;
mod container;
mod defaults;
mod detach_keys;
mod disk;
mod engine;
mod error;
mod events;
mod exec;
mod files;
mod filters;
mod frames;
mod host;
mod images;
mod logs;
mod metrics;
mod networks;
mod options;
mod pipes;
mod random;
mod rootfs;
mod session;
mod settings;
mod signals;
mod spec;
mod stats;
mod store;
mod system;
mod time_text;
mod top;
mod volumes;

pub use minke_distribution::{Credentials, ProxySettings, RegistrySettings};
pub use minke_supervisor::Streams;

pub use crate::{
    build::{
        StepExit, StepMount, StepMountKind, StepNetwork, StepSpec, StepStream, Workspace, layers_root,
        owner_in,
    },
    config::{AddressPool, DefaultBridge, EngineConfig, IpNet, NetworkDefaults},
    container::Waiter,
    defaults::ContainerDefaults,
    engine::Engine,
    error::{Error, ErrorKind, OpenError},
    filters::Filters,
    images::{PullOptions, PushOptions, TransferEvent, TransferStream},
    metrics::{
        BOUNDS, BlockIo, ContainerStates, ContainerUsage, Counts, CpuUse, Durations, DurationsSnapshot,
        EngineFacts, Health, MemoryUse, NetworkUse, Use,
    },
    options::{
        AttachOptions, ByteStream, Changed, CommitOptions, EventStream, EventsOptions, ExecStart,
        ImageListOptions, ImportOptions, ListOptions, LoadEvent, LoadStream, Logs, LogsOptions, PathStat,
        PutOptions, RemoveOptions, WaitCondition,
    },
    session::AttachSession,
    settings::{BuildSettings, RuntimeProgram, Settings},
    time_text::until as time_before,
    volumes::{Seen as LayersAt, seen as layers_at},
};
