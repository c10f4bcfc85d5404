//! The harness itself: targets that are broken on purpose are found out, and what is found breaks them again.

use super::{
    Input, Run, Target, Verdict,
    campaign::{Campaign, attempt},
    holds,
    input::Sample,
};

const TRIES: u64 = 20_000;

fn planted(input: Input, begin: fn() -> Run) -> Target {
    Target { name: "planted", input, tries: TRIES, begin }
}

/// A tar with an extended header before one file.
fn tar() -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    builder.append_pax_extensions([("path", &b"d/long"[..])]).unwrap();
    let mut header = tar::Header::new_ustar();
    header.set_size(20);
    builder.append_data(&mut header, "short", &br#"{"layers":["a","b"]}"#[..]).unwrap();
    builder.into_inner().unwrap()
}

fn expect_found(target: &Target, corpus: &[Vec<u8>], reason: &str, longest: usize) {
    let found = Campaign::new(target, corpus).search().expect("the mistake was not found");
    assert!(found.reason.contains(reason), "{}", found.reason);
    assert!(attempt(&(target.begin)(), &found.input).is_err(), "the reproducer breaks it again");
    assert!(found.input.len() <= longest, "the reproducer was not made smaller: {} bytes", found.input.len());
}

#[test]
fn a_mistake_about_a_number_in_json_is_found() {
    fn negative(text: &[u8]) -> Verdict {
        let Ok(value) = serde_json::from_slice::<serde_json::Value>(text) else {
            return Ok("refused".into());
        };
        let minor = value["devices"][0]["minor"].as_i64();
        assert!(minor.is_none_or(|minor| minor >= 0), "a negative minor number");
        Ok("taken".into())
    }
    let target = planted(Input::Json, || Box::new(negative));
    let corpus = [br#"{"name":"web","more":[1,2,3,"four"],"devices":[{"major":1,"minor":3}]}"#.to_vec()];
    expect_found(
        &target,
        &corpus,
        "a negative minor number",
        r#"{"devices":[{"minor":-9223372036854775808}]}"#.len(),
    );
}

#[test]
fn a_mistake_about_the_length_of_a_text_is_found() {
    fn long(text: &[u8]) -> Verdict {
        let path = text.strip_prefix(b"redis/").unwrap_or_default();
        holds("a path is short", path.len(), path.len() < 300)?;
        Ok("taken".into())
    }
    let target = planted(Input::Text, || Box::new(long));
    expect_found(&target, &[b"redis:7".to_vec(), b"ghcr.io/a/b@x".to_vec()], "a path is short: ", 320);
}

#[test]
fn a_mistake_about_a_number_in_a_message_is_found() {
    fn length(message: &[u8]) -> Verdict {
        let Some((length, rest)) = message.split_first_chunk::<2>() else { return Ok("refused".into()) };
        let length = usize::from(u16::from_be_bytes(*length));
        assert!(length < 0x8000 || rest.is_empty(), "a length beyond the end");
        Ok("taken".into())
    }
    let target = planted(Input::Message, || Box::new(length));
    expect_found(&target, &[b"\0\x04text and more".to_vec()], "a length beyond the end", 4);
}

#[test]
fn a_mistake_about_a_header_in_a_tar_is_found_whatever_its_compression() {
    fn link(bytes: &[u8]) -> Verdict {
        let Some(Sample::Tar(archive)) = Input::Tar.read(bytes) else { return Ok("refused".into()) };
        let changed = archive.names().any(|name| name.ends_with("/canary"));
        assert!(!changed, "a link to the canary");
        Ok("taken".into())
    }
    let target = planted(Input::Tar, || Box::new(link));
    let corpus = [zstd::encode_all(&tar()[..], 1).unwrap(), tar()];
    expect_found(&target, &corpus, "a link to the canary", 2 * 512 + 1024);
}

#[test]
fn a_tar_that_was_taken_apart_is_written_as_it_was() {
    let damaged = [&tar()[..1024], &[7; 900]].concat();
    for bytes in [tar(), damaged] {
        assert!(Input::Tar.read(&bytes).unwrap().bytes() == bytes);
    }
}

#[test]
fn the_same_seed_tries_the_same_inputs() {
    let inputs = |seed| {
        let sample = Input::Tar.read(&tar()).unwrap();
        let mut dictionary = super::input::Dictionary::default();
        dictionary.learn(&sample);
        let mut random = super::random::Random::new(seed);
        (0..50).map(|_| sample.changed(&dictionary, &mut random)).collect::<Vec<_>>()
    };
    assert!(inputs(1) == inputs(1));
    assert!(inputs(1) != inputs(2));
}

#[test]
fn an_error_of_two_lines_is_a_broken_promise() {
    let error = std::io::Error::other("one\ntwo");
    assert!(super::shown(&error).unwrap_err().starts_with("a message is one line"));
    assert_eq!(super::shown(&std::io::Error::other("one")), Ok("one".to_owned()));
}
