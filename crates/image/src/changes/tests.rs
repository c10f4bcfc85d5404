//! Each instruction in each of its forms, and the mistakes users make.

use proptest::prelude::*;

use super::*;

fn changed(changes: &[&str]) -> RunConfig {
    let mut config = RunConfig::default();
    apply(&mut config, &changes.iter().map(|c| (*c).to_owned()).collect::<Vec<_>>()).unwrap();
    config
}

fn refusal(change: &str) -> String {
    apply(&mut RunConfig::default(), &[change.to_owned()]).unwrap_err().to_string()
}

#[test]
fn commands_have_a_json_form_and_a_shell_form() {
    assert_eq!(changed(&[r#"CMD ["a", "b c"]"#]).cmd.unwrap(), ["a", "b c"]);
    assert_eq!(changed(&["cmd echo $HOME"]).cmd.unwrap(), ["/bin/sh", "-c", "echo $HOME"]);
    assert_eq!(changed(&["CMD [not json"]).cmd.unwrap(), ["/bin/sh", "-c", "[not json"]);
    assert_eq!(changed(&["ENTRYPOINT []"]).entrypoint, None);
}

#[test]
fn a_new_entry_point_forgets_an_inherited_command_but_not_a_new_one() {
    let mut config = RunConfig { cmd: Some(vec!["old".to_owned()]), ..RunConfig::default() };
    apply(&mut config, &[r#"ENTRYPOINT ["x"]"#.to_owned()]).unwrap();
    assert_eq!(config.cmd, None);
    assert_eq!(changed(&[r#"CMD ["new"]"#, r#"ENTRYPOINT ["x"]"#]).cmd.unwrap(), ["new"]);
}

#[test]
fn variables_are_set_replaced_and_expanded() {
    let config = changed(&[
        "ENV A=1 B=\"two words\" C='$A' D=${A}x E=${Z:-none} F=${A:+set} G=a\\ b",
        "ENV OLD the whole rest",
        "ENV A=2",
        "ENV PATH=/x:$A",
    ]);
    assert_eq!(
        config.env,
        ["A=2", "B=two words", "C=$A", "D=x", "E=none", "F=", "G=a b", "OLD=the whole rest", "PATH=/x:2"]
    );
}

#[test]
fn labels_ports_volumes_and_the_rest_are_set() {
    let config = changed(&[
        "LABEL a=1 \"b c\"=\"d e\"",
        "EXPOSE 80 53/UDP 8000-8002",
        r#"VOLUME ["/data", "/more"]"#,
        "VOLUME /a /b",
        "WORKDIR /srv",
        "WORKDIR app/../web",
        "USER nobody:nogroup",
        "STOPSIGNAL SIGQUIT",
        "ONBUILD RUN make",
    ]);
    assert_eq!(config.labels["b c"], "d e");
    assert_eq!(
        config.exposed_ports.keys().collect::<Vec<_>>(),
        ["53/udp", "80/tcp", "8000/tcp", "8001/tcp", "8002/tcp"]
    );
    assert_eq!(config.volumes.keys().collect::<Vec<_>>(), ["/a", "/b", "/data", "/more"]);
    assert_eq!((config.working_dir.as_str(), config.user.as_str()), ("/srv/web", "nobody:nogroup"));
    assert_eq!(
        (config.stop_signal.as_deref(), config.on_build),
        (Some("SIGQUIT"), vec!["RUN make".to_owned()])
    );
}

#[test]
fn health_checks_have_times_and_two_forms() {
    let check = changed(&["HEALTHCHECK --interval=1m30s --timeout=1.5s --retries=3 CMD curl -f localhost"])
        .healthcheck
        .unwrap();
    assert_eq!(check.test, ["CMD-SHELL", "curl -f localhost"]);
    assert_eq!((check.interval, check.timeout, check.retries), (90_000_000_000, 1_500_000_000, 3));
    assert_eq!(changed(&[r#"HEALTHCHECK CMD ["a"]"#]).healthcheck.unwrap().test, ["CMD", "a"]);
    assert_eq!(changed(&["HEALTHCHECK NONE"]).healthcheck.unwrap().test, ["NONE"]);
}

#[test]
fn several_lines_comments_and_continuations_are_one_change() {
    let config = changed(&["# a comment\nENV A=1 \\\n  B=2\n\nUSER me"]);
    assert_eq!((config.env, config.user), (vec!["A=1".to_owned(), "B=2".to_owned()], "me".to_owned()));
}

#[test]
fn mistakes_are_named() {
    for (change, expected) in [
        ("RUN make", "RUN is not a valid change command"),
        ("FROM x", "FROM is not a valid change command"),
        ("CMD", "needs at least one argument"),
        ("ENV A", "must have two arguments"),
        ("ENV A=1 B", "can't find ="),
        ("ENV =1", "blank"),
        ("ENV A=\"1", "quote"),
        ("LABEL x=${", "missing '}'"),
        ("EXPOSE 70000", "0 to 65535"),
        ("EXPOSE 9-8", "higher than the last"),
        ("EXPOSE 80/icmp", "invalid protocol"),
        ("STOPSIGNAL SIGNOPE", "invalid signal: SIGNOPE"),
        ("ONBUILD ONBUILD RUN x", "isn't allowed"),
        ("ONBUILD FROM x", "isn't allowed as an ONBUILD trigger"),
        ("HEALTHCHECK SOMETIMES", "unknown type"),
        ("HEALTHCHECK --interval=5 CMD x", "not a duration"),
        ("HEALTHCHECK --interval=1us CMD x", "less than 1ms"),
        ("HEALTHCHECK NONE x", "NONE takes no arguments"),
        (r#"VOLUME [""]"#, "empty string"),
    ] {
        assert!(refusal(change).contains(expected), "{change}: {}", refusal(change));
    }
}

proptest! {
    #[test]
    fn no_change_makes_the_parser_panic(word in "(ENV|LABEL|CMD|EXPOSE|HEALTHCHECK|VOLUME|WORKDIR|STOPSIGNAL)", rest in "\\PC*") {
        let _ = apply(&mut RunConfig::default(), &[format!("{word} {rest}")]);
    }
}
