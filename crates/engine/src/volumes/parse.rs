//! The three ways of asking for a mount: `-v source:destination:options`, `--mount`, `--tmpfs`.

use std::path::{Component, Path, PathBuf};

use bollard_stubs::models::{Mount, MountType};

use super::{ImageMount, MountKind, MountRecord};
use crate::Error;

const PROPAGATIONS: [&str; 6] = ["private", "rprivate", "shared", "rshared", "slave", "rslave"];

/// What `--tmpfs` takes: the options of tmpfs(5), and those of every mount (mount(8)).
const TMPFS: [&str; 37] = [
    "ro",
    "rw",
    "exec",
    "noexec",
    "suid",
    "nosuid",
    "dev",
    "nodev",
    "sync",
    "async",
    "dirsync",
    "atime",
    "noatime",
    "diratime",
    "nodiratime",
    "relatime",
    "norelatime",
    "strictatime",
    "nostrictatime",
    "mand",
    "nomand",
    "mode",
    "uid",
    "gid",
    "size",
    "nr_inodes",
    "nr_blocks",
    "mpol",
    "huge",
    "rprivate",
    "private",
    "rshared",
    "shared",
    "rslave",
    "slave",
    "runbindable",
    "unbindable",
];

/// One entry of `HostConfig.Binds`: `source:destination[:options]`, or a destination alone for an anonymous volume.
///
/// # Errors
/// `InvalidParameter` with what is wrong with it.
pub(crate) fn bind(text: &str) -> Result<MountRecord, Error> {
    let error = || Error::invalid(format!("invalid volume specification: '{text}'"));
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, options) = match parts[..] {
        [target] if !target.is_empty() => ("", target, ""),
        [source, target] | [source, target, _] if source.is_empty() || target.is_empty() => {
            return Err(error());
        }
        [source, target] => (source, target, ""),
        [source, target, options] => (source, target, options),
        _ => return Err(error()),
    };
    let kind = if source.starts_with('/') { "bind" } else { "volume" };
    let destination = destination(target).map_err(|why| {
        Error::invalid(format!(
            "invalid volume specification: '{text}': invalid mount config for type \"{kind}\": {why}"
        ))
    })?;
    let mut mount = MountRecord { destination, rw: true, ..MountRecord::default() };
    if source.starts_with('/') {
        mount.kind = MountKind::Bind;
        mount.source = clean(source);
    } else {
        mount.kind = MountKind::Volume;
        mount.name = (!source.is_empty()).then(|| volume_name(source)).transpose()?;
    }
    mount.create_source = mount.kind == MountKind::Bind;
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option {
            "ro" => mount.rw = false,
            "rw" => mount.rw = true,
            "nocopy" if mount.kind == MountKind::Volume => mount.no_copy = true,
            // Labels of SELinux and caching hints of Docker Desktop have no effect on such a host with
            // Docker either.
            "z" | "Z" | "consistent" | "cached" | "delegated" => {}
            _ if PROPAGATIONS.contains(&option) && mount.kind == MountKind::Bind => {
                option.clone_into(&mut mount.propagation);
            }
            _ if PROPAGATIONS.contains(&option) => {
                return Err(Error::invalid(format!(
                    "invalid mount config for type \"volume\": {option}: only binds of the host's have a propagation"
                )));
            }
            _ => {
                return Err(Error::invalid(format!("invalid mode: {options}")));
            }
        }
    }
    options.clone_into(&mut mount.mode);
    Ok(mount)
}

/// One entry of `HostConfig.Mounts`.
///
/// # Errors
/// `InvalidParameter` with the field, `NotImplemented` for kinds that this engine lacks.
pub(crate) fn mount(spec: &Mount) -> Result<MountRecord, Error> {
    let target = spec.target.as_deref().unwrap_or("");
    let invalid =
        |why: &str| Error::invalid(format!("invalid mount config for type {:?}: {why}", kind_name(spec.typ)));
    if target.is_empty() {
        return Err(invalid("field Target must not be empty"));
    }
    let source = spec.source.as_deref().unwrap_or("");
    let mut mount = MountRecord {
        destination: destination(target).map_err(|why| invalid(&why.to_string()))?,
        rw: !spec.read_only.unwrap_or(false),
        ..MountRecord::default()
    };
    let wrong_options = |kind: MountKind| {
        (spec.bind_options.is_some() && kind != MountKind::Bind)
            || (spec.volume_options.is_some() && kind != MountKind::Volume)
            || (spec.tmpfs_options.is_some() && kind != MountKind::Tmpfs)
            || (spec.image_options.is_some() && kind != MountKind::Image)
    };
    match spec.typ {
        Some(MountType::BIND) => {
            if !source.starts_with('/') {
                return Err(invalid(&format!("invalid mount path: '{source}' mount path must be absolute")));
            }
            mount.kind = MountKind::Bind;
            mount.source = clean(source);
            bind_options(spec, &mut mount)?;
        }
        Some(MountType::VOLUME) => {
            mount.kind = MountKind::Volume;
            mount.name = if source.is_empty() { None } else { Some(volume_name(source)?) };
            volume_options(spec, &mut mount, &invalid)?;
            if mount.name.is_none() && !mount.rw {
                return Err(invalid("must not set ReadOnly mode when using anonymous volumes"));
            }
        }
        Some(MountType::TMPFS) => {
            if !source.is_empty() {
                return Err(invalid("field Source must not be specified"));
            }
            mount.kind = MountKind::Tmpfs;
            tmpfs_options(spec, &mut mount, &invalid)?;
        }
        Some(MountType::IMAGE) => {
            if source.is_empty() {
                return Err(invalid("field Source must not be empty"));
            }
            mount.kind = MountKind::Image;
            mount.rw = false;
            mount.image = Some(ImageMount { reference: source.to_owned(), id: None });
            let subpath = spec.image_options.as_ref().and_then(|options| options.subpath.as_deref());
            mount.subpath = subpath.filter(|path| !path.is_empty()).map(str::to_owned);
            if mount.subpath.as_deref().is_some_and(|subpath| !is_inside(subpath)) {
                // The image is a volume here, in Docker's words.
                return Err(invalid("subpath must be a relative path within the volume"));
            }
        }
        other => {
            return Err(Error::not_implemented(format!(
                "mounts of type {:?} can't be honoured: want bind, volume, tmpfs or image",
                kind_name(other)
            )));
        }
    }
    if wrong_options(mount.kind) {
        return Err(invalid("options of another mount type must not be specified"));
    }
    Ok(mount)
}

/// One entry of `HostConfig.Tmpfs`.
///
/// # Errors
/// `InvalidParameter` for a bad destination.
pub(crate) fn tmpfs(target: &str, options: &str) -> Result<MountRecord, Error> {
    let options: Vec<_> = options.split(',').filter(|option| !option.is_empty()).map(str::to_owned).collect();
    let name = |option: &str| option.split('=').next().unwrap_or(option).to_owned();
    if let Some(bad) = options.iter().map(|option| name(option)).find(|name| !TMPFS.contains(&name.as_str()))
    {
        return Err(Error::invalid(format!("invalid tmpfs option {bad:?}")));
    }
    Ok(MountRecord {
        kind: MountKind::Tmpfs,
        destination: destination(target)?,
        rw: true,
        tmpfs_options: options,
        hidden: true,
        ..MountRecord::default()
    })
}

fn bind_options(spec: &Mount, mount: &mut MountRecord) -> Result<(), Error> {
    let Some(options) = &spec.bind_options else { return Ok(()) };
    if let Some(propagation) = options.propagation.map(|p| p.to_string()).filter(|text| !text.is_empty()) {
        mount.propagation = propagation;
    }
    mount.non_recursive = options.non_recursive.unwrap_or(false);
    mount.create_source = options.create_mountpoint.unwrap_or(false);
    mount.read_only_non_recursive = options.read_only_non_recursive.unwrap_or(false);
    let conflict = match options.read_only_force_recursive.unwrap_or(false) {
        true if mount.rw => "Writable && ReadOnlyForceRecursive",
        true if mount.read_only_non_recursive => "ReadOnlyNonRecursive && ReadOnlyForceRecursive",
        true if mount.non_recursive => "NonRecursive && ReadOnlyForceRecursive",
        _ if mount.rw && mount.read_only_non_recursive => "Writable && ReadOnlyNonRecursive",
        _ => return Ok(()),
    };
    Err(Error::invalid(format!("mount options conflict: {conflict}")))
}

fn volume_options(
    spec: &Mount,
    mount: &mut MountRecord,
    invalid: &dyn Fn(&str) -> Error,
) -> Result<(), Error> {
    let Some(options) = &spec.volume_options else { return Ok(()) };
    mount.no_copy = options.no_copy.unwrap_or(false);
    mount.labels = options.labels.clone().unwrap_or_default().into_iter().collect();
    if let Some(driver) = &options.driver_config {
        super::check_driver(driver.name.as_deref())?;
        mount.driver_options = driver.options.clone().unwrap_or_default().into_iter().collect();
    }
    if let Some(subpath) = options.subpath.as_deref().filter(|path| !path.is_empty()) {
        if !is_inside(subpath) {
            return Err(invalid(&format!("subpath must be a relative path within the volume: {subpath:?}")));
        }
        if mount.name.is_none() {
            return Err(invalid("subpath is only allowed with a named volume"));
        }
        mount.subpath = Some(subpath.to_owned());
    }
    Ok(())
}

/// Whether a relative path has no way out by its words.
fn is_inside(subpath: &str) -> bool {
    Path::new(subpath).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

fn tmpfs_options(
    spec: &Mount,
    mount: &mut MountRecord,
    invalid: &dyn Fn(&str) -> Error,
) -> Result<(), Error> {
    if !mount.rw {
        mount.tmpfs_options.push("ro".to_owned());
    }
    let Some(options) = &spec.tmpfs_options else { return Ok(()) };
    if let Some(bytes) = options.size_bytes.filter(|bytes| *bytes > 0) {
        mount.tmpfs_options.push(format!("size={bytes}"));
    }
    if let Some(mode) = options.mode.filter(|mode| *mode != 0) {
        mount.tmpfs_options.push(format!("mode={mode:o}"));
    }
    for option in options.options.iter().flatten() {
        let name = option.first().map(String::as_str).unwrap_or_default();
        if option.len() > 2 || !TMPFS.contains(&name) {
            return Err(invalid(&format!("invalid option: {:?}", option.join("="))));
        }
        mount.tmpfs_options.push(option.join("="));
    }
    Ok(())
}

/// A mount point inside the container: absolute, cleaned, not the root.
///
/// # Errors
/// `InvalidParameter`.
pub(crate) fn destination(path: &str) -> Result<String, Error> {
    if !path.starts_with('/') {
        return Err(Error::invalid(format!("invalid mount path: '{path}' mount path must be absolute")));
    }
    match clean(path).as_str() {
        "/" => Err(Error::invalid("invalid specification: destination can't be '/'")),
        cleaned => Ok(cleaned.to_owned()),
    }
}

/// A volume's name as Docker allows it: `[a-zA-Z0-9][a-zA-Z0-9_.-]+`.
///
/// # Errors
/// `InvalidParameter`.
pub(crate) fn volume_name(name: &str) -> Result<String, Error> {
    let mut chars = name.chars();
    let first = chars.next().is_some_and(|c| c.is_ascii_alphanumeric());
    let rest = chars.all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
    if first && rest && (2..=255).contains(&name.len()) {
        return Ok(name.to_owned());
    }
    Err(Error::invalid(format!(
        "create {name}: {name:?} includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. \
         If you intended to pass a host directory, use absolute path"
    )))
}

/// Go's `path.Clean` of an absolute path.
pub(crate) fn clean(path: &str) -> String {
    let mut clean = PathBuf::from("/");
    for component in Path::new(path).components() {
        match component {
            Component::Normal(part) => clean.push(part),
            Component::ParentDir => drop(clean.pop()),
            _ => {}
        }
    }
    clean.to_string_lossy().into_owned()
}

fn kind_name(kind: Option<MountType>) -> String {
    kind.map(|kind| kind.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_path_and_a_volume_are_told_apart_by_the_slash() {
        let mount = bind("/srv/../data:/var//lib:ro,rslave").unwrap();
        assert_eq!(
            (mount.kind, mount.source.as_str(), mount.destination.as_str()),
            (MountKind::Bind, "/data", "/var/lib")
        );
        assert!(!mount.rw && mount.create_source && mount.propagation == "rslave");
        let mount = bind("data:/data:nocopy").unwrap();
        assert_eq!(
            (mount.kind, mount.name.as_deref(), mount.no_copy),
            (MountKind::Volume, Some("data"), true)
        );
    }

    #[test]
    fn a_destination_alone_is_an_anonymous_volume() {
        let mount = bind("/data/").unwrap();
        assert_eq!((mount.kind, mount.name, mount.destination.as_str()), (MountKind::Volume, None, "/data"));
        assert!(mount.rw);
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "data",
            ":/a",
            "/a:",
            ":/a:ro",
            "/a:b",
            "/a:/",
            "/a:/b:magic",
            "a:/b:rshared",
            "-x:/b",
            "/a:/b:ro:rw",
            "../x:/y",
        ] {
            assert!(bind(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_mount_of_the_long_form_has_its_options() {
        let spec: Mount = serde_json::from_str(
            r#"{"Type":"volume","Source":"data","Target":"/d","ReadOnly":true,"VolumeOptions":{"NoCopy":true,"Subpath":"a/b"}}"#,
        )
        .unwrap();
        let parsed = mount(&spec).unwrap();
        assert_eq!((parsed.rw, parsed.no_copy, parsed.subpath.as_deref()), (false, true, Some("a/b")));
        let spec: Mount = serde_json::from_str(
            r#"{"Type":"tmpfs","Target":"/t","TmpfsOptions":{"SizeBytes":4096,"Mode":448}}"#,
        )
        .unwrap();
        assert_eq!(mount(&spec).unwrap().tmpfs_options, ["size=4096", "mode=700"]);
    }

    #[test]
    fn an_image_is_mounted_read_only_whatever_is_asked() {
        let spec =
            r#"{"Type":"image","Source":"tools:1","Target":"/t","ImageOptions":{"Subpath":"usr/bin"}}"#;
        let parsed = mount(&serde_json::from_str(spec).unwrap()).unwrap();
        let image = parsed.image.unwrap();
        assert_eq!(
            (parsed.rw, parsed.subpath.as_deref(), image.reference.as_str()),
            (false, Some("usr/bin"), "tools:1")
        );
    }

    #[test]
    fn a_subpath_stays_in_its_volume() {
        let spec: Mount = serde_json::from_str(
            r#"{"Type":"volume","Source":"data","Target":"/d","VolumeOptions":{"Subpath":"../x"}}"#,
        )
        .unwrap();
        assert!(mount(&spec).unwrap_err().to_string().contains("a relative path within the volume"));
    }

    #[test]
    fn unknown_tmpfs_options_are_refused_at_once() {
        assert!(tmpfs("/t", "size=1m,mode=700,uid=5,exec").is_ok());
        assert_eq!(tmpfs("/t", "bad=1").unwrap_err().to_string(), "invalid tmpfs option \"bad\"");
    }

    #[test]
    fn options_of_another_kind_and_unknown_kinds_are_refused() {
        let spec: Mount =
            serde_json::from_str(r#"{"Type":"bind","Source":"/a","Target":"/b","TmpfsOptions":{}}"#).unwrap();
        assert!(mount(&spec).is_err());
        for (spec, words) in [
            (
                r#"{"Type":"bind","Source":"/a","Target":"/b","BindOptions":{"ReadOnlyForceRecursive":true}}"#,
                "Writable",
            ),
            (r#"{"Type":"volume","Target":"/b","ReadOnly":true}"#, "anonymous volumes"),
            (r#"{"Type":"image","Target":"/b"}"#, "Source must not be empty"),
            (
                r#"{"Type":"image","Source":"a","Target":"/b","ImageOptions":{"Subpath":"../x"}}"#,
                "within the volume",
            ),
            (r#"{"Type":"image","Source":"a","Target":"/b","BindOptions":{}}"#, "another mount type"),
            (r#"{"Type":"tmpfs","Target":"/b","TmpfsOptions":{"Options":[["magic"]]}}"#, "invalid option"),
        ] {
            let error = mount(&serde_json::from_str(spec).unwrap()).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        let spec: Mount = serde_json::from_str(r#"{"Type":"npipe","Source":"/a","Target":"/b"}"#).unwrap();
        assert!(mount(&spec).unwrap_err().to_string().contains("npipe"));
    }
}
