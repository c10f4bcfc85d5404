//! Landlock rules that an annotation asks for. The machine's kernel has Landlock; on one that hasn't, these containers fail.

use std::fs;

use crate::bundle::Bundle;

const SCRIPT: &str = "cat /etc/passwd >/dev/null && echo read; cat /secret/key; echo x >/tmp/x && cat /tmp/x; echo x >/etc/x; id -u";

fn confined(script: &str, rules: &str) -> Bundle {
    let mut bundle = Bundle::new(script);
    fs::create_dir(bundle.rootfs().join("secret")).unwrap();
    fs::write(bundle.rootfs().join("secret/key"), "found\n").unwrap();
    if !rules.is_empty() {
        bundle.spec.annotations.insert("dev.minke.landlock".into(), rules.into());
    }
    bundle
}

const RULES: &str =
    r#"{"read": ["/etc", "/proc"], "execute": ["/bin"], "write": ["/tmp", "/dev/null"], "connectTcp": []}"#;

#[test]
fn what_is_not_listed_is_denied_to_root_too() {
    let rules = RULES.replace("\"/etc\"", "\"/etc\", \"/tmp\"");
    let lines = |outcome: crate::bundle::Outcome| outcome.stdout;
    assert_eq!(
        lines(confined(SCRIPT, "").run().succeeded()),
        "read\nfound\nx\n0\n",
        "without rules all is open"
    );
    for no_new_privileges in [true, false] {
        let mut bundle = confined(SCRIPT, &rules);
        bundle.process().no_new_privileges = no_new_privileges;
        let outcome = bundle.run().succeeded();
        assert_eq!(outcome.stdout, "read\nx\n0\n", "{outcome:?}");
        assert_eq!(outcome.stderr.matches("ermission denied").count(), 2, "{outcome:?}");
    }
}

#[test]
fn a_port_that_is_not_listed_is_denied() {
    let connect = "nc 127.0.0.1 9 </dev/null";
    let outcome = confined(connect, "").run();
    assert!(outcome.stderr.contains("refused"), "nobody listens: {outcome:?}");
    let outcome = confined(connect, RULES).run();
    assert!(outcome.stderr.contains("ermission denied"), "{outcome:?}");
}

#[test]
fn processes_that_are_added_are_restricted_as_well() {
    let mut bundle = confined("", RULES);
    bundle.start_sleeping();
    let outcome = bundle.exec("cat /secret/key; cat /etc/passwd");
    assert!(outcome.stderr.contains("ermission denied") && outcome.stdout.contains("root"), "{outcome:?}");
}

#[test]
fn mistakes_in_the_rules_are_named() {
    for (rules, part) in [
        (r#"{"read": ["/nothing"]}"#, "/nothing"),
        (r#"{"reads": []}"#, "unknown field"),
        (r#"{"read": ["etc"]}"#, "not an absolute path"),
    ] {
        let bundle = confined("true", rules);
        bundle.run().failed_with(1, &["dev.minke.landlock", part]);
        bundle.left_nothing();
    }
}
