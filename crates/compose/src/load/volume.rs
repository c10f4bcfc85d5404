//! The short form of a service's volume: `[SOURCE:]TARGET[:OPTIONS]`.

use crate::model::{BindOptions, Mount, VolumeOptions};

/// The mount that a short form means, or what is wrong with it.
pub(crate) fn parse(spec: &str) -> Result<Mount, String> {
    if spec.is_empty() {
        return Err("invalid empty volume spec".to_owned());
    }
    let mut mount = Mount::default();
    if spec.len() <= 2 {
        (mount.target, mount.kind) = (spec.to_owned(), "volume".to_owned());
        return Ok(mount);
    }
    let sections = sections(spec);
    if sections.iter().any(|section| section.is_empty()) {
        return Err(format!("invalid spec: {spec}: empty section between colons"));
    }
    match sections[..] {
        [target] => mount.target = target.to_owned(),
        [source, target] => (mount.source, mount.target) = (source.to_owned(), target.to_owned()),
        [source, target, options] => {
            (mount.source, mount.target) = (source.to_owned(), target.to_owned());
            options.split(',').for_each(|option| set(&mut mount, option));
        }
        _ => return Err(format!("invalid spec: {spec}: too many colons")),
    }
    if is_path(&mount.source) {
        mount.kind = "bind".to_owned();
        mount.bind.get_or_insert_default().create_host_path = true;
    } else {
        mount.kind = "volume".to_owned();
        mount.volume.get_or_insert_default();
    }
    Ok(mount)
}

/// What stands between colons; the one of a Windows drive and those inside of variables are part of what is around them.
fn sections(spec: &str) -> Vec<&str> {
    let mut sections = Vec::new();
    let (mut begin, mut braces) = (0, 0_usize);
    for (index, byte) in spec.bytes().enumerate() {
        match byte {
            b'{' if index > 0 && spec.as_bytes()[index - 1] == b'$' => braces += 1,
            b'}' => braces = braces.saturating_sub(1),
            b':' if braces == 0 && !is_drive(&spec[begin..index]) => {
                sections.push(&spec[begin..index]);
                begin = index + 1;
            }
            _ => {}
        }
    }
    sections.push(&spec[begin..]);
    sections
}

fn is_drive(section: &str) -> bool {
    section.len() == 1 && section.starts_with(|c: char| c.is_ascii_alphabetic())
}

/// Options that mean nothing are left out, as docker compose does.
fn set(mount: &mut Mount, option: &str) {
    match option {
        "ro" => mount.read_only = true,
        "rw" => mount.read_only = false,
        "nocopy" => mount.volume = Some(VolumeOptions { nocopy: true, ..VolumeOptions::default() }),
        "rprivate" | "private" | "rshared" | "shared" | "rslave" | "slave" => {
            bind(mount).propagation = option.to_owned();
        }
        "z" | "Z" => bind(mount).selinux = option.to_owned(),
        _ => {}
    }
}

fn bind(mount: &mut Mount) -> &mut BindOptions {
    mount.bind.get_or_insert_default()
}

/// Whether a source is a path of the host and no volume's name.
fn is_path(source: &str) -> bool {
    let mut characters = source.chars();
    let first = characters.next();
    matches!(first, Some('.' | '/' | '~'))
        || source.starts_with(r"\\")
        || (first.is_some_and(char::is_alphabetic) && characters.next() == Some(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(spec: &str) -> String {
        let mount = parse(spec).unwrap();
        let read_only = if mount.read_only { " ro" } else { "" };
        format!("{} {}→{}{read_only}", mount.kind, mount.source, mount.target)
    }

    #[test]
    fn short_forms_are_told_apart_by_their_source() {
        for (spec, expected) in [
            ("/data", "volume →/data"),
            ("data:/data", "volume data→/data"),
            ("./src:/app:ro", "bind ./src→/app ro"),
            ("~/x:/x:z,ro", "bind ~/x→/x ro"),
            (r"C:\src:/app:rw", r"bind C:\src→/app"),
            (r"C:\src:D:\app", r"bind C:\src→D:\app"),
            (r"\\.\pipe\x:\\.\pipe\y", r"bind \\.\pipe\x→\\.\pipe\y"),
            ("${A:-b}:/c", "volume ${A:-b}→/c"),
            ("/a", "volume →/a"),
        ] {
            assert_eq!(shown(spec), expected, "{spec}");
        }
        assert_eq!(parse("vol:/b:shared").unwrap().bind.unwrap().propagation, "shared");
        assert!(parse("vol:/b:nocopy").unwrap().volume.unwrap().nocopy);
    }

    #[test]
    fn what_is_no_mount_is_refused() {
        assert_eq!(parse("abc::/b").unwrap_err(), "invalid spec: abc::/b: empty section between colons");
        assert_eq!(parse("abc:/b:ro:x").unwrap_err(), "invalid spec: abc:/b:ro:x: too many colons");
        assert!(parse("").is_err());
    }
}
