//! Values that a generator makes: whatever is in a file, the loader answers.

use minke_compose::render;
use proptest::prelude::*;

use crate::memory::Memory;

/// A text that may mean something in a Compose file.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~]{0,12}",
        "\\PC{0,6}",
        Just("${A:-b}".to_owned()),
        Just("8000-8010:80-90/udp".to_owned()),
        Just("./a:/b:ro".to_owned()),
        Just("1h30m".to_owned()),
        Just("64m".to_owned()),
        Just("service:a".to_owned()),
        Just("a\nb\n".to_owned()),
    ]
}

/// Any value, as JSON.
fn value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        (-1e9..1e9).prop_map(|number: f64| number.into()),
        text().prop_map(Into::into),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::btree_map(text(), inner, 0..4)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

/// The names of a service's attributes.
const ATTRIBUTES: [&str; 30] = [
    "annotations",
    "build",
    "blkio_config",
    "command",
    "configs",
    "depends_on",
    "deploy",
    "develop",
    "devices",
    "dns",
    "entrypoint",
    "env_file",
    "environment",
    "expose",
    "extends",
    "extra_hosts",
    "gpus",
    "healthcheck",
    "labels",
    "links",
    "logging",
    "networks",
    "ports",
    "post_start",
    "secrets",
    "sysctls",
    "tmpfs",
    "ulimits",
    "volumes",
    "volumes_from",
];

proptest! {
    #[test]
    fn no_value_of_an_attribute_panics(name in prop::sample::select(&ATTRIBUTES[..]), value in value(), over in value()) {
        let document = |value: &serde_json::Value| serde_json::json!({"services": {"a": {"image": "x", (name): value}}}).to_string();
        let files = [("compose.yaml", document(&value)), ("compose.override.yaml", document(&over))];
        let files = files.each_ref().map(|(name, text)| (*name, text.as_str()));
        if let Ok(loaded) = Memory::of(&files).load() {
            let _ = render::yaml(&loaded.project);
            let _ = render::json(&loaded.project);
        }
    }

    #[test]
    fn any_text_is_printed_so_that_it_is_read_again(text in "\\PC{0,20}|[ \\t\\n:#'\"a-]{0,10}", name in "[a-z0-9_.-]{1,8}") {
        let document = serde_json::json!({"services": {"a": {"image": "x", "labels": {(&name): text.replace('$', "$$")}}}});
        let project = Memory::of(&[("compose.yaml", &document.to_string())]).load().unwrap().project;
        let printed = render::yaml(&project);
        let again = Memory::of(&[("compose.yaml", &printed)]).load().unwrap_or_else(|error| panic!("{error}\n{printed}")).project;
        prop_assert_eq!(&again.services["a"].labels[&name], &text, "{}", printed);
    }

    #[test]
    fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut files = Memory::of(&[]);
        files.put("compose.yaml", &bytes);
        let _ = files.load();
    }
}
