//! Steps: what an executor carries out, with nothing left to look up or expand.

use std::sync::Arc;

use minke_model::{Digest, image_config::HistoryRecord};

use crate::{
    ast::{Device, Lines, NetworkMode, SecurityMode},
    plan::Origin,
};

/// One instruction, ready to be carried out.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// As progress shows it: `[builder 2/5] RUN make`. Values of secrets are masked.
    pub title: String,
    /// The instruction as written, on one line.
    pub code: String,
    /// Where it stands.
    pub lines: Lines,
    /// What it does to files.
    pub action: Action,
    /// Its entry in the image's history; `ONBUILD` leaves none.
    pub history: Option<HistoryRecord>,
}

/// What a step does to files. Each but [`Action::Nothing`] is a layer.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// It changes the configuration only.
    Nothing,
    /// It runs a program.
    Run(Box<RunStep>),
    /// It copies files.
    Copy(Box<CopyStep>),
    /// It makes a folder, with those above it, if there is none (`WORKDIR`).
    MakeDirectory(MakeDirectory),
}

/// A folder to make. Mode 0755.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MakeDirectory {
    /// Its absolute path.
    pub path: String,
    /// `user[:group]`, names or numbers, it belongs to; root when empty.
    pub user: String,
}

/// A program to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunStep {
    /// The program and its arguments, the shell included.
    pub arguments: Vec<String>,
    /// The environment in order: the image's, and the arguments in scope.
    pub environment: Arc<Vec<(String, String)>>,
    /// More environment that is no part of what the step is cached by: `HTTP_PROXY` and its like. It doesn't replace.
    pub proxies: Vec<(String, String)>,
    /// The working directory.
    pub directory: String,
    /// `user[:group]`, names or numbers; root when empty.
    pub user: String,
    /// What is mounted while it runs.
    pub mounts: Vec<Mount>,
    /// `--network`.
    pub network: NetworkMode,
    /// `--security`.
    pub security: SecurityMode,
    /// `--device`.
    pub devices: Vec<Device>,
    /// A here-document with `#!`, which is itself the program.
    pub script: Option<InlineScript>,
}

/// A file that exists while the program runs, in a read-only folder. Mode 0755.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InlineScript {
    /// The folder, `/dev/pipes/`.
    pub directory: String,
    /// The file's name in it.
    pub name: String,
    /// What is in it.
    pub content: String,
}

/// A mount while a program runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Where, absolute and not `/`. A secret that is only a variable has none; an ssh socket without one is anywhere.
    pub target: Option<String>,
    /// Whether nothing may be written. What is written to a bind mount never becomes part of a layer.
    pub read_only: bool,
    /// What.
    pub kind: MountKind,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountKind {
    /// Files of the context, a stage or an image.
    Bind {
        /// From where.
        from: Origin,
        /// The absolute path there.
        source: String,
    },
    /// A folder that outlives builds.
    Cache {
        /// Which: builds with the same id share it.
        id: String,
        /// What it holds at first; [`Origin::Scratch`] for nothing.
        from: Origin,
        /// The absolute path there.
        source: String,
        /// Who may use it at the same time.
        sharing: Sharing,
        /// Whose it is when it is made, and its mode; root's and 0755 by default.
        owner: Owner,
    },
    /// Memory.
    Tmpfs {
        /// How many bytes at most, 0 for the kernel's default.
        size: u64,
    },
    /// A secret of the client.
    Secret {
        /// Which.
        id: String,
        /// The environment variable that holds it.
        environment: Option<String>,
        /// Whether the step fails without it.
        required: bool,
        /// Whose the file is, and its mode; root's and 0400 by default.
        owner: Owner,
    },
    /// The client's ssh agent.
    Ssh {
        /// Which, `default`.
        id: String,
        /// Whether the step fails without it.
        required: bool,
        /// Whose the socket is, and its mode; root's and 0600 by default.
        owner: Owner,
    },
}

/// `uid=`, `gid=` and `mode=` of a mount, as far as they were given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Owner {
    /// The user.
    pub uid: Option<u32>,
    /// The group.
    pub gid: Option<u32>,
    /// The mode.
    pub mode: Option<u32>,
}

/// Who may use a cache at the same time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sharing {
    /// Everybody.
    #[default]
    Shared,
    /// Everybody who comes while it is in use gets another.
    Private,
    /// One after the other.
    Locked,
}

/// Files to copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyStep {
    /// `ADD` rather than `COPY`.
    pub is_add: bool,
    /// From where, in order.
    pub sources: Vec<CopySource>,
    /// Where to: absolute. A folder when it ends in `/` or `/.`, or exists as one, or several files are copied.
    pub destination: String,
    /// `--chown`, names or numbers; root without it.
    pub chown: Option<String>,
    /// `--chmod`.
    pub chmod: Option<Chmod>,
    /// `--exclude`, patterns as in `.dockerignore` relative to each source.
    pub exclude: Vec<String>,
    /// `--link`.
    pub link: bool,
}

/// One source of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopySource {
    /// Files of the context, a stage or an image.
    Path(PathSource),
    /// A file to download.
    Http(HttpSource),
    /// A repository to clone.
    Git(GitSource),
    /// A file whose content is in the Dockerfile. Mode 0644.
    Inline {
        /// Its name.
        name: String,
        /// What is in it, variables expanded.
        content: String,
    },
}

/// Files by path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathSource {
    /// From where.
    pub from: Origin,
    /// The absolute path there, with `*`, `?` and `[…]` as patterns. Links on the way are followed within the origin.
    pub path: String,
    /// With `--parents`: the pattern below `path` whose folders are kept at the destination.
    pub parents: Option<String>,
    /// Whether it must exist: it has no wildcards.
    pub must_exist: bool,
    /// Whether an archive is unpacked rather than copied.
    pub unpack: bool,
}

/// A download.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpSource {
    /// From where.
    pub url: String,
    /// The file's name in a destination that is a folder.
    pub file_name: String,
    /// What it must hash to.
    pub checksum: Option<Digest>,
    /// Whether an archive is unpacked rather than copied.
    pub unpack: bool,
}

/// A repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GitSource {
    /// The URL without fragment and query.
    pub remote: String,
    /// A branch, a tag or a commit; the remote's HEAD when empty.
    pub reference: String,
    /// The folder in it that is copied; all when empty.
    pub directory: String,
    /// The commit, or its beginning, that it must be.
    pub checksum: Option<String>,
    /// Whether `.git` is copied too.
    pub keep_git_dir: bool,
    /// Whether submodules are fetched.
    pub submodules: bool,
    /// Whether files get the time of the commit rather than that of the checkout.
    pub commit_time: bool,
    /// Whether `checksum` is fetched rather than compared with what `reference` is.
    pub fetch_by_commit: bool,
}

/// `--chmod`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chmod {
    /// Exactly this, up to 0o7777.
    Octal(u32),
    /// `u=rwX,go-w`, by [`Chmod::apply`].
    Symbolic(String),
}
