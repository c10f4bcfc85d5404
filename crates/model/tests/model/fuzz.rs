//! Fuzzing of the words that users and registries write: references, digests, platforms.

use minke_model::{AnyReference, Digest, Platform, Reference, reference::LONGEST_PATH};
use minke_testkit::fuzz::{Input, Suite, Target, Verdict, holds, reads_back, refused, shown};

const SUITE: Suite = Suite { corpus: concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus"), targets: TARGETS };

const TARGETS: &[Target] =
    &[Target { name: "reference", input: Input::Text, tries: 4_000, begin: || Box::new(reference) }];

/// A host name has at most 253 characters, a port six with its colon.
const LONGEST_DOMAIN: usize = 259;
/// The grammar's longest tag.
const LONGEST_TAG: usize = 128;
/// The algorithm with a colon, and the digits.
const DIGEST: usize = 71;

#[test]
fn no_text_breaks_what_reads_references_digests_and_platforms() {
    SUITE.run("reference");
}

#[test]
fn every_target_has_inputs_to_begin_with_that_it_takes() {
    SUITE.expect_corpus_is_taken();
}

/// As everywhere a user names an image: by any of these words.
fn reference(text: &[u8]) -> Verdict {
    let text = match std::str::from_utf8(text) {
        Ok(text) => text,
        Err(error) => return refused(&error),
    };
    let (digest, platform) = (digest(text)?, platform(text)?);
    match text.parse::<AnyReference>() {
        Ok(AnyReference::Named(reference)) => {
            let parts = named(&reference)?;
            let own: Result<Reference, _> = text.parse();
            holds("a name is a name for everybody", &reference, own.as_ref() == Ok(&reference))?;
            Ok(format!("taken: {parts}, {digest}, {platform}"))
        }
        Ok(AnyReference::Digest(found)) => {
            for again in [found.to_string(), found.hex()] {
                holds("an id reads back", &again, again.parse() == Ok(AnyReference::Digest(found)))?;
            }
            Ok(format!("taken: an id, {digest}"))
        }
        Err(error) if text.parse::<Platform>().is_ok() => {
            shown(&error).map(|_| format!("taken: {platform}, no name"))
        }
        Err(error) => refused(&error),
    }
}

/// Says which parts it has.
fn named(reference: &Reference) -> Verdict {
    reads_the_same(reference)?;
    reads_back(reference, |bytes| serde_json::from_slice(bytes))?;
    let (domain, path, tag) = (reference.domain(), reference.path(), reference.tag().unwrap_or("latest"));
    holds("a domain is short", domain, domain.len() <= LONGEST_DOMAIN)?;
    holds("a path is short", path, path.len() <= LONGEST_PATH)?;
    holds("a tag is short", tag, tag.len() <= LONGEST_TAG)?;
    let full = reference.to_string();
    let longest = LONGEST_DOMAIN + 1 + LONGEST_PATH + 1 + LONGEST_TAG + 1 + DIGEST;
    holds("a name is short", &full, full.len() <= longest)?;
    holds("a name is printable", &full, full.bytes().all(|byte| byte.is_ascii_graphic()))?;
    let tagged = reference.clone().with_default_tag();
    holds("a default tag is one", &tagged, !tagged.is_name_only())?;
    reads_the_same(&tagged)?;
    reads_the_same(&reference.with_digest(Digest::from_bytes([7; 32])))?;
    let retagged = reference.with_tag(tag).map_err(|error| error.to_string())?;
    reads_the_same(&retagged)?;
    Ok(format!(
        "tag {}, digest {}, familiar {}",
        reference.tag().is_some(),
        reference.digest().is_some(),
        match reference.familiar_name() {
            name if name == reference.name() => "in full",
            name if name == path => "by its path",
            _ => "by its last word",
        }
    ))
}

/// In full and in familiar form, wherever a name or an id may be written.
fn reads_the_same(reference: &Reference) -> Result<(), String> {
    for text in [reference.to_string(), reference.familiar()] {
        let read = text.parse::<Reference>();
        holds("a name reads back", (reference, &text, &read), read.as_ref() == Ok(reference))?;
        let any = text.parse::<AnyReference>();
        holds("a name stays a name", (&text, &any), any == Ok(AnyReference::Named(reference.clone())))?;
    }
    Ok(())
}

fn digest(text: &str) -> Verdict {
    match text.parse::<Digest>() {
        Ok(digest) => {
            holds("a digest has one spelling", digest, digest.to_string() == text)?;
            reads_back(&digest, |bytes| serde_json::from_slice(bytes))?;
            Ok("a digest".into())
        }
        Err(error) => shown(&error).map(|_| "no digest".into()),
    }
}

fn platform(text: &str) -> Verdict {
    match text.parse::<Platform>() {
        Ok(platform) => {
            let again = platform.to_string();
            holds("a platform reads back", &again, again.parse().as_ref() == Ok(&platform))?;
            holds("a platform is lower case", &again, !again.bytes().any(|byte| byte.is_ascii_uppercase()))?;
            holds("a platform runs its own images", &again, platform.suitability(&platform) > 0)?;
            reads_back(&platform, |bytes| serde_json::from_slice(bytes))?;
            Ok(format!(
                "a platform {}",
                if platform.variant.is_some() { "with a variant" } else { "without one" }
            ))
        }
        Err(error) => shown(&error).map(|_| "no platform".into()),
    }
}
