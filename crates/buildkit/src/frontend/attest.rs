//! `--attest`, as the attributes of the frontend have it: `attest:provenance` is `mode=max,builder-id=…`.

use std::collections::BTreeMap;

use minke_build::{Attest, Provenance, Sbom, Slsa};
use minke_dockerfile::csv;

use crate::grpc::Status;

/// The generator of those who name none.
const GENERATOR: &str = "docker/buildkit-syft-scanner:stable-1";

/// What is asked for. The older way of asking, by arguments of the build, is understood as well.
///
/// # Errors
/// For kinds that there aren't, and values that mean nothing.
pub(crate) fn read(attributes: &BTreeMap<String, String>) -> Result<Attest, Status> {
    let mut attest = Attest::default();
    for (key, value) in attributes {
        let kind = key.strip_prefix("attest:").or_else(|| key.strip_prefix("build-arg:BUILDKIT_ATTEST_"));
        let Some(kind) = kind.map(str::to_lowercase) else { continue };
        if value == "false" {
            continue;
        }
        let fields = if value.is_empty() { Ok(Vec::new()) } else { csv::fields(value) };
        let fields = fields.map_err(|error| Status::invalid(format!("failed to parse {kind}: {error}")))?;
        let options = fields.into_iter().map(|field| match field.split_once('=') {
            Some((key, value)) => (key.to_owned(), value.to_owned()),
            None => (field, String::new()),
        });
        let mut options = Options { kind: &kind, said: options.collect() };
        // Clients ask for what is "inline only" without being asked themselves.
        if options.flag("disabled")? || options.flag("inline-only")? {
            continue;
        }
        match &*kind {
            "provenance" => attest.provenance = Some(provenance(options)?),
            "sbom" => {
                let generator = options.take("generator").filter(|name| !name.is_empty());
                attest.sbom = Some(Sbom {
                    generator: generator.unwrap_or_else(|| GENERATOR.to_owned()),
                    parameters: options.said,
                });
            }
            other => return Err(Status::invalid(format!("unknown attestation type {other:?}"))),
        }
    }
    Ok(attest)
}

fn provenance(mut options: Options<'_>) -> Result<Provenance, Status> {
    let is_minimal = match options.take("mode").as_deref() {
        None | Some("max" | "full") => false,
        Some("min") => true,
        Some(other) => {
            return Err(Status::invalid(format!("invalid mode {other:?} of provenance: want min or max")));
        }
    };
    let version = match options.take("version").as_deref() {
        None | Some("v1") => Slsa::V1,
        Some("v0.2") => Slsa::V02,
        Some(other) => {
            return Err(Status::invalid(format!(
                "invalid provenance SLSA version: {other:?}: want v1 or v0.2"
            )));
        }
    };
    Ok(Provenance {
        is_minimal,
        version,
        builder_id: options.take("builder-id").unwrap_or_default(),
        is_reproducible: options.flag("reproducible")?,
        wants_all_materials: options.flag("complete-materials")?,
        file_name: options.take("filename").filter(|name| !name.is_empty()),
    })
}

struct Options<'a> {
    kind: &'a str,
    said: BTreeMap<String, String>,
}

impl Options<'_> {
    fn take(&mut self, key: &str) -> Option<String> {
        self.said.remove(key)
    }

    fn flag(&mut self, key: &str) -> Result<bool, Status> {
        let Some(value) = self.take(key) else { return Ok(false) };
        csv::boolean(&value)
            .ok_or_else(|| Status::invalid(format!("invalid value {value:?} of {} {key}", self.kind)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(key: &str, value: &str) -> Result<Attest, Status> {
        super::read(&BTreeMap::from([(key.to_owned(), value.to_owned())]))
    }

    #[test]
    fn what_is_asked_for_is_read() {
        let provenance = read("attest:provenance", "").unwrap().provenance.unwrap();
        assert_eq!(provenance, Provenance::default());
        let said = "mode=min,version=v0.2,builder-id=https://ci,\"filename=a,b\",reproducible=true";
        let provenance = read("attest:provenance", said).unwrap().provenance.unwrap();
        assert!(provenance.is_minimal && provenance.is_reproducible);
        assert_eq!((provenance.version, &*provenance.builder_id), (Slsa::V02, "https://ci"));
        assert_eq!(provenance.file_name.as_deref(), Some("a,b"));
        let sbom = read("attest:sbom", "").unwrap().sbom.unwrap();
        assert_eq!((&*sbom.generator, sbom.parameters.len()), (GENERATOR, 0));
        let sbom = read("build-arg:BUILDKIT_ATTEST_SBOM", "generator=scan:1,DEPTH=2").unwrap().sbom.unwrap();
        assert_eq!((&*sbom.generator, &*sbom.parameters["DEPTH"]), ("scan:1", "2"));
    }

    #[test]
    fn what_is_turned_off_or_nobody_asked_for_is_not_made() {
        for value in ["false", "disabled=true", "mode=min,inline-only=true"] {
            assert_eq!(read("attest:provenance", value).unwrap(), Attest::default(), "{value}");
        }
    }

    #[test]
    fn what_means_nothing_is_refused() {
        for (key, value) in [
            ("attest:other", ""),
            ("attest:provenance", "mode=some"),
            ("attest:provenance", "version=v2"),
            ("attest:provenance", "reproducible=perhaps"),
            ("attest:sbom", "\"generator"),
        ] {
            assert!(!read(key, value).unwrap_err().message.is_empty(), "{key}={value}");
        }
    }
}
