//! Builds on what other builds come to: `target:` in `docker buildx bake`, `service:` in Compose.
//!
//! A client gets the graph of a result and gives it to the next build as an input. Graphs aren't solved here, so the graph of
//! a result is a single source that says which result of which build it is, and nobody but this engine understands it.

use bytes::Bytes;
use minke_model::Digest;
use prost::Message;
use sha2::{Digest as _, Sha256};

use crate::pb::source::{Definition, Input, Op, OpMetadata, SourceOp};

/// What such a source begins with.
const SCHEME: &str = "minke-result://";

/// The graph that stands for a result.
pub(crate) fn definition(reference: &str) -> Definition {
    let source = Some(SourceOp { identifier: format!("{SCHEME}{reference}"), ..SourceOp::default() });
    let source = Bytes::from(Op { source, ..Op::default() }.encode_to_vec());
    let input = Input { digest: digest(&source), index: 0 };
    let last = Bytes::from(Op { inputs: vec![input], ..Op::default() }.encode_to_vec());
    let metadata = [&source, &last].map(|op| (digest(op), OpMetadata {}));
    Definition { metadata: metadata.into(), def: vec![source, last] }
}

fn digest(op: &[u8]) -> String {
    Digest::from_bytes(Sha256::digest(op).into()).to_string()
}

/// The reference of the result that a graph stands for; `None` for any other graph.
pub(crate) fn reference(definition: &Definition) -> Option<String> {
    let mut sources = definition.def.iter().filter_map(|op| Op::decode(op.clone()).ok()?.source);
    let only = sources.next().filter(|_| sources.next().is_none())?;
    only.identifier.strip_prefix(SCHEME).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_comes_back_from_its_graph_and_others_do_not() {
        let graph = definition("build-1-0");
        assert_eq!(reference(&graph).as_deref(), Some("build-1-0"));
        let last = Op::decode(graph.def[1].clone()).unwrap();
        assert!(graph.metadata.contains_key(&last.inputs[0].digest));
        let source = Some(SourceOp { identifier: "docker-image://x".into(), ..SourceOp::default() });
        let other = Definition { def: vec![Op { source, ..Op::default() }.encode_to_vec().into()], ..graph };
        assert_eq!(reference(&other), None);
        assert_eq!(reference(&Definition::default()), None);
        let nonsense = Definition { def: vec![Bytes::from_static(b"\xff\xff")], ..Definition::default() };
        assert_eq!(reference(&nonsense), None);
    }
}
