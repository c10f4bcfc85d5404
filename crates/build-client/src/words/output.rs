//! `--output`, and what `--push` and `--annotation` make of outputs.

use std::path::PathBuf;

use super::{Fields, WordError, fields};
use crate::options::{Destination, Output};

/// `type=local,dest=FOLDER`, `type=tar|oci|docker,dest=FILE`, `type=oci|docker,tar=false,dest=FOLDER`,
/// `type=image|registry[,name=…][,push=true]`, a folder alone, or `-` for a tar on standard output.
///
/// # Errors
/// For outputs that there aren't, and those that say too little.
pub fn output(text: &str) -> Result<Output, WordError> {
    let read = fields("output", text)?;
    let mut all = read.iter();
    if let (Some((path, None)), None) = (all.next(), all.next()) {
        return Ok(match path {
            "-" => Output { kind: "tar".into(), attributes: [].into(), destination: Destination::Stdout },
            path => {
                let destination = Destination::Folder(PathBuf::from(path));
                Output { kind: "local".into(), attributes: [].into(), destination }
            }
        });
    }
    let wrong = |reason: &str| WordError::new("output", text, reason);
    let mut output = Output {
        kind: read.text("type").to_owned(),
        attributes: [].into(),
        destination: Destination::Engine,
    };
    for (key, value) in read.iter().filter(|(key, _)| !matches!(*key, "type" | "dest")) {
        let value = value.ok_or_else(|| wrong("each field is KEY=VALUE"))?;
        output.attributes.insert(key.to_owned(), value.to_owned());
    }
    let is_there = |key: &str| read.iter().any(|(name, _)| name == key);
    output.destination = destination(&output.kind, &read, is_there("dest")).map_err(wrong)?;
    match &*output.kind {
        // Behind a Docker endpoint, the exporter of images has the name of the engine's store, which is where they go.
        "image" => output.kind = "moby".to_owned(),
        "registry" => {
            output.kind = "moby".to_owned();
            output.attributes.entry("push".to_owned()).or_insert_with(|| "true".to_owned());
        }
        // Without a file to go to, docker's own format is for the engine's own store.
        "docker" if output.destination == Destination::Engine => output.kind = "moby".to_owned(),
        _ => {}
    }
    Ok(output)
}

fn destination(kind: &str, read: &Fields, has_dest: bool) -> Result<Destination, &'static str> {
    let dest = read.text("dest");
    match kind {
        "" => Err("type is required"),
        "local" if dest.is_empty() => Err("dest is required for local output"),
        "local" => Ok(Destination::Folder(PathBuf::from(dest))),
        "oci" | "docker" if matches!(read.text("tar"), "false" | "0") => match dest {
            "" | "-" => Err("dest=FOLDER is required with tar=false, which is for a layout in a folder"),
            path => Ok(Destination::Layout(PathBuf::from(path))),
        },
        "docker" if !has_dest => Ok(Destination::Engine),
        "tar" | "oci" | "docker" => Ok(match dest {
            "" | "-" => Destination::Stdout,
            path => Destination::File(PathBuf::from(path)),
        }),
        "image" | "registry" | "moby" if has_dest => Err("dest is for outputs to this host only"),
        _ => Ok(Destination::Engine),
    }
}

/// Outputs of which the image's is pushed (`--push`).
///
/// # Errors
/// When there are outputs and none of them is an image.
pub fn pushed(outputs: &mut Vec<Output>) -> Result<(), WordError> {
    if outputs.is_empty() {
        outputs.push(Output { kind: "moby".into(), attributes: [].into(), destination: Destination::Engine });
    }
    let is_image = |output: &&mut Output| output.kind == "moby";
    let Some(image) = outputs.iter_mut().find(is_image) else {
        let text = outputs.iter().map(|output| &*output.kind).collect::<Vec<_>>().join(", ");
        return Err(WordError::new("push", &text, "only images can be pushed; add --output type=image"));
    };
    image.attributes.insert("push".to_owned(), "true".to_owned());
    Ok(())
}

/// Adds an annotation, `[TYPE[PLATFORM]:]KEY=VALUE`, to those outputs that can have some.
///
/// # Errors
/// Without a key and a value, and for parts of an image that there aren't.
pub fn annotated(outputs: &mut [Output], text: &str) -> Result<(), WordError> {
    let wrong = |reason: &str| WordError::new("annotation", text, reason);
    let (key, value) = text.split_once('=').ok_or_else(|| wrong("expected KEY=VALUE"))?;
    let parts = ["index", "manifest", "index-descriptor", "manifest-descriptor"];
    // A key may have colons of its own.
    let (kinds, key) = match key.split_once(':') {
        Some((kinds, rest)) if parts.iter().any(|part| kinds.starts_with(part)) => (kinds, rest),
        _ => ("", key),
    };
    if key.is_empty() {
        return Err(wrong("the key is missing"));
    }
    for kind in kinds.split(',') {
        let (part, platform) = kind.split_once('[').unwrap_or((kind, ""));
        if !part.is_empty() && !parts.contains(&part) {
            return Err(wrong("annotations are for index, manifest and their descriptors"));
        }
        let name = match (part, platform) {
            ("", _) => format!("annotation.{key}"),
            (part, "") => format!("annotation-{part}.{key}"),
            (part, platform) => format!("annotation-{part}[{platform}.{key}"),
        };
        let annotatable = outputs.iter_mut().filter(|output| !matches!(&*output.kind, "local" | "tar"));
        annotatable.for_each(|output| drop(output.attributes.insert(name.clone(), value.to_owned())));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_go_where_they_say() {
        let cases = [
            ("out", "local", Destination::Folder("out".into())),
            ("-", "tar", Destination::Stdout),
            ("type=local,dest=o", "local", Destination::Folder("o".into())),
            ("type=tar,dest=o.tar", "tar", Destination::File("o.tar".into())),
            ("type=oci,dest=-", "oci", Destination::Stdout),
            ("type=oci", "oci", Destination::Stdout),
            ("type=oci,tar=false,dest=o", "oci", Destination::Layout("o".into())),
            ("type=docker", "moby", Destination::Engine),
            ("type=docker,dest=d.tar", "docker", Destination::File("d.tar".into())),
            ("type=image,name=a", "moby", Destination::Engine),
            ("type=cacheonly", "cacheonly", Destination::Engine),
        ];
        for (text, kind, destination) in cases {
            let read = output(text).unwrap();
            assert_eq!((&*read.kind, read.destination), (kind, destination), "{text}");
        }
        assert_eq!(output("type=registry,name=r/a").unwrap().attributes["push"], "true");
        for text in ["type=local", "dest=x", "type=oci,tar=false", "type=image,dest=x", "type=tar,odd"] {
            assert!(output(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_image_is_pushed_and_nothing_else_is() {
        let mut outputs = Vec::new();
        pushed(&mut outputs).unwrap();
        assert_eq!((&*outputs[0].kind, &*outputs[0].attributes["push"]), ("moby", "true"));
        assert!(pushed(&mut vec![output("out").unwrap()]).is_err());
    }

    #[test]
    fn annotations_are_for_parts_of_an_image() {
        let mut outputs = vec![output("type=image").unwrap(), output("out").unwrap()];
        for text in ["a=1", "index,manifest:b=2", "manifest[linux/amd64]:c=3", "x:y=4"] {
            annotated(&mut outputs, text).unwrap();
        }
        let keys: Vec<_> = outputs[0].attributes.keys().map(String::as_str).collect();
        let expected = [
            "annotation-index.b",
            "annotation-manifest.b",
            "annotation-manifest[linux/amd64].c",
            "annotation.a",
            "annotation.x:y",
        ];
        assert_eq!(keys, expected);
        assert!(outputs[1].attributes.is_empty());
        assert!(annotated(&mut outputs, "a").is_err() && annotated(&mut outputs, "=b").is_err());
    }
}
