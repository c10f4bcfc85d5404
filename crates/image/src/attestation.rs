//! Attestations: what is said of an image, in a manifest beside it in its index.
//!
//! ```text
//!   index ─┬▶ the image's manifest ◀──────────────── vnd.docker.reference.digest
//!          └▶ the attestation's manifest (unknown/unknown) ─▶ in-toto statements, a layer each
//! ```
//! The form is BuildKit's ("Image attestation storage" of its documentation), which registries and clients know how to show;
//! the statements are those of the in-toto attestation framework, version 1.

use std::collections::BTreeMap;

use minke_model::{
    Descriptor, Digest, Platform,
    descriptor::{ATTESTATION_MANIFEST, REFERENCE_DIGEST, REFERENCE_TYPE},
    media_type::{CONFIG, MANIFEST},
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{CommitError, composed::write_json, store::Staging};

/// The type of statements of in-toto.
const IN_TOTO: &str = "application/vnd.in-toto+json";
/// What says which type the predicate of a statement has.
const PREDICATE_TYPE: &str = "in-toto.io/predicate-type";
/// The type of an attestation's manifest that is an artifact.
const ARTIFACT: &str = "application/vnd.docker.attestation.manifest.v1+json";
/// The type of an artifact's empty configuration (OCI image specification 1.1, "Guidance for an Empty Descriptor").
const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// Something that is said of an image or of files.
#[derive(Debug, Clone, PartialEq)]
pub struct Predicate {
    /// What it is: `https://slsa.dev/provenance/v1`, `https://spdx.dev/Document`.
    pub kind: String,
    /// What it says.
    pub body: Value,
    /// What else it is about, where it says so itself.
    pub subjects: Vec<Subject>,
}

/// What a statement is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Subject {
    /// A package URL, the path of a file.
    pub name: String,
    /// Digests by their algorithms, without these before them: `sha256`.
    pub digest: BTreeMap<String, String>,
}

/// All that is said of an image.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Attestations {
    /// Each becomes a statement.
    pub predicates: Vec<Predicate>,
    /// How the image is called in them.
    pub names: Vec<String>,
    /// Whether their manifest is an artifact of OCI 1.1 that names the image as its subject, and not an image's.
    pub is_artifact: bool,
}

impl Subject {
    /// Content of this digest.
    pub fn new(name: impl Into<String>, digest: &Digest) -> Self {
        Self { name: name.into(), digest: BTreeMap::from([("sha256".to_owned(), digest.hex())]) }
    }
}

impl Predicate {
    /// The statement that says it of `about`, and of what it is about by itself.
    pub fn statement(&self, about: &[Subject]) -> Value {
        let subjects: Vec<&Subject> = match self.subjects.is_empty() {
            true => about.iter().collect(),
            false => self.subjects.iter().collect(),
        };
        json!({
            "_type": "https://in-toto.io/Statement/v1",
            "predicateType": self.kind,
            "subject": subjects,
            "predicate": self.body,
        })
    }
}

impl Attestations {
    /// Writes the statements about an image, and their manifest. Gives the manifest first, as an index has it, and then what it
    /// leads to.
    ///
    /// # Errors
    /// When they can't be written.
    pub(crate) fn write(
        &self,
        image: &Descriptor,
        staging: &mut Staging,
    ) -> Result<Vec<Descriptor>, CommitError> {
        let about: Vec<Subject> = self.names.iter().map(|name| Subject::new(name, &image.digest)).collect();
        let mut layers = Vec::with_capacity(self.predicates.len());
        for predicate in &self.predicates {
            let statement = predicate.statement(&about);
            let written = write_json("a statement", &statement, IN_TOTO, staging)?;
            let annotations = BTreeMap::from([(PREDICATE_TYPE.to_owned(), predicate.kind.clone())]);
            layers.push(Descriptor { annotations: Some(annotations), ..written });
        }
        let config = match self.is_artifact {
            true => write_json("a configuration", &json!({}), EMPTY, staging)?,
            false => {
                let digests: Vec<Digest> = layers.iter().map(|layer| layer.digest).collect();
                let config = json!({
                    "architecture": "unknown",
                    "os": "unknown",
                    "config": {},
                    "rootfs": { "type": "layers", "diff_ids": digests },
                });
                write_json("a configuration", &config, CONFIG, staging)?
            }
        };
        let mut manifest =
            json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers });
        if self.is_artifact {
            manifest["artifactType"] = ARTIFACT.into();
            let subject = Descriptor::new(&image.media_type, image.digest, image.size);
            manifest["subject"] = json!(subject);
        }
        let manifest = write_json("an attestation's manifest", &manifest, MANIFEST, staging)?;
        let annotations = BTreeMap::from([
            (REFERENCE_TYPE.to_owned(), ATTESTATION_MANIFEST.to_owned()),
            (REFERENCE_DIGEST.to_owned(), image.digest.to_string()),
        ]);
        let manifest = Descriptor {
            platform: Some(Platform {
                os: "unknown".to_owned(),
                architecture: "unknown".to_owned(),
                variant: None,
            }),
            annotations: Some(annotations),
            artifact_type: self.is_artifact.then(|| ARTIFACT.to_owned()),
            ..manifest
        };
        Ok([manifest, config].into_iter().chain(layers).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_about_what_it_says_itself_or_else_about_what_it_is_made_for() {
        let image = Digest::from_bytes([1; 32]);
        let about = [Subject::new("pkg:docker/app@latest", &image)];
        let mut predicate = Predicate {
            kind: "https://spdx.dev/Document".into(),
            body: json!({ "a": 1 }),
            subjects: Vec::new(),
        };
        let statement = predicate.statement(&about);
        assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
        assert_eq!(statement["predicateType"], "https://spdx.dev/Document");
        assert_eq!(statement["subject"][0]["name"], "pkg:docker/app@latest");
        assert_eq!(statement["subject"][0]["digest"]["sha256"], image.hex());
        assert_eq!(statement["predicate"]["a"], 1);
        predicate.subjects = vec![Subject::new("other", &image)];
        assert_eq!(predicate.statement(&about)["subject"][0]["name"], "other");
    }
}
