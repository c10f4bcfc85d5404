//! What is fuzzed: each target reads its input as the runtime does and checks what the runtime promises about it.

use std::path::{Path, PathBuf};

use minke_kernel::{
    cgroup::{Cgroup, Hierarchy, Layout},
    procfs,
    seccomp::{self, Door},
};
use minke_model::runtime_spec::{Linux, Spec, Status};
use minke_testkit::fuzz::{
    Input, REFUSED, Run, Suite, Target, Verdict, chain, folder, holds, reads_back, shown,
};
use serde_json::Value;

use crate::{
    config::{self, ConfigError},
    container::{self, Record, validate},
    init::mount_options,
};

pub(super) const SUITE: Suite =
    Suite { corpus: concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus"), targets: TARGETS };

const TARGETS: &[Target] = &[
    Target { name: "config", input: Input::Json, tries: 1_000, begin: || Box::new(config) },
    Target { name: "process", input: Input::Json, tries: 4_000, begin: || Box::new(process) },
    Target { name: "resources", input: Input::Json, tries: 4_000, begin: || Box::new(resources) },
    Target { name: "state", input: Input::Json, tries: 5_000, begin: state_file },
];

fn config(text: &[u8]) -> Verdict {
    let spec = match config::spec(text) {
        Ok(spec) => spec,
        Err(error) => return refused(text, &error),
    };
    reads_back(&spec, config::spec)?;
    mounts(&spec)?;
    let parts = spec.linux.as_ref().map(parts_of).transpose()?;
    if let Err(error) = validate::spec(&spec) {
        return shown(&error);
    }
    spec.linux.iter().try_for_each(sysctls)?;
    Ok(parts.unwrap_or_else(|| "taken".into()))
}

fn sysctls(linux: &Linux) -> Result<(), String> {
    linux.sysctl.keys().try_for_each(|name| {
        let path = procfs::sysctl_path(name).map(|path| PathBuf::from("/proc/sys").join(path));
        let is_below = path.is_some_and(|path| path.components().all(is_plain));
        holds("a parameter is below /proc/sys", name, is_below)
    })
}

/// The field that an error names is in the text, and holds what it complains about.
fn refused(text: &[u8], error: &ConfigError) -> Verdict {
    // The parser quotes what it doesn't know as it is, line breaks too.
    let words = format!("{REFUSED}{}", chain(error));
    holds("an error says where", &words, words.contains("line ") || words.contains(':'))?;
    if let (ConfigError::Field { field, .. }, Ok(value)) = (error, serde_json::from_slice::<Value>(text)) {
        let simple = !field.contains(['"', '\\']) && !text.windows(2).any(|pair| pair == br"\u");
        holds("the field exists", field, !simple || leads(&value, field, true))?;
    }
    Ok(words)
}

/// Whether a field's name, in which keys may hold what separates keys, leads to something.
fn leads(value: &Value, field: &str, is_first: bool) -> bool {
    if field.is_empty() {
        return true;
    }
    match value {
        Value::Object(fields) => fields.iter().any(|(key, child)| {
            let shown = match (key.as_str(), is_first) {
                ("", _) | (_, true) => key.clone(),
                (key, false) => format!(".{key}"),
            };
            let rest = field.strip_prefix(&shown);
            rest.is_some_and(|rest| leads(child, rest, is_first && key.is_empty()))
        }),
        Value::Array(items) => items.iter().enumerate().any(|(index, child)| {
            field.strip_prefix(&format!("[{index}]")).is_some_and(|rest| leads(child, rest, false))
        }),
        _ => false,
    }
}

fn mounts(spec: &Spec) -> Result<(), String> {
    for mount in &spec.mounts {
        let is_bind = mount.kind.as_deref() == Some("bind");
        let options = mount_options::parse(&mount.options, is_bind);
        let wanted = is_bind || mount.options.iter().any(|option| option == "bind" || option == "rbind");
        holds("a bind mount is one", &mount.options, options.bind.is_some() == wanted)?;
        let known = mount_options::known();
        let unsorted = options.parameters.iter().find(|parameter| {
            parameter.value.is_none()
                && known.contains(&parameter.key)
                && !mount.options.contains(&parameter.key)
        });
        holds("an option is sorted once", unsorted, unsorted.is_none())?;
    }
    Ok(())
}

fn parts_of(linux: &Linux) -> Verdict {
    if let Some(path) = linux.cgroups_path.as_deref()
        && let Err(error) = cgroup_paths(path)?
    {
        return Ok(error);
    }
    let Some(profile) = &linux.seccomp else { return Ok("taken".into()) };
    let program = match seccomp::compile(profile) {
        Ok(program) => program,
        // It quotes the names of system calls as they are.
        Err(error) => return Ok(chain(&error)),
    };
    judges(&program)?;
    let door = Door::new().map_err(|error| error.to_string())?;
    match program.with_door(&door) {
        Ok(program) => judges(&program)?,
        Err(error) => return shown(&error),
    }
    Ok("taken".into())
}

fn is_plain(component: std::path::Component<'_>) -> bool {
    matches!(component, std::path::Component::Normal(_) | std::path::Component::RootDir)
}

/// The kernel takes the program: every jump stays inside, and it ends.
fn judges(program: &seccomp::Program) -> Result<(), String> {
    const RETURN: u16 = 0x06;
    const JUMP: u16 = 0x05;
    let code = program.instructions();
    holds("a filter is short enough", code.len(), (1..=4096).contains(&code.len()))?;
    holds("a filter ends with a verdict", code.last(), code.last().is_some_and(|last| last.code == RETURN))?;
    for (at, instruction) in code.iter().enumerate() {
        let far = match instruction.code {
            JUMP => instruction.k as usize,
            _ => usize::from(instruction.jt.max(instruction.jf)),
        };
        holds(
            "a jump stays in the filter",
            (at, instruction),
            at + far + 1 < code.len() + usize::from(far == 0),
        )?;
    }
    Ok(())
}

/// Every directory is below its hierarchy's mount point.
fn cgroup_paths(path: &str) -> Result<Result<(), String>, String> {
    let hierarchy = |mount_point: &str| Hierarchy {
        mount_point: mount_point.into(),
        own: "own/group".into(),
        controllers: Default::default(),
        name: Some("systemd".into()),
    };
    let layouts = [
        Layout { unified: Some(hierarchy("/cg")), legacy: Vec::new() },
        Layout { unified: Some(hierarchy("/cg/unified")), legacy: vec![hierarchy("/cg/systemd")] },
    ];
    for layout in &layouts {
        let planned = match Cgroup::planned_paths(layout, path) {
            Ok(planned) => planned,
            Err(error) => return shown(&error).map(Err),
        };
        for place in planned.values() {
            let inside = place.starts_with("/cg")
                && place.components().all(is_plain)
                && place.components().count() > 2;
            holds("a cgroup is below its hierarchy", place, inside)?;
        }
    }
    Ok(Ok(()))
}

fn process(text: &[u8]) -> Verdict {
    let process = match config::process(text) {
        Ok(process) => process,
        Err(error) => return refused(text, &error),
    };
    reads_back(&process, config::process)?;
    if let Err(error) = validate::process(&process) {
        return shown(&error);
    }
    let zero = process.args.iter().chain(&process.env).any(|text| text.contains('\0'));
    holds("strings can be handed to the kernel", &process.args, !zero && !process.args.is_empty())?;
    Ok("taken".into())
}

fn resources(text: &[u8]) -> Verdict {
    let resources = match config::resources(text) {
        Ok(resources) => resources,
        Err(error) => return refused(text, &error),
    };
    reads_back(&resources, config::resources)?;
    let (whole, _) = container::Limits::default().complete(&resources);
    let (again, _) = container::Limits::default().complete(&whole);
    holds("completing limits twice changes nothing", &whole, again == whole)?;
    Ok("taken".into())
}

/// One container's folder for all inputs: only its file is changed.
fn state_file() -> Run {
    let root = folder();
    std::fs::create_dir(root.path().join("web")).expect("it can have a folder");
    Box::new(move |text| state(root.path(), text))
}

/// The whole way that `state`, `list` and `delete` go with a file, but what they do about it.
fn state(root: &Path, text: &[u8]) -> Verdict {
    std::fs::write(root.join("web/state.json"), text).map_err(|error| error.to_string())?;
    let listed = container::list(root).map_err(|error| error.to_string())?.containers.len();
    let stored = match container::Stored::load(root, "web") {
        Ok(stored) => stored,
        Err(error) => {
            holds("a damaged container isn't listed", listed, listed == 0)?;
            let words = shown(&error)?.replace(&root.display().to_string(), "");
            return Ok(format!("{REFUSED}{words}"));
        }
    };
    holds("what can be loaded is listed", listed, listed == 1)?;
    let status = stored.status();
    let record: &Record = &stored.record;
    let shown_state = record.state(status);
    let json = serde_json::to_value(&shown_state).map_err(|error| error.to_string())?;
    holds("a stopped container has no pid", &json, status != Status::Stopped || json["pid"] == 0)?;
    reads_back(record, |bytes| serde_json::from_slice::<Record>(bytes))?;
    Ok("taken".into())
}
