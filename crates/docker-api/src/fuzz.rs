//! Fuzzing of what reads requests: heads, targets, bodies. The harness is the tests' own ([`minke_testkit::fuzz`]).

use bollard_stubs::models::{ContainerCreateBody, ContainerUpdateBody, ExecConfig, VolumeCreateRequest};
use bytes::BytesMut;
use hyper::Method;
use minke_testkit::fuzz::{Input, REFUSED, Suite, TAKEN, Target, Verdict, broken, holds, one_line};
use serde::{Serialize, de::DeserializeOwned};

use crate::error::ApiError;
use crate::json;
use crate::query::Query;
use crate::sniff::{LIMIT, RawRequest, Sniffed, sniff, with_clean_target};
use crate::{path, routes, version};

const SUITE: Suite = Suite { corpus: concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus"), targets: TARGETS };

const TARGETS: &[Target] = &[
    Target { name: "api-body", input: Input::Json, tries: 3_000, begin: || Box::new(body) },
    Target { name: "api-request", input: Input::Text, tries: 3_000, begin: || Box::new(request) },
    Target { name: "api-target", input: Input::Text, tries: 5_000, begin: || Box::new(target) },
];

const METHODS: [Method; 5] = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE];

#[test]
fn no_body_breaks_what_reads_it() {
    SUITE.run("api-body");
}

#[test]
fn no_request_breaks_what_looks_at_its_head() {
    SUITE.run("api-request");
}

#[test]
fn no_target_breaks_what_finds_its_route_and_parameters() {
    SUITE.run("api-target");
}

#[test]
fn every_target_has_inputs_to_begin_with_that_it_takes() {
    SUITE.expect_corpus_is_taken();
}

/// As each of the objects that a client sends.
fn body(text: &[u8]) -> Verdict {
    let outcomes = [
        object::<ContainerCreateBody>(text)?,
        object::<ContainerUpdateBody>(text)?,
        object::<ExecConfig>(text)?,
        object::<VolumeCreateRequest>(text)?,
    ];
    let taken = outcomes.iter().any(|outcome| outcome == TAKEN);
    Ok(format!("{}{}", if taken { TAKEN } else { REFUSED }, outcomes.join(", ")))
}

fn object<T: DeserializeOwned + Serialize + std::fmt::Debug>(text: &[u8]) -> Verdict {
    match json::parse::<T>(text) {
        Ok((value, _)) => {
            // Sets have no order, so that what is read again is not always equal.
            let written =
                serde_json::to_vec(&value).map_err(|error| broken("it can be written", error.to_string()))?;
            let again = serde_json::from_slice::<T>(&written);
            holds("what was written can be read", &value, again.is_ok())?;
            Ok(TAKEN.to_owned())
        }
        Err(error) => {
            holds("the client is told that its body is wrong", &error, error.status.as_u16() == 400)?;
            holds("an error says where", &error.message, error.message.starts_with("invalid JSON: "))?;
            one_line(error.message)
        }
    }
}

/// As a connection looks at its first bytes, whichever pieces they come in.
fn request(text: &[u8]) -> Verdict {
    let whole = sniff(text);
    for length in (0..text.len()).step_by(7) {
        let (early, late) = (kind(&sniff(&text[..length])), kind(&whole));
        holds(
            "more bytes don't change what was seen",
            (length, early, late),
            early == "more" || early == late,
        )?;
    }
    if let Sniffed::Raw(RawRequest { end, body, .. }) = &whole {
        holds("a body is in the request", (end, body.len()), *end <= text.len() && body.len() <= *end)?;
    }
    if matches!(whole, Sniffed::More) {
        holds("a connection waits for no more than its limit", text.len(), text.len() < LIMIT)?;
    }
    let clean = with_clean_target(BytesMut::from(text));
    let again = with_clean_target(clean.clone());
    holds("a clean target is clean", &clean, clean == again)?;
    Ok(format!("{TAKEN}: {}", kind(&whole)))
}

fn kind(sniffed: &Sniffed) -> &'static str {
    match sniffed {
        Sniffed::More => "more",
        Sniffed::Http => "for hyper",
        Sniffed::Raw(_) => "a hijack",
    }
}

/// As a request's path and query are read, by whichever method.
fn target(text: &[u8]) -> Verdict {
    let text = String::from_utf8_lossy(text);
    let (raw, parameters) = text.split_once('?').unwrap_or((&text, ""));
    let decoded = path::decode(raw);
    let query = Query::parse(parameters);
    let read = [
        told("filters", query.filters())?,
        told("since", query.time("since"))?,
        told("until", query.time("until"))?,
        told("t", query.number::<i64>("t"))?,
        told("limit", query.number::<i64>("limit"))?,
        told("w", query.number::<u16>("w"))?,
        told("name", query.required("name").map(drop))?,
    ];
    let (version, path) = match version::split(&decoded) {
        Ok(split) => split,
        Err(error) => return Ok(format!("{REFUSED}{}", message(error)?)),
    };
    let found =
        METHODS.iter().filter_map(|method| routes::find(method, path, version)).map(|(route, name)| {
            let inside = decoded.contains(name);
            holds("a name is a part of the path", (name, &decoded), inside).map(|()| route.path)
        });
    let found: Vec<_> = found.collect::<Result<_, String>>()?;
    Ok(format!("{TAKEN}: {found:?} {read:?}"))
}

fn told<T>(name: &str, read: Result<T, ApiError>) -> Result<bool, String> {
    match read {
        Ok(_) => Ok(true),
        Err(error) => {
            let says_which = error.message.contains(name);
            let message = message(error)?;
            if says_which { Ok(false) } else { Err(broken("an error names its parameter", (name, message))) }
        }
    }
}

/// An error's text, if it is one that a client can show.
fn message(error: ApiError) -> Verdict {
    holds("it is the client's mistake", &error, error.status.is_client_error())?;
    one_line(error.message)
}
