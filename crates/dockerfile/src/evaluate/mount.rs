//! `RUN --mount=…`, once its variables are known.

use std::str::FromStr;

use minke_model::quantity::parse_bytes;

use super::{
    Mount, MountKind, Owner, Sharing,
    stage::{At, Evaluation},
};
use crate::{
    ast::{MountFlag, Run},
    csv,
    diagnostic::Diagnostic,
    paths,
    plan::Origin,
    quote::quoted,
    suggest,
};

const TYPES: [&str; 5] = ["bind", "cache", "tmpfs", "secret", "ssh"];
const SHARINGS: [&str; 3] = ["shared", "private", "locked"];
const KEYS: [&str; 19] = [
    "type",
    "from",
    "source",
    "target",
    "readonly",
    "id",
    "sharing",
    "required",
    "size",
    "mode",
    "uid",
    "gid",
    "src",
    "dst",
    "destination",
    "ro",
    "rw",
    "readwrite",
    "env",
];

/// What a flag says, key by key.
#[derive(Default)]
struct Read {
    kind: Kind,
    source: String,
    target: String,
    id: String,
    sharing: Option<Sharing>,
    read_only: Option<bool>,
    required: bool,
    size: u64,
    environment: Option<String>,
    owner: Owner,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Kind {
    #[default]
    Bind,
    Cache,
    Tmpfs,
    Secret,
    Ssh,
}

impl Kind {
    fn name(self) -> &'static str {
        TYPES[self as usize]
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text.to_lowercase().as_str() {
            "bind" => Self::Bind,
            "cache" => Self::Cache,
            "tmpfs" => Self::Tmpfs,
            "secret" => Self::Secret,
            "ssh" => Self::Ssh,
            _ => {
                return Err(format!("unsupported mount type {}{}", quoted(text), suggest::hint(text, TYPES)));
            }
        })
    }
}

/// The mounts of an instruction.
pub(super) fn read(stage: &mut Evaluation<'_>, at: At<'_>, run: &Run) -> Result<Vec<Mount>, Diagnostic> {
    let mut mounts = Vec::with_capacity(run.mounts.len());
    for (flag, origin) in run.mounts.iter().zip(&at.planned.origins) {
        let fields = csv::fields(&flag.text)
            .map_err(|error| at.wrong(format!("failed to parse csv mounts: {error}")))?;
        let mut read = Read::default();
        for field in &fields {
            match field.split_once('=') {
                None => read.switch(field).map_err(|message| at.wrong(message))?,
                Some((key, value)) => {
                    let value = stage.word(at, value)?;
                    read.set(key, &value, field).map_err(|message| at.wrong(message))?;
                }
            }
        }
        let origin = if flag.from.is_some() { origin.clone() } else { Origin::Context };
        let directory = stage.directory();
        mounts.push(read.mount(flag, origin, &directory).map_err(|message| at.wrong(message))?);
    }
    Ok(mounts)
}

impl Read {
    /// A key without a value.
    fn switch(&mut self, field: &str) -> Result<(), String> {
        match field.to_lowercase().as_str() {
            "readonly" | "ro" => self.read_only = Some(true),
            "readwrite" | "rw" => self.read_only = Some(false),
            key @ "required" => {
                self.only_of(&[Kind::Secret, Kind::Ssh], key)?;
                self.required = true;
            }
            _ => return Err(format!("invalid field '{field}' must be a key=value pair")),
        }
        Ok(())
    }

    fn set(&mut self, key: &str, value: &str, field: &str) -> Result<(), String> {
        let key = key.to_lowercase();
        let boolean = || csv::boolean(value).ok_or_else(|| format!("invalid value for {key}: {value}"));
        let number = || value.parse().map_err(|_| format!("invalid value {value} for {key}"));
        match key.as_str() {
            "type" => self.kind = value.parse()?,
            // Which stage or image it is was decided before.
            "from" => (),
            "source" | "src" => value.clone_into(&mut self.source),
            "target" | "dst" | "destination" => value.clone_into(&mut self.target),
            "readonly" | "ro" => self.read_only = Some(boolean()?),
            "readwrite" | "rw" => self.read_only = Some(!boolean()?),
            "required" => {
                self.only_of(&[Kind::Secret, Kind::Ssh], &key)?;
                self.required = boolean()?;
            }
            "size" => {
                self.only_of(&[Kind::Tmpfs], &key)?;
                let bytes = parse_bytes(value).map_err(|_| format!("invalid value for {key}: {value}"))?;
                self.size = u64::try_from(bytes).unwrap_or(0);
            }
            "id" => value.clone_into(&mut self.id),
            "sharing" => self.sharing = Some(sharing(value)?),
            "mode" => {
                let mode =
                    u32::from_str_radix(value, 8).map_err(|_| format!("invalid value {value} for mode"))?;
                self.owner.mode = Some(mode & 0o7777);
            }
            "uid" => self.owner.uid = Some(number()?),
            "gid" => self.owner.gid = Some(number()?),
            "env" => self.environment = Some(value.to_owned()),
            _ => return Err(format!("unexpected key '{key}' in '{field}'{}", suggest::hint(&key, KEYS))),
        }
        Ok(())
    }

    fn only_of(&self, kinds: &[Kind], key: &str) -> Result<(), String> {
        if kinds.contains(&self.kind) {
            return Ok(());
        }
        Err(format!("unexpected key '{key}' for mount type '{}'", self.kind.name()))
    }

    fn mount(self, flag: &MountFlag, origin: Origin, directory: &str) -> Result<Mount, String> {
        self.check(flag)?;
        let is_written = matches!(self.kind, Kind::Cache | Kind::Tmpfs);
        let read_only = self.read_only.unwrap_or(!is_written);
        let target = match self.kind {
            Kind::Secret => self.secret_target(),
            Kind::Ssh => Some(self.target.clone()).filter(|target| !target.is_empty()),
            _ => Some(self.target.clone()),
        };
        let target = target.map(|target| paths::join(directory, &target));
        if target.as_deref() == Some("/") {
            return Err("invalid mount target \"/\"".to_owned());
        }
        let source = paths::join("/", &self.source);
        let kind = match self.kind {
            Kind::Bind => MountKind::Bind { from: origin, source },
            Kind::Tmpfs => MountKind::Tmpfs { size: self.size },
            Kind::Cache => MountKind::Cache {
                id: if self.id.is_empty() { paths::clean(&self.target) } else { self.id },
                from: if flag.from.is_some() { origin } else { Origin::Scratch },
                source,
                sharing: self.sharing.unwrap_or_default(),
                owner: self.owner,
            },
            Kind::Secret => {
                let id = self.secret_id();
                let environment =
                    self.environment.map(|name| if name.is_empty() { id.clone() } else { name });
                MountKind::Secret { id, environment, required: self.required, owner: self.owner }
            }
            Kind::Ssh => MountKind::Ssh {
                id: if self.id.is_empty() { "default".to_owned() } else { self.id },
                required: self.required,
                owner: self.owner,
            },
        };
        Ok(Mount { target, read_only, kind })
    }

    fn check(&self, flag: &MountFlag) -> Result<(), String> {
        let kind = self.kind;
        if matches!(kind, Kind::Bind | Kind::Tmpfs) {
            let given = [("mode", self.owner.mode), ("uid", self.owner.uid), ("gid", self.owner.gid)];
            if let Some((key, _)) = given.iter().find(|(_, value)| value.is_some()) {
                return Err(format!("{key} not allowed for \"{}\" type mounts", kind.name()));
            }
        }
        if kind == Kind::Secret {
            if flag.from.is_some() {
                return Err("secret mount should not have a from".to_owned());
            }
            if self.sharing.is_some() {
                return Err("secret mount should not define sharing".to_owned());
            }
            if self.source.is_empty() && self.target.is_empty() && self.id.is_empty() {
                return Err("invalid secret mount. one of source, target required".to_owned());
            }
            if !self.source.is_empty() && !self.id.is_empty() {
                return Err("both source and id can't be set".to_owned());
            }
        }
        if self.sharing.is_some() && kind != Kind::Cache {
            return Err(format!("invalid cache sharing set for {} mount", kind.name()));
        }
        if kind == Kind::Ssh && !self.source.is_empty() {
            return Err("ssh does not support source".to_owned());
        }
        Ok(())
    }

    /// Which secret.
    fn secret_id(&self) -> String {
        match (self.source.as_str(), self.id.as_str()) {
            ("", "") => paths::base(&self.target).to_owned(),
            ("", id) => id.to_owned(),
            (source, _) => source.to_owned(),
        }
    }

    /// Where its file is; a secret that is a variable has one only where that is asked for.
    fn secret_target(&self) -> Option<String> {
        match (self.target.as_str(), &self.environment) {
            ("", Some(_)) => None,
            ("", None) => Some(format!("/run/secrets/{}", paths::base(&self.secret_id()))),
            (target, _) => Some(target.to_owned()),
        }
    }
}

fn sharing(text: &str) -> Result<Sharing, String> {
    match text.to_lowercase().as_str() {
        "shared" => Ok(Sharing::Shared),
        "private" => Ok(Sharing::Private),
        "locked" => Ok(Sharing::Locked),
        _ => Err(format!("unsupported sharing value {}{}", quoted(text), suggest::hint(text, SHARINGS))),
    }
}
