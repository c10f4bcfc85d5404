//! Cases of the grammar that Docker's users meet, and properties over all strings.

use proptest::prelude::*;

use super::*;

const HEX: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn full(text: &str) -> String {
    text.parse::<Reference>().unwrap().to_string()
}

fn refusal(text: &str) -> String {
    text.parse::<Reference>().unwrap_err().to_string()
}

#[test]
fn short_names_mean_the_official_images_of_docker_hub() {
    for (text, expected, familiar) in [
        ("redis", "docker.io/library/redis", "redis"),
        ("redis:7", "docker.io/library/redis:7", "redis:7"),
        ("me/app", "docker.io/me/app", "me/app"),
        ("docker.io/redis", "docker.io/library/redis", "redis"),
        ("index.docker.io/library/redis:7", "docker.io/library/redis:7", "redis:7"),
        ("library/redis", "docker.io/library/redis", "redis"),
        ("docker.io/library/a/b", "docker.io/library/a/b", "library/a/b"),
        ("localhost/app", "localhost/app", "localhost/app"),
        ("localhost:5000/a/b:1.0-rc_2", "localhost:5000/a/b:1.0-rc_2", "localhost:5000/a/b:1.0-rc_2"),
        ("localhost:5000", "docker.io/library/localhost:5000", "localhost:5000"),
        ("GHCR/app", "GHCR/app", "GHCR/app"),
        ("[2001:db8::1]:5000/app", "[2001:db8::1]:5000/app", "[2001:db8::1]:5000/app"),
        ("a.b/c__d/e--f.g", "a.b/c__d/e--f.g", "a.b/c__d/e--f.g"),
        // Shorter, these would be read as something else.
        ("docker.io/localhost/app", "docker.io/localhost/app", "docker.io/localhost/app"),
        ("docker.io/a.b/c", "docker.io/a.b/c", "docker.io/a.b/c"),
        ("docker.io/docker.io/c", "docker.io/docker.io/c", "docker.io/docker.io/c"),
    ] {
        let reference: Reference = text.parse().unwrap();
        assert_eq!((reference.to_string().as_str(), reference.familiar().as_str()), (expected, familiar));
    }
}

#[test]
fn a_tag_and_a_digest_may_stand_together() {
    let reference: Reference = format!("redis:7@sha256:{HEX}").parse().unwrap();
    assert_eq!(reference.tag(), Some("7"));
    assert_eq!(reference.digest().unwrap().hex(), HEX);
    assert_eq!(reference.familiar(), format!("redis:7@sha256:{HEX}"));
}

#[test]
fn latest_is_added_only_where_nothing_was_said() {
    let with = |text: &str| text.parse::<Reference>().unwrap().with_default_tag().familiar();
    assert_eq!(with("redis"), "redis:latest");
    assert_eq!(with("redis:7"), "redis:7");
    assert_eq!(with(&format!("redis@sha256:{HEX}")), format!("redis@sha256:{HEX}"));
}

#[test]
fn capital_letters_in_the_repository_are_named() {
    assert_eq!(refusal("Redis"), "invalid reference format: repository name (Redis) must be lowercase");
    assert_eq!(
        refusal("ghcr.io/Me/app:X"),
        "invalid reference format: repository name (Me/app) must be lowercase"
    );
    assert_eq!(full("redis:RC1"), "docker.io/library/redis:RC1");
}

#[test]
fn an_id_is_not_a_name() {
    assert!(refusal(HEX).contains("cannot specify 64-byte hexadecimal strings"));
    assert_eq!(HEX.parse(), Ok(AnyReference::Digest(Digest::from_hex(HEX).unwrap())));
    assert_eq!(format!("sha256:{HEX}").parse(), Ok(AnyReference::Digest(Digest::from_hex(HEX).unwrap())));
    assert!(matches!("redis".parse(), Ok(AnyReference::Named(_))));
}

#[test]
fn what_is_called_like_an_id_keeps_the_name_that_is_none() {
    let familiar = |text: &str| text.parse::<Reference>().unwrap().familiar();
    assert_eq!(familiar(&format!("library/{HEX}")), format!("library/{HEX}"));
    assert_eq!(familiar(&format!("library/sha256:{HEX}")), format!("docker.io/library/sha256:{HEX}"));
    assert_eq!(familiar("library/sha256:1"), "sha256:1");
}

#[test]
fn a_refusal_is_one_short_line() {
    assert_eq!(refusal("A\nb"), "invalid reference format: repository name (A\\nb) must be lowercase");
    for text in ["x y".repeat(9999), "X".repeat(9999), format!("a@{}", "x".repeat(9999))] {
        assert!(refusal(&text).len() < 300, "{}", refusal(&text));
    }
}

#[test]
fn malformed_references_are_refused() {
    let long_tag = format!("a:{}", "t".repeat(129));
    for text in [
        "",
        "/",
        "a/",
        "/a",
        "a//b",
        "-a",
        "a-",
        "a..b",
        "a___b",
        "a._b",
        "a:",
        "a:-b",
        "a:b:c",
        "a@",
        "a b",
        "a\n",
        "é",
        "https://a.b/c",
        "-a.b/c",
        "a.b-/c",
        "a.b:/c",
        "a.b:x/c",
        "[::g]/c",
        "[]/c",
        "[::1]x/c",
        &long_tag,
    ] {
        assert!(refusal(text).contains("invalid reference format"), "{text:?}: {}", refusal(text));
    }
}

#[test]
fn digests_of_other_kinds_are_refused_by_name() {
    assert!(refusal("a@sha512:00").contains("not a sha256 digest"));
    assert!(refusal("a@sha256:00").contains("not a sha256 digest"));
}

#[test]
fn a_repository_has_at_most_255_characters() {
    assert_eq!(full(&format!("a.b/{}", "c".repeat(255))).len(), 259);
    assert!(refusal(&format!("a.b/{}", "c".repeat(256))).contains("255 characters"));
}

#[test]
fn a_registry_has_at_most_the_characters_of_a_host_and_a_port() {
    let host = ["d".repeat(63), "e".repeat(63), "f".repeat(63), "g".repeat(61)].join(".");
    assert_eq!(full(&format!("{host}:50000/c")).len(), 261);
    assert!(refusal(&format!("{host}h:50000/c")).contains("259 characters"));
}

proptest! {
    #[test]
    fn no_string_makes_the_parser_panic(text in "\\PC*") {
        let _ = text.parse::<AnyReference>();
    }

    #[test]
    fn what_was_parsed_reads_back_in_both_forms(
        text in "([a-zA-Z0-9.-]{1,8}(:[0-9]{1,4})?/)?[a-z0-9._/-]{1,20}(:[\\w.-]{1,10})?"
    ) {
        if let Ok(reference) = text.parse::<Reference>() {
            prop_assert_eq!(reference.to_string().parse(), Ok(reference.clone()));
            prop_assert_eq!(reference.familiar().parse(), Ok(reference));
        }
    }
}
