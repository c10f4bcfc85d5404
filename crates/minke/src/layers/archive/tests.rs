//! Archives as engines save them.

use std::io::Write;

use serde_json::json;

use super::*;

/// A tar of files, directories (`name/`), hard links (`name => target`) and symbolic ones (`name -> target`).
fn tar(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        let link = name.split_once(" => ").or(name.split_once(" -> "));
        let kind = match (name, link) {
            (name, Some(_)) if name.contains("=>") => tar::EntryType::Link,
            (_, Some(_)) => tar::EntryType::Symlink,
            (name, None) if name.ends_with('/') => tar::EntryType::Directory,
            _ => tar::EntryType::Regular,
        };
        header.set_entry_type(kind);
        match link {
            Some((name, target)) => {
                header.set_size(0);
                builder.append_link(&mut header, name, target).unwrap();
            }
            None => {
                header.set_size(content.len() as u64);
                builder.append_data(&mut header, name, *content).unwrap();
            }
        }
    }
    builder.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn saved(layers: &[(&str, Vec<u8>)]) -> Vec<(String, Vec<u8>)> {
    let names: Vec<_> = layers.iter().map(|(name, _)| *name).collect();
    let history: Vec<_> = names.iter().map(|name| json!({"created_by": format!("made {name}")})).collect();
    let diff_ids: Vec<_> = names.iter().map(|name| format!("sha256:{name}")).collect();
    let config = json!({"history": history, "rootfs": {"diff_ids": diff_ids}}).to_string();
    let list = json!([{"Config": "config.json", "Layers": names}]).to_string();
    let mut files: Vec<_> =
        layers.iter().map(|(name, content)| ((*name).to_owned(), content.clone())).collect();
    files.push(("config.json".to_owned(), config.into_bytes()));
    files.push(("manifest.json".to_owned(), list.into_bytes()));
    files
}

fn archive(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let files: Vec<_> = files.iter().map(|(name, content)| (name.as_str(), content.as_slice())).collect();
    tar(&files)
}

fn entries(archive: &[u8]) -> Result<Vec<String>, String> {
    let platform = "linux/amd64".parse().unwrap();
    let layers = read(archive, &platform).map_err(|error| crate::failure::chain(&error))?;
    let word = |entry: &Entry| format!("{} {:?}", String::from_utf8_lossy(&entry.path), entry.kind);
    Ok(layers
        .iter()
        .flat_map(|layer| {
            std::iter::once(layer.step.created_by.clone()).chain(layer.entries.iter().map(word))
        })
        .collect())
}

#[test]
fn whiteouts_links_and_sizes_are_understood_in_every_compression() {
    let layer = tar(&[
        ("./", b""),
        ("./etc/", b""),
        ("./etc/passwd", b"root"),
        ("bin/a => etc/passwd", b""),
        ("bin/sh -> busybox", b""),
        ("etc/.wh.shadow", b""),
        (".wh.old", b""),
        ("var/.wh..wh..opq", b""),
        (".wh..wh.plnk", b""),
    ]);
    let expected = [
        "made one",
        " Directory",
        "etc Directory",
        "etc/passwd File(4)",
        "bin/a Hardlink([101, 116, 99, 47, 112, 97, 115, 115, 119, 100])",
        "bin/sh Other",
        "etc/shadow Whiteout",
        "old Whiteout",
        "var Opaque",
    ];
    let zstd = zstd::encode_all(layer.as_slice(), 1).unwrap();
    for content in [layer.clone(), gzip(&layer), zstd] {
        assert_eq!(entries(&archive(&saved(&[("one", content)]))).unwrap(), expected);
    }
}

#[test]
fn layers_come_in_the_images_order_whatever_the_archives() {
    let (a, b) = (tar(&[("a", b"1")]), tar(&[("b", b"22")]));
    let mut files = saved(&[("z", a), ("y", b)]);
    let expected = ["made z", "a File(1)", "made y", "b File(2)"];
    for _ in 0..files.len() {
        files.rotate_left(1);
        assert_eq!(entries(&archive(&files)).unwrap(), expected);
    }
}

#[test]
fn a_layer_that_is_there_once_may_be_used_twice_also_through_a_link() {
    let layer = tar(&[("a", b"1")]);
    let mut files = saved(&[("one/layer.tar", layer.clone()), ("two/layer.tar", Vec::new())]);
    files[1] = ("two/layer.tar -> ../one/layer.tar".to_owned(), Vec::new());
    let expected = ["made one/layer.tar", "a File(1)", "made two/layer.tar", "a File(1)"];
    assert_eq!(entries(&archive(&files)).unwrap(), expected);
    files[1] = ("two/layer.tar => one/layer.tar".to_owned(), Vec::new());
    assert_eq!(entries(&archive(&files)).unwrap(), expected);
    let mut files = saved(&[("same", layer.clone()), ("same", layer)]);
    files.remove(1);
    assert_eq!(entries(&archive(&files)).unwrap(), ["made same", "a File(1)", "made same", "a File(1)"]);
}

#[test]
fn an_empty_layer_and_one_whose_first_file_looks_like_json() {
    let odd = tar(&[("{odd", b"123")]);
    let files = saved(&[("empty", tar(&[])), ("odd", odd)]);
    assert_eq!(entries(&archive(&files)).unwrap(), ["made empty", "made odd", "{odd File(3)"]);
}

#[test]
fn what_is_damaged_or_missing_is_named() {
    let layer = tar(&[("a", b"1")]);
    let mut missing = saved(&[("one", layer.clone()), ("two", layer.clone())]);
    missing.remove(1);
    assert!(entries(&archive(&missing)).unwrap_err().contains("lacks two"));
    let damaged = saved(&[("one", b"not a tar, but long enough to be one ".repeat(100))]);
    assert!(entries(&archive(&damaged)).unwrap_err().contains("the layer one in the archive can't be read"));
    let mut cut = gzip(&layer);
    cut.truncate(cut.len() - 10);
    assert!(entries(&archive(&saved(&[("one", cut)]))).unwrap_err().contains("the layer one"));
    let whole = archive(&saved(&[("one", layer)]));
    assert!(entries(&whole[..1000]).unwrap_err().contains("read the image's archive"));
    assert!(entries(b"").unwrap_err().contains("no image"));
}

#[test]
fn paths_lose_what_means_nothing() {
    for (path, cleaned) in
        [("./a//b/", "a/b"), ("/", ""), ("./", ""), ("/etc/./passwd", "etc/passwd"), ("a/../b", "a/../b")]
    {
        assert_eq!(clean(path.as_bytes()), cleaned.as_bytes());
    }
    assert_eq!(beside("a/layer.tar", "../b/layer.tar"), "b/layer.tar");
    assert_eq!(beside("x", "./y"), "y");
}
