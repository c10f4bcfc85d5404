//! Every instruction with every flag, and every way to write one wrongly.

use proptest::prelude::*;

use super::*;
use crate::ast::*;

/// What follows `FROM scratch`.
#[track_caller]
fn instructions(text: &str) -> Vec<Instruction> {
    let file = parse("Dockerfile", format!("FROM scratch\n{text}").as_bytes());
    file.unwrap_or_else(|mistake| panic!("{}", mistake.render())).stages.remove(0).instructions
}

#[track_caller]
fn kind(text: &str) -> Kind {
    let mut found = instructions(text);
    assert_eq!(found.len(), 1, "{text}: {found:#?}");
    found.remove(0).kind
}

/// What is wrong with what follows `FROM scratch`.
#[track_caller]
fn wrong(text: &str, message: &str) {
    let error = parse("Dockerfile", format!("FROM scratch\n{text}").as_bytes()).unwrap_err();
    assert_eq!(error.to_string().trim_start_matches("dockerfile parse error on line 2: "), message, "{text}");
    assert_eq!(error.lines[0].first, 2, "{text}");
}

fn run(text: &str) -> Run {
    match kind(text) {
        Kind::Run(run) => run,
        other => panic!("{other:?}"),
    }
}

fn copy(text: &str) -> Copy {
    match kind(text) {
        Kind::Copy(copy) => copy,
        other => panic!("{other:?}"),
    }
}

fn add(text: &str) -> Add {
    match kind(text) {
        Kind::Add(add) => add,
        other => panic!("{other:?}"),
    }
}

mod lines {
    use super::*;

    fn file(text: &str) -> Dockerfile {
        parse("Dockerfile", text.as_bytes()).unwrap_or_else(|mistake| panic!("{}", mistake.render()))
    }

    #[test]
    fn continuations_comments_and_empty_lines_make_one_instruction() {
        let file = file("FROM a\nRUN one \\\n  # comment\n\n  two \\  \n\tthree\nRUN four\n");
        let [first, second] = &file.stages[0].instructions[..] else { panic!() };
        assert_eq!(first.code, "RUN one   two \tthree");
        assert_eq!((first.lines, second.lines), (Lines { first: 2, last: 6 }, Lines::one(7)));
        assert_eq!(file.empty_continuations, [Lines::one(6)]);
    }

    #[test]
    fn an_escaped_escape_does_not_continue() {
        assert_eq!(instructions("RUN a \\\\\nRUN b").len(), 2);
        assert_eq!(instructions("RUN a \\").len(), 1, "nothing follows");
    }

    #[test]
    fn line_endings_of_windows_and_a_byte_order_mark_are_no_part_of_it() {
        let file = parse("Dockerfile", b"\xef\xbb\xbfFROM a\r\nRUN b \\\r\n c\r\n").unwrap();
        assert_eq!(file.stages[0].instructions[0].code, "RUN b  c");
    }

    #[test]
    fn instructions_may_be_indented_and_in_small_letters() {
        let file = file("  from a as B\n\trun x");
        assert_eq!((file.stages[0].name.as_deref(), file.stages[0].keyword.as_str()), (Some("b"), "from"));
        assert_eq!(file.stages[0].instructions[0].keyword, "run");
    }

    #[test]
    fn comments_directly_above_belong_to_an_instruction() {
        let file = file("# no\n\n# b the builder\nFROM a AS b\n# x one\n# more\nARG x\n#\nARG y");
        assert_eq!(file.stages[0].description.as_deref(), Some("the builder"));
        assert_eq!(file.stages[0].comments, ["b the builder"]);
        let [x, y] = &file.stages[0].instructions[..] else { panic!() };
        assert_eq!((x.comments.len(), y.comments.len()), (2, 0));
        assert!(matches!(&x.kind, Kind::Arg(a) if a[0].description.as_deref() == Some("one")));
    }

    #[test]
    fn directives_are_read_at_the_top_only() {
        let file = file(
            "# syntax = docker/dockerfile:1 # x\n#escape=`\n# check=skip=all\n# x\n# escape=\\\nFROM a\nRUN b `\n c",
        );
        let directives = &file.directives;
        assert_eq!(directives.escape, '`');
        assert_eq!(directives.syntax.as_ref().unwrap().value, "docker/dockerfile:1 # x");
        assert_eq!(directives.check.as_ref().map(|d| (d.value.as_str(), d.line)), Some(("skip=all", 3)));
        assert_eq!(file.stages[0].instructions[0].code, "RUN b  c");
    }

    #[test]
    fn a_directive_below_a_comment_is_a_comment() {
        let file = file("# hello\n# escape=`\nFROM a\nRUN b\\\nc");
        assert_eq!((file.directives.escape, file.stages[0].instructions.len()), ('\\', 1));
        assert!(self::file("#!/usr/bin/x\n# syntax=y\nFROM a").directives.syntax.is_some());
    }

    #[test]
    fn a_directive_has_one_value_and_that_a_sensible_one() {
        let message = |text: &str| parse("Dockerfile", text.as_bytes()).unwrap_err().to_string();
        assert_eq!(message("# escape=x\nFROM a"), "invalid escape token 'x' does not match ` or \\");
        assert_eq!(message("# syntax=a\n# Syntax=b\nFROM a"), "only one syntax parser directive can be used");
    }

    #[test]
    fn a_file_without_instructions_or_stages_is_refused() {
        let message = |bytes: &[u8]| parse("Dockerfile", bytes).unwrap_err().to_string();
        assert_eq!(message(b""), "the Dockerfile cannot be empty");
        assert_eq!(message(b"# only\n\n"), "file with no instructions");
        assert_eq!(message(b"ARG a"), "dockerfile contains no stages to build");
        assert_eq!(message(b"RUN a"), "no build stage in current context");
        assert_eq!(
            message(&vec![b'#'; LARGEST_FILE + 1]),
            "the Dockerfile has 4194305 bytes, more than 4194304"
        );
        let many = "RUN a\n".repeat(MOST_INSTRUCTIONS);
        assert_eq!(message(format!("FROM a\n{many}").as_bytes()), "more than 10000 instructions");
    }

    #[test]
    fn what_is_not_utf_8_is_shown_with_its_line() {
        let mistake = parse("Dockerfile", b"FROM a\nRUN \xff\n").unwrap_err();
        insta::assert_snapshot!(mistake.render(), @r"
        Dockerfile:2
        --------------------
           1 |     FROM a
           2 | >>> RUN �
           3 |     
        --------------------
        the Dockerfile is not UTF-8
        Save the file as UTF-8; UTF-16 and Latin-1 are not read.
        ");
    }

    #[test]
    fn comments_may_be_in_any_encoding() {
        let file = parse("Dockerfile", b"# caf\xe9\nFROM a\n  # \xff\nRUN b\n").unwrap();
        assert_eq!(file.stages[0].instructions.len(), 1);
    }

    #[test]
    fn the_instructions_before_a_mistake_are_still_there() {
        let (file, mistake) = parse_partly("Dockerfile", b"FROM a\nRUN b\nRUM c\nRUN d");
        assert_eq!(file.stages[0].instructions.len(), 1);
        insta::assert_snapshot!(mistake.unwrap().render(), @r"
        Dockerfile:3
        --------------------
           1 |     FROM a
           2 |     RUN b
           3 | >>> RUM c
           4 |     RUN d
        --------------------
        dockerfile parse error on line 3: unknown instruction: RUM (did you mean RUN?)
        ");
    }
}

mod heredocs {
    use super::*;

    #[test]
    fn a_script_follows_run() {
        let found = run("RUN <<EOF\nfirst\n# no comment\n\n  \\\nEOF");
        assert_eq!(found.command, CommandLine::Shell("<<EOF".into()));
        let heredoc = &found.heredocs[0];
        assert_eq!(
            (heredoc.name.as_str(), heredoc.content.as_str()),
            ("EOF", "first\n# no comment\n\n  \\\n")
        );
        assert!(heredoc.expands && !heredoc.strips_tabs);
    }

    #[test]
    fn several_follow_each_other() {
        let found = instructions("RUN cat <<a 3<<-\"b\" > x\none\na\n\ttwo\n\tb\nRUN next");
        let Kind::Run(first) = &found[0].kind else { panic!() };
        let [a, b] = &first.heredocs[..] else { panic!() };
        assert_eq!(
            (a.content.as_str(), b.content.as_str(), b.text().as_str()),
            ("one\n", "\ttwo\n", "two\n")
        );
        assert_eq!((b.descriptor, b.strips_tabs, b.expands), (3, true, false));
        assert_eq!((found[0].lines, found[1].lines), (Lines { first: 2, last: 6 }, Lines::one(7)));
    }

    #[test]
    fn a_quoted_word_keeps_variables() {
        for (word, expands) in [("EOF", true), ("'EOF'", false), ("\"EOF\"", false), ("E\"O\"F", false)] {
            assert_eq!(run(&format!("RUN <<{word}\nx\nEOF")).heredocs[0].expands, expands, "{word}");
        }
    }

    #[test]
    fn copy_and_add_make_files_of_them() {
        let found = copy("COPY <<one a <<-'two' /dest/\n1\none\n\t2\ntwo");
        assert_eq!(
            (found.files.sources.as_slice(), found.files.destination.as_str()),
            (&["a".to_owned()][..], "/dest/")
        );
        let names: Vec<_> = found.files.inline.iter().map(|h| (h.name.as_str(), h.text())).collect();
        assert_eq!(names, [("one", "1\n".to_owned()), ("two", "2\n".to_owned())]);
        assert_eq!(add("ADD <<x /f\n1\nx").files.inline.len(), 1);
    }

    #[test]
    fn onbuild_keeps_them_in_its_trigger() {
        let found = kind("ONBUILD RUN <<EOF\nmake\nEOF");
        assert_eq!(found, Kind::OnBuild("RUN <<EOF\nmake\nEOF".into()));
    }

    #[test]
    fn what_only_looks_like_one_is_none() {
        assert_eq!(run("RUN echo '<<EOF'").heredocs, []);
        assert_eq!(run("RUN echo $((1<<2))").heredocs, []);
        assert_eq!(run("RUN cat <<< text").heredocs, []);
        assert_eq!(run(r#"RUN ["cat", "<<EOF"]"#).heredocs, []);
        assert!(matches!(kind("CMD cat <<EOF"), Kind::Cmd(CommandLine::Shell(_))));
    }

    #[test]
    fn one_without_an_end_or_as_a_destination_is_refused() {
        wrong("RUN <<EOF\nx", "unterminated heredoc");
        wrong("COPY a <<EOF\nx\nEOF", "COPY cannot accept a heredoc as a destination");
    }
}

mod commands {
    use super::*;

    #[test]
    fn json_is_run_as_it_is_and_all_else_by_the_shell() {
        for keyword in ["RUN", "CMD", "ENTRYPOINT"] {
            let command = |text: &str| match kind(&format!("{keyword} {text}")) {
                Kind::Run(run) => run.command,
                Kind::Cmd(command) | Kind::Entrypoint(command) => command,
                other => panic!("{other:?}"),
            };
            assert_eq!(command(r#"["a", "b \"c\""]"#), CommandLine::Exec(vec!["a".into(), "b \"c\"".into()]));
            assert_eq!(command("[]"), CommandLine::Exec(Vec::new()));
            for text in ["a  $b 'c'", "['a']", r#"["a"] b"#, r#"["a",]"#, "[ -f x ] && y"] {
                assert_eq!(command(text), CommandLine::Shell(text.into()));
            }
        }
        wrong("CMD [1]", "when using JSON array syntax, arrays must be comprised of strings only");
    }

    #[test]
    fn run_has_mounts_a_network_a_security_mode_and_devices() {
        let found = run(
            "RUN --mount=type=cache,target=/root --mount=from=build,target=/b --network=none --security=insecure \
             --device=vendor.com/gpu=0,required --device=name=x,required=false -- --not-a-flag x",
        );
        assert_eq!(found.command, CommandLine::Shell("--not-a-flag x".into()));
        assert_eq!((found.network, found.security), (NetworkMode::None, SecurityMode::Insecure));
        assert_eq!(found.mounts[0], MountFlag { text: "type=cache,target=/root".into(), from: None });
        assert_eq!(found.mounts[1].from.as_deref(), Some("build"));
        let device = |name: &str, required| Device { name: name.into(), required };
        assert_eq!(found.devices, [device("vendor.com/gpu=0", true), device("x", false)]);
        assert_eq!(run("RUN --network=host true").network, NetworkMode::Host);
    }

    #[test]
    fn flags_of_run_that_say_nothing_sensible_are_refused() {
        wrong("RUN --network=foo x", "invalid network mode \"foo\"");
        wrong("RUN --security=foo x", "security \"foo\" is not valid");
        wrong("RUN --mont=type=bind x", "unknown flag: --mont (did you mean mount?)");
        wrong("RUN --network=none --network=none x", "duplicate flag specified: --network");
        wrong("RUN --network x", "missing a value on flag: --network");
        wrong(
            "RUN --mount=from=$x,target=/a x",
            "'from' doesn't support variable expansion, define alias stage instead",
        );
        wrong("RUN --device=a,b x", "invalid field 'b' must be a key=value pair");
        wrong(
            "RUN --device=a,requird=1 x",
            "unexpected key 'requird' in 'requird=1' (did you mean required?)",
        );
    }

    #[test]
    fn a_shell_is_a_json_array() {
        assert_eq!(kind(r#"SHELL ["/bin/bash", "-c"]"#), Kind::Shell(vec!["/bin/bash".into(), "-c".into()]));
        wrong("SHELL bash -c", "SHELL requires the arguments to be in JSON form");
        wrong("SHELL []", "SHELL requires at least one argument");
        wrong("SHELL", "SHELL requires at least one argument");
    }

    #[test]
    fn a_health_check_has_times_and_retries() {
        let Kind::Healthcheck(check) = kind(
            "HEALTHCHECK --interval=30s --timeout=1m --start-period=1.5s --start-interval=100ms --retries=2 cmd curl x",
        ) else {
            panic!()
        };
        assert_eq!(check.test, ["CMD-SHELL", "curl x"]);
        assert_eq!((check.interval, check.timeout, check.retries), (30_000_000_000, 60_000_000_000, 2));
        assert_eq!((check.start_period, check.start_interval), (1_500_000_000, 100_000_000));
        assert!(
            matches!(kind(r#"HEALTHCHECK CMD ["a", "b"]"#), Kind::Healthcheck(c) if c.test == ["CMD", "a", "b"])
        );
        assert!(matches!(kind("HEALTHCHECK none"), Kind::Healthcheck(c) if c.test == ["NONE"]));
    }

    #[test]
    fn a_health_check_that_cant_be_is_refused() {
        wrong("HEALTHCHECK", "HEALTHCHECK requires at least one argument");
        wrong("HEALTHCHECK NONE x", "HEALTHCHECK NONE takes no arguments");
        wrong("HEALTHCHECK CMD", "Missing command after HEALTHCHECK CMD");
        wrong("HEALTHCHECK foo", "Unknown type \"FOO\" in HEALTHCHECK (try CMD)");
        wrong("HEALTHCHECK --interval=1 CMD x", "time: missing unit in duration \"1\"");
        wrong("HEALTHCHECK --interval=1ns CMD x", "Interval \"interval\" cannot be less than 1ms");
        wrong("HEALTHCHECK --retries=-1 CMD x", "--retries cannot be negative (-1)");
        wrong("HEALTHCHECK --retries=x CMD x", "strconv.ParseInt: parsing \"x\": invalid syntax");
        wrong("HEALTHCHECK --retris=1 CMD x", "unknown flag: --retris (did you mean retries?)");
    }
}

mod files {
    use super::*;

    #[test]
    fn copy_has_its_flags() {
        let found = copy(
            "COPY --from=build --chown=a:b --chmod=u+x --link --parents=true --exclude=*.o --exclude=x one two /dest/",
        );
        assert_eq!(found.from.as_deref(), Some("build"));
        assert_eq!((found.chown.as_deref(), found.chmod.as_deref()), (Some("a:b"), Some("u+x")));
        assert!(found.link && found.parents);
        assert_eq!(found.exclude, ["*.o", "x"]);
        assert_eq!(
            (found.files.sources.as_slice(), found.files.destination.as_str()),
            (&["one".to_owned(), "two".into()][..], "/dest/")
        );
        assert!(!copy("COPY --link=false a b").link);
    }

    #[test]
    fn add_has_its_flags() {
        let found = add(
            "ADD --checksum=sha256:x --keep-git-dir --unpack=false --chown=1 --chmod=644 --link --exclude=y https://a/b /",
        );
        assert_eq!(found.checksum.as_deref(), Some("sha256:x"));
        assert_eq!((found.keep_git_dir, found.unpack, found.link), (Some(true), Some(false), true));
        assert_eq!((found.chown.as_deref(), found.chmod.as_deref()), (Some("1"), Some("644")));
        assert_eq!(found.exclude, ["y"]);
        assert_eq!((add("ADD a b").keep_git_dir, add("ADD a b").unpack), (None, None));
    }

    #[test]
    fn names_with_spaces_are_written_in_json_and_flags_in_quotes() {
        assert_eq!(copy(r#"COPY ["a b", "c d/"]"#).files.sources, ["a b"]);
        assert_eq!(copy(r#"COPY --exclude="a b" --chown='x' c d"#).exclude, ["a b"]);
        assert_eq!(copy(r"COPY --exclude=a\ b c d").exclude, ["a b"]);
    }

    #[test]
    fn flags_that_arent_there_are_refused_with_the_nearest() {
        wrong("COPY --form=x a b", "unknown flag: --form (did you mean from?)");
        wrong("COPY --checksum=x a b", "unknown flag: --checksum");
        wrong("ADD --from=x a b", "unknown flag: --from");
        wrong("COPY --link=x a b", "expecting boolean value for flag --link, not: x");
        wrong("COPY --link= a b", "missing a value on flag: --link");
        wrong("ADD --chown a b", "missing a value on flag: --chown");
        let short =
            "requires at least two arguments, but only one was provided. Destination could not be determined";
        wrong("COPY a", &format!("COPY {short}"));
        wrong("ADD", &format!("ADD {short}"));
    }
}

mod pairs {
    use super::*;

    fn pair(name: &str, value: &str, is_legacy: bool) -> Pair {
        Pair { name: name.into(), value: value.into(), is_legacy }
    }

    #[test]
    fn env_and_label_have_pairs_or_the_old_form() {
        let pairs = |text: &str| match kind(text) {
            Kind::Env(pairs) | Kind::Label(pairs) => pairs,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            pairs(r#"ENV a=1 "b c"="d e" f=x\ y g="#),
            [
                pair("a", "1", false),
                pair("\"b c\"", "\"d e\"", false),
                pair("f", r"x\ y", false),
                pair("g", "", false)
            ]
        );
        assert_eq!(pairs("LABEL a  b c=d"), [pair("a", "b c=d", true)]);
        assert_eq!(pairs("ENV a=b=c"), [pair("a", "b=c", false)]);
    }

    #[test]
    fn pairs_that_are_none_are_refused() {
        wrong("ENV", "ENV requires at least one argument");
        wrong("ENV a", "ENV must have two arguments");
        wrong("LABEL a=1 b", "Syntax error - can't find = in \"b\". Must be of the form: name=value");
        wrong("ENV =x", "ENV names can not be blank");
        wrong("LABEL --x a=b", "unknown flag: --x");
    }

    #[test]
    fn arg_has_several_names_with_or_without_a_default() {
        let Kind::Arg(arguments) = kind("ARG a b=1 c=\"x y\" d=") else { panic!() };
        let found: Vec<_> = arguments.iter().map(|a| (a.name.as_str(), a.default.as_deref())).collect();
        assert_eq!(found, [("a", None), ("b", Some("1")), ("c", Some("\"x y\"")), ("d", Some(""))]);
        wrong("ARG", "ARG requires at least one argument");
        wrong("ARG =x", "ARG names can not be blank");
    }
}

mod others {
    use super::*;

    fn from(text: &str) -> Result<Stage, String> {
        parse("Dockerfile", text.as_bytes())
            .map(|mut file| file.stages.remove(0))
            .map_err(|mistake| mistake.to_string())
    }

    #[test]
    fn from_has_a_platform_and_a_name() {
        let stage = from("FROM --platform=$BUILDPLATFORM golang:1 As Build.x-1").unwrap();
        assert_eq!((stage.base.as_str(), stage.platform.as_deref()), ("golang:1", Some("$BUILDPLATFORM")));
        assert_eq!(
            (stage.name.as_deref(), stage.name_as_written.as_deref()),
            (Some("build.x-1"), Some("Build.x-1"))
        );
        assert_eq!(stage.as_keyword.as_deref(), Some("As"));
    }

    #[test]
    fn a_from_that_cant_be_is_refused() {
        let wrong = |text: &str| from(text).unwrap_err().replace("dockerfile parse error on line 1: ", "");
        for text in ["FROM", "FROM a b", "FROM a as", "FROM a is b"] {
            assert_eq!(wrong(text), "FROM requires either one or three arguments");
        }
        assert!(wrong("FROM a AS 1b").starts_with("invalid name for build stage: \"1b\", name can't start"));
        assert_eq!(wrong("FROM --plattform=x a"), "unknown flag: --plattform (did you mean platform?)");
    }

    #[test]
    fn arguments_before_the_first_from_are_global() {
        let file = parse("Dockerfile", b"ARG a=1 b\nARG c\nFROM $a\nARG d").unwrap();
        assert_eq!(file.arguments.iter().map(|g| g.arguments.len()).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(file.stages[0].instructions.len(), 1);
    }

    #[test]
    fn one_text_is_all_that_follows() {
        assert_eq!(kind("USER a b"), Kind::User("a b".into()));
        assert_eq!(kind("WORKDIR /a b/"), Kind::Workdir("/a b/".into()));
        assert_eq!(kind("STOPSIGNAL $SIG"), Kind::StopSignal("$SIG".into()));
        assert_eq!(kind("MAINTAINER A <b@c>"), Kind::Maintainer("A <b@c>".into()));
        for keyword in ["USER", "WORKDIR", "STOPSIGNAL", "MAINTAINER"] {
            wrong(keyword, &format!("{keyword} requires exactly one argument"));
        }
        wrong("USER --x a", "unknown flag: --x");
    }

    #[test]
    fn lists_are_split_at_spaces_or_written_in_json() {
        assert_eq!(
            kind("EXPOSE 80 443/tcp \t 1-2"),
            Kind::Expose(vec!["1-2".into(), "443/tcp".into(), "80".into()])
        );
        assert_eq!(kind("VOLUME /a  /b"), Kind::Volume(vec!["/a".into(), "/b".into()]));
        assert_eq!(kind(r#"VOLUME [" /a b "]"#), Kind::Volume(vec!["/a b".into()]));
        wrong("EXPOSE", "EXPOSE requires at least one argument");
        wrong("VOLUME []", "VOLUME requires at least one argument");
        wrong(r#"VOLUME ["a", " "]"#, "VOLUME specified can not be an empty string");
    }

    #[test]
    fn onbuild_keeps_its_instruction_as_it_is() {
        assert_eq!(kind("onbuild  copy --link a  b"), Kind::OnBuild("copy --link a  b".into()));
        assert_eq!(kind("ONBUILD FOO bar"), Kind::OnBuild("FOO bar".into()), "it shows when it is triggered");
        wrong("ONBUILD", "ONBUILD requires at least one argument");
        wrong("ONBUILD ONBUILD RUN x", "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
        wrong("ONBUILD FROM x", "FROM isn't allowed as an ONBUILD trigger");
        wrong("ONBUILD MAINTAINER x", "MAINTAINER isn't allowed as an ONBUILD trigger");
        wrong("ONBUILD ENV x", "ENV must have two arguments");
    }

    #[test]
    fn an_unknown_instruction_suggests_the_nearest() {
        wrong("FORM x", "unknown instruction: FORM (did you mean FROM?)");
        wrong("entrypont x", "unknown instruction: entrypont (did you mean entrypoint?)");
        wrong("CROSS_BUILD x", "unknown instruction: CROSS_BUILD");
        wrong("BANANA", "unknown instruction: BANANA");
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse("Dockerfile", &bytes);
    }

    /// What an instruction says on one line is what it said on several.
    #[test]
    fn the_code_of_an_instruction_reads_the_same(
        keyword in "RUN|CMD|COPY|ADD|ENV|LABEL|ARG|USER|EXPOSE|VOLUME|HEALTHCHECK|ONBUILD|SHELL|WORKDIR",
        rest in "[-a-z=\"'$ \\[\\]\\\\\n,#/]{0,40}",
    ) {
        let text = format!("FROM a\n{keyword} {rest}\n");
        let Ok(first) = parse("Dockerfile", text.as_bytes()) else { return Ok(()) };
        for instruction in &first.stages[0].instructions {
            let again = parse("Dockerfile", format!("FROM a\n{}\n", instruction.code).as_bytes());
            // A line that ended with an escape and nothing behind it would go on.
            if instruction.code.ends_with('\\') || instruction.code.contains('\\') && again.is_err() {
                continue;
            }
            let again = again.map_err(|mistake| TestCaseError::fail(mistake.render()))?;
            prop_assert_eq!(&again.stages[0].instructions[0].kind, &instruction.kind);
        }
    }
}
