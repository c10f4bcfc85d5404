//! `RUN` and its flags.

use super::{CommandLine, Heredoc};

/// `RUN`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// What to run. Never expanded: the shell does that.
    pub command: CommandLine,
    /// Here-documents of a shell line. Where the line is nothing but one (`RUN <<EOF`), its content is the script.
    pub heredocs: Vec<Heredoc>,
    /// `--mount`, in order.
    pub mounts: Vec<MountFlag>,
    /// `--network`.
    pub network: NetworkMode,
    /// `--security`.
    pub security: SecurityMode,
    /// `--device`, in order.
    pub devices: Vec<Device>,
}

/// A `--mount` as written. Its values may hold variables, so it is read when they are known:
/// [`crate::evaluate::Mount`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountFlag {
    /// Everything after `--mount=`.
    pub text: String,
    /// `from=`, which is known before anything is built. Never with variables.
    pub from: Option<String>,
}

/// `RUN --network`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum NetworkMode {
    /// What the whole build was given.
    #[default]
    Default,
    /// Only a loopback device.
    None,
    /// The host's. Needs the entitlement `network.host`.
    Host,
}

/// `RUN --security`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SecurityMode {
    /// Confined.
    #[default]
    Sandbox,
    /// Everything allowed. Needs the entitlement `security.insecure`.
    Insecure,
}

/// `RUN --device`: a device of the Container Device Interface. Needs the entitlement `device`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// `vendor.com/class=name`, or the class alone.
    pub name: String,
    /// Whether the build fails without it.
    pub required: bool,
}
