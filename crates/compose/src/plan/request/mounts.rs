//! What is mounted in a container: volumes, the host's folders, memory, images, and the files of secrets and configs.
//!
//! A plain volume or folder is written in the short form (`Binds`), as docker compose does: it alone makes a missing folder of
//! the host on every engine. All else is a `Mount`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Origin, fields::Fields};
use crate::{
    model::{BindOptions, Mount, Project, Service, VolumeOptions},
    plan::{names, observed},
};

pub(super) fn fill(host: &mut Fields, origin: Origin<'_>, service: &Service, inherits: &[observed::Mount]) {
    let inherited = inherited(origin, service, inherits);
    // By their targets: a mount of the file stands for one of the old container, one of a secret for neither.
    let mut mounts: BTreeMap<&str, Form> = BTreeMap::new();
    for mount in &service.volumes {
        mounts.insert(&mount.target, form(origin.project, mount));
    }
    for (target, value) in &inherited {
        mounts.insert(target, Form::Long(value.clone()));
    }
    let files = files(origin.project, service);
    for (target, source) in &files {
        let long = json!({"Type": "bind", "Source": source, "Target": target, "ReadOnly": true});
        mounts.entry(target).or_insert(Form::Long(long));
    }
    let (mut binds, mut long) = (Vec::new(), Vec::new());
    for form in mounts.into_values() {
        match form {
            Form::Short(text) => binds.push(text),
            Form::Long(value) => long.push(value),
        }
    }
    host.set("Binds", binds);
    host.set("Mounts", long);
    let tmpfs = service.tmpfs.iter().map(|entry| entry.split_once(':').unwrap_or((entry, "")));
    host.set("Tmpfs", tmpfs.collect::<BTreeMap<_, _>>());
}

enum Form {
    Short(String),
    Long(Value),
}

/// Anonymous volumes of the old container, which the new one goes on with: those that the image asks for and those that the
/// file has without a name.
fn inherited(origin: Origin<'_>, service: &Service, old: &[observed::Mount]) -> BTreeMap<String, Value> {
    let image = origin.observed.images.get(&names::image(&origin.project.name, service));
    let mut kept = BTreeMap::new();
    for mount in old.iter().filter(|mount| mount.kind == "volume") {
        let of_file = service.volumes.iter().find(|wanted| wanted.target == mount.destination);
        let keeps = match of_file {
            Some(wanted) => wanted.source.is_empty() && wanted.kind == "volume",
            None => image.is_some_and(|image| image.volumes.contains(&mount.destination)),
        };
        if keeps {
            let value = json!({"Type": "volume", "Source": mount.name, "Target": mount.destination, "ReadOnly": !mount.writable});
            kept.insert(mount.destination.clone(), value);
        }
    }
    kept
}

fn form(project: &Project, mount: &Mount) -> Form {
    let volume = project.volumes.get(&mount.source);
    let source = volume.filter(|_| mount.kind == "volume").map_or(&mount.source, |volume| &volume.name);
    let short = match mount.kind.as_str() {
        "bind" => mount.bind.as_ref().is_none_or(|bind| {
            bind.create_host_path && bind.propagation.is_empty() && bind.recursive.is_empty()
        }),
        "volume" => volume.is_some() && mount.volume.as_ref().is_none_or(is_plain),
        _ => false,
    };
    if short {
        let mut options = vec![if mount.read_only { "ro" } else { "rw" }];
        let selinux = mount.bind.as_ref().map_or("", |bind| bind.selinux.as_str());
        options.extend((!selinux.is_empty()).then_some(selinux));
        return Form::Short(format!("{source}:{}:{}", mount.target, options.join(",")));
    }
    Form::Long(long(source, mount))
}

fn is_plain(volume: &VolumeOptions) -> bool {
    volume.labels.is_empty() && volume.subpath.is_empty() && !volume.nocopy
}

fn long(source: &str, mount: &Mount) -> Value {
    let mut fields = Fields::default();
    fields.set("Type", &mount.kind);
    fields.set("Source", source);
    fields.set("Target", &mount.target);
    fields.set("ReadOnly", mount.read_only);
    fields.set("Consistency", &mount.consistency);
    match mount.kind.as_str() {
        "bind" => fields.set("BindOptions", mount.bind.as_ref().map(bind_options)),
        "volume" => fields.set("VolumeOptions", mount.volume.as_ref().map(volume_options)),
        "tmpfs" => {
            let options = mount.tmpfs.as_ref().map(|tmpfs| {
                let mut fields = Fields::default();
                fields.set("SizeBytes", tmpfs.size.0);
                fields.set("Mode", tmpfs.mode);
                Value::from(fields)
            });
            fields.set("TmpfsOptions", options);
        }
        "image" => {
            let subpath = mount.image.as_ref().map_or("", |image| image.subpath.as_str());
            fields.set("ImageOptions", (!subpath.is_empty()).then(|| json!({"Subpath": subpath})));
        }
        _ => {}
    }
    fields.into()
}

fn bind_options(bind: &BindOptions) -> Value {
    let mut fields = Fields::default();
    fields.set("Propagation", &bind.propagation);
    fields.set("CreateMountpoint", bind.create_host_path);
    fields.set("NonRecursive", bind.recursive == "disabled");
    fields.set("ReadOnlyNonRecursive", bind.recursive == "writable");
    fields.set("ReadOnlyForceRecursive", bind.recursive == "readonly");
    fields.into()
}

fn volume_options(volume: &VolumeOptions) -> Value {
    let mut fields = Fields::default();
    fields.set("NoCopy", volume.nocopy);
    fields.set("Labels", &volume.labels);
    fields.set("Subpath", &volume.subpath);
    fields.into()
}

/// Secrets and configs that are files of the host, by their places in the container. Those with a text of their own are put
/// into the container before it starts.
fn files(project: &Project, service: &Service) -> BTreeMap<String, String> {
    let secrets = service.secrets.iter().filter_map(|mount| {
        let secret = project.secrets.get(&mount.source).filter(|secret| !secret.file.is_empty())?;
        Some((place("/run/secrets/", &mount.target, &mount.source), secret.file.clone()))
    });
    let configs = service.configs.iter().filter_map(|mount| {
        let config = project.configs.get(&mount.source).filter(|config| !config.file.is_empty())?;
        Some((place("/", &mount.target, &mount.source), config.file.clone()))
    });
    secrets.chain(configs).collect()
}

/// Where a secret or config is in the container.
pub(crate) fn place(folder: &str, target: &str, source: &str) -> String {
    match target {
        "" => format!("{folder}{source}"),
        target if target.starts_with('/') => target.to_owned(),
        target => format!("{folder}{target}"),
    }
}
