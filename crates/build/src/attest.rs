//! What is attested of a result, for those who ask: how it came about ([`provenance`]) and what is in it ([`scan`]).
//!
//! ```text
//!   finished builds ─▶ a predicate or more for each ─┬▶ an image: a manifest beside it in its index
//!                                                    ├▶ files: statements beside them
//!                                                    └▶ the client: provenance, always
//! ```

mod material;
mod package_url;
mod provenance;
mod scan;

pub use self::material::Material;
pub(crate) use self::package_url::package_url;
pub(crate) use self::provenance::{Facts, Sources};

use std::collections::BTreeMap;

use minke_image::Predicate;
use time::OffsetDateTime;

use crate::{BuildError, Builder, export::Finished};

/// What is to be attested.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attest {
    /// How the result came about.
    pub provenance: Option<Provenance>,
    /// What is in it.
    pub sbom: Option<Sbom>,
}

/// How provenance is to be told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Provenance {
    /// Without what may be nobody's business: arguments, labels, the names of secrets, the Dockerfile.
    pub is_minimal: bool,
    /// The form of it.
    pub version: Slsa,
    /// What names the builder.
    pub builder_id: String,
    /// Whether whoever asks says that the same comes about each time.
    pub is_reproducible: bool,
    /// Whether a build from what can't be named is an error.
    pub wants_all_materials: bool,
    /// The name of the file where the output is files.
    pub file_name: Option<String>,
}

/// Versions of SLSA's provenance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Slsa {
    /// 0.2.
    V02,
    /// 1.0.
    #[default]
    V1,
}

/// How the contents of an image are found out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sbom {
    /// The image of the program that does it.
    pub generator: String,
    /// What else that is told, as `BUILDKIT_SCAN_<name>`.
    pub parameters: BTreeMap<String, String>,
}

/// A build as its client asked for it, in the client's own words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Invocation {
    /// What names it.
    pub id: String,
    /// The attributes of BuildKit's Dockerfile frontend.
    pub attributes: BTreeMap<String, String>,
}

/// What was attested of a result for one platform.
#[derive(Debug, Clone)]
pub(crate) struct Attested {
    /// What was asked for, with the name that each has as a file.
    pub(crate) wanted: Vec<(String, Predicate)>,
    /// The whole provenance, for the client alone.
    pub(crate) provenance: Predicate,
}

/// Attests what was asked for of each of the results, which come in the same order.
pub(crate) async fn attest(
    builder: &Builder,
    finished: &[Finished],
    began: OffsetDateTime,
) -> Result<Vec<Attested>, BuildError> {
    let mut attested = Vec::with_capacity(finished.len());
    for one in finished {
        let asked = &one.build.request.attest;
        let mut facts = Facts::gather(one, began).await?;
        let mut wanted = Vec::new();
        if let Some(sbom) = &asked.sbom {
            let (statements, made_of) = scan::scan(builder, one, sbom).await?;
            wanted.extend(statements);
            facts.sources.merge(&made_of);
        }
        if let Some(options) = &asked.provenance {
            let name = options.file_name.clone().unwrap_or_else(|| "provenance.json".to_owned());
            wanted.push((name, facts.predicate(options)?));
        }
        let builder_id = asked.provenance.as_ref().map(|options| options.builder_id.clone());
        let whole = Provenance { builder_id: builder_id.unwrap_or_default(), ..Provenance::default() };
        let provenance = facts.predicate(&whole)?;
        attested.push(Attested { wanted, provenance });
    }
    Ok(attested)
}
