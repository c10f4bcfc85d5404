//! The instructions of a stage.

use minke_model::image_config::Healthcheck;

use super::{Lines, Run};

/// One instruction after a `FROM`.
#[derive(Debug, Clone, PartialEq)]
pub struct Instruction {
    /// Its name as written (`RUN`, `run`, `Run`).
    pub keyword: String,
    /// The whole of it on one line: continuations joined, without here-documents. What progress shows.
    pub code: String,
    /// From its first line to its last, here-documents included.
    pub lines: Lines,
    /// The comments directly above.
    pub comments: Vec<String>,
    /// What it asks for.
    pub kind: Kind,
}

/// What an instruction asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// `ADD`.
    Add(Add),
    /// `ARG`: names, and defaults that may hold variables.
    Arg(Vec<Argument>),
    /// `CMD`.
    Cmd(CommandLine),
    /// `COPY`.
    Copy(Copy),
    /// `ENTRYPOINT`.
    Entrypoint(CommandLine),
    /// `ENV`. Names and values may hold variables.
    Env(Vec<Pair>),
    /// `EXPOSE`, sorted. Each may hold variables and become several.
    Expose(Vec<String>),
    /// `HEALTHCHECK`; `NONE` is the test `["NONE"]`.
    Healthcheck(Healthcheck),
    /// `LABEL`. Names and values may hold variables.
    Label(Vec<Pair>),
    /// `MAINTAINER`.
    Maintainer(String),
    /// `ONBUILD`: the instruction to trigger, with its here-documents, as an image's configuration keeps it.
    OnBuild(String),
    /// `RUN`.
    Run(Run),
    /// `SHELL`, never empty.
    Shell(Vec<String>),
    /// `STOPSIGNAL`. May hold variables.
    StopSignal(String),
    /// `USER`. May hold variables.
    User(String),
    /// `VOLUME`. Each may hold variables.
    Volume(Vec<String>),
    /// `WORKDIR`. May hold variables.
    Workdir(String),
}

impl Kind {
    /// The instruction's name in capitals.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Add(_) => "ADD",
            Self::Arg(_) => "ARG",
            Self::Cmd(_) => "CMD",
            Self::Copy(_) => "COPY",
            Self::Entrypoint(_) => "ENTRYPOINT",
            Self::Env(_) => "ENV",
            Self::Expose(_) => "EXPOSE",
            Self::Healthcheck(_) => "HEALTHCHECK",
            Self::Label(_) => "LABEL",
            Self::Maintainer(_) => "MAINTAINER",
            Self::OnBuild(_) => "ONBUILD",
            Self::Run(_) => "RUN",
            Self::Shell(_) => "SHELL",
            Self::StopSignal(_) => "STOPSIGNAL",
            Self::User(_) => "USER",
            Self::Volume(_) => "VOLUME",
            Self::Workdir(_) => "WORKDIR",
        }
    }
}

/// `ARG name[=default]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Argument {
    /// The name. May hold variables, as Docker has it.
    pub name: String,
    /// The default, with its quotes. May hold variables.
    pub default: Option<String>,
    /// What a comment directly above says of it: `# NAME text`.
    pub description: Option<String>,
}

/// A name and its value in `ENV` and `LABEL`, with their quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// Before `=`.
    pub name: String,
    /// After it.
    pub value: String,
    /// Whether a space stands for `=` (the old form, with one pair only).
    pub is_legacy: bool,
}

/// What to run: a program with arguments, or a line for the shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandLine {
    /// A JSON array, run as it is.
    Exec(Vec<String>),
    /// Anything else, an argument of the shell.
    Shell(String),
}

/// A here-document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heredoc {
    /// The word that ends it, without quotes.
    pub name: String,
    /// The file descriptor before `<<`; 0 without one.
    pub descriptor: u32,
    /// Whether variables in it are expanded: no part of the word is quoted.
    pub expands: bool,
    /// `<<-`: leading tabs don't count.
    pub strips_tabs: bool,
    /// Its lines as they are, tabs and line endings included.
    pub content: String,
}

impl Heredoc {
    /// The content without the leading tabs that `<<-` asks to strip.
    pub fn text(&self) -> String {
        if !self.strips_tabs {
            return self.content.clone();
        }
        self.content.split_inclusive('\n').map(|line| line.trim_start_matches('\t')).collect()
    }
}

/// Which files go where, in `ADD` and `COPY`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// Paths, patterns, and for `ADD` URLs and repositories. May hold variables.
    pub sources: Vec<String>,
    /// Files whose content is in the Dockerfile.
    pub inline: Vec<Heredoc>,
    /// Where to. May hold variables.
    pub destination: String,
}

/// `ADD`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Add {
    /// What and where to.
    pub files: Files,
    /// `--chown`. May hold variables.
    pub chown: Option<String>,
    /// `--chmod`, octal or symbolic. May hold variables.
    pub chmod: Option<String>,
    /// `--checksum` of the one remote source. May hold variables.
    pub checksum: Option<String>,
    /// `--exclude`, in order.
    pub exclude: Vec<String>,
    /// `--keep-git-dir`, as far as it was given.
    pub keep_git_dir: Option<bool>,
    /// `--unpack`, as far as it was given: by default local archives are unpacked and remote ones aren't.
    pub unpack: Option<bool>,
    /// `--link`: a layer that doesn't depend on those below it.
    pub link: bool,
}

/// `COPY`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// What and where to.
    pub files: Files,
    /// `--from`: a stage by name or number, an image, or a named context. Never with variables.
    pub from: Option<String>,
    /// `--chown`. May hold variables.
    pub chown: Option<String>,
    /// `--chmod`, octal or symbolic. May hold variables.
    pub chmod: Option<String>,
    /// `--exclude`, in order.
    pub exclude: Vec<String>,
    /// `--parents`: the sources' folders are kept below the destination.
    pub parents: bool,
    /// `--link`: a layer that doesn't depend on those below it.
    pub link: bool,
}
