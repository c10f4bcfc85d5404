//! From a Dockerfile to steps and an image, as an executor sees them.

use std::collections::BTreeMap;

use minke_model::image_config::{ImageConfig, RootFs};

use super::*;
use crate::{
    Diagnostic,
    ast::Dockerfile,
    lint::Linter,
    parse,
    plan::{Options, Origin, Plan},
};

/// A build of a text.
struct Build {
    file: Dockerfile,
    options: Options,
    base: ImageConfig,
}

fn build(text: &str) -> Build {
    let file = parse("Dockerfile", text.as_bytes()).unwrap_or_else(|mistake| panic!("{}", mistake.render()));
    let mut base = ImageConfig {
        architecture: "amd64".into(),
        os: "linux".into(),
        rootfs: RootFs { diff_ids: vec![minke_model::Digest::from_bytes([1; 32])], ..RootFs::default() },
        ..ImageConfig::default()
    };
    base.config.env = vec!["PATH=/bin".into(), "LANG=C".into()];
    base.config.cmd = Some(vec!["sh".into()]);
    Build { file, options: Options::on("linux/amd64".parse().unwrap()), base }
}

impl Build {
    fn given(mut self, name: &str, value: &str) -> Self {
        self.options.arguments.insert(name.into(), value.into());
        self
    }

    fn base(mut self, change: impl FnOnce(&mut ImageConfig)) -> Self {
        change(&mut self.base);
        self
    }

    fn try_all(&self) -> Result<(Plan, BTreeMap<usize, Evaluated>, Linter), Diagnostic> {
        let mut linter = Linter::new(&self.file, None)?;
        let mut plan = Plan::new(&self.file, &self.options, &mut linter)?;
        for id in plan.needed() {
            if matches!(plan.stage(id).base, Origin::Image(_)) {
                plan.on_build(id, &self.base.config.on_build)?;
            }
        }
        let mut done = BTreeMap::new();
        for id in plan.needed() {
            let base = match &plan.stage(id).base {
                Origin::Stage(before) => Base::Stage(&done[before]),
                Origin::Image(_) => {
                    Base::Image { config: &self.base, title: "docker.io/library/base@sha256:…" }
                }
                _ => Base::Scratch,
            };
            let evaluated = plan.evaluate(id, base, &mut linter)?;
            done.insert(id, evaluated);
        }
        Ok((plan, done, linter))
    }

    fn target(&self) -> Evaluated {
        let (plan, mut done, _) = self.try_all().unwrap_or_else(|mistake| panic!("{}", mistake.render()));
        done.remove(&plan.target()).unwrap()
    }

    fn mistake(&self) -> String {
        self.try_all().map(|_| ()).unwrap_err().to_string()
    }

    fn runs(&self) -> Vec<RunStep> {
        let steps = self.target().steps.into_iter();
        steps.filter_map(|step| if let Action::Run(run) = step.action { Some(*run) } else { None }).collect()
    }

    fn copies(&self) -> Vec<CopyStep> {
        let steps = self.target().steps.into_iter();
        steps
            .filter_map(|step| if let Action::Copy(copy) = step.action { Some(*copy) } else { None })
            .collect()
    }

    fn history(&self) -> Vec<String> {
        self.target().image.history.into_iter().filter_map(|record| record.created_by).collect()
    }

    fn titles(&self) -> Vec<String> {
        let target = self.target();
        target.from.into_iter().chain(target.steps.into_iter().map(|step| step.title)).collect()
    }
}

#[test]
fn the_history_of_an_image_is_what_buildkit_writes() {
    let build = build(
        r#"FROM base
ARG a=1 b
ARG a=2
ENV x=1 y="two words"
LABEL z=$a
RUN make $x
RUN ["exec", "form"]
COPY --chown=$a --chmod=644 one two dir/
ADD <<EOF /file
text
EOF
WORKDIR sub
WORKDIR /
USER me:us
EXPOSE 443/tcp 80
VOLUME /data
STOPSIGNAL SIGINT
HEALTHCHECK --interval=1m30s --retries=3 CMD curl -f localhost
SHELL ["/bin/bash", "-c"]
CMD echo "hi"
ENTRYPOINT ["/entry", "a b"]
ONBUILD RUN true
MAINTAINER somebody
"#,
    );
    insta::assert_snapshot!(build.history().join("\n"), @r#"
    ARG a=1 b
    ARG a=2
    ENV x=1 y=two words
    LABEL z=2
    RUN |2 a=2 b= /bin/sh -c make $x # buildkit
    RUN |2 a=2 b= exec form # buildkit
    COPY --chown=2 --chmod=644 one two dir/ # buildkit
    ADD <<EOF /file # buildkit
    WORKDIR /sub
    WORKDIR /
    USER me:us
    EXPOSE [443/tcp 80/tcp]
    VOLUME [/data]
    STOPSIGNAL SIGINT
    HEALTHCHECK {Test:[CMD-SHELL curl -f localhost] Interval:1m30s Timeout:0s StartPeriod:0s StartInterval:0s Retries:3}
    SHELL [/bin/bash -c]
    CMD ["/bin/bash" "-c" "echo \"hi\""]
    ENTRYPOINT ["/entry" "a b"]
    MAINTAINER somebody
    "#);
    let empty: Vec<bool> = build.target().image.history.iter().map(|record| record.empty_layer).collect();
    assert_eq!(
        empty.iter().filter(|empty| !**empty).count(),
        5,
        "two RUN, COPY, ADD and the WORKDIR that isn't /"
    );
}

mod variables {
    use super::*;

    #[test]
    fn a_line_sees_the_values_from_before_it() {
        let build = build("FROM base\nENV a=1\nENV a=2 b=$a\nLABEL $b=${LANG}");
        assert_eq!(build.target().image.config.env, ["PATH=/bin", "LANG=C", "a=2", "b=1"]);
        assert_eq!(build.target().image.config.labels["1"], "C");
    }

    #[test]
    fn a_build_argument_replaces_a_default_and_is_no_part_of_the_image() {
        let build = build("ARG v=1\nFROM base\nARG v\nARG w=$v-x\nRUN true").given("w", "given");
        let run = &build.runs()[0];
        let value = |name: &str| run.environment.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
        assert_eq!((value("v"), value("w"), value("LANG")), (Some("1"), Some("given"), Some("C")));
        assert_eq!(build.target().image.config.env, ["PATH=/bin", "LANG=C"]);
    }

    #[test]
    fn what_is_set_last_counts() {
        let run = |text: &str| {
            let run = build(&format!("FROM base\n{text}\nRUN true")).given("x", "arg").runs().remove(0);
            run.environment.iter().find(|(name, _)| name == "x").map(|(_, value)| value.clone())
        };
        assert_eq!(run("ARG x\nENV x=env").as_deref(), Some("env"));
        assert_eq!(run("ENV x=env\nARG x").as_deref(), Some("arg"));
        assert_eq!(run(""), None, "it was not declared");
    }

    #[test]
    fn platforms_are_known_once_they_are_declared() {
        let mut build =
            build("FROM --platform=$BUILDPLATFORM base\nARG TARGETARCH TARGETVARIANT BUILDARCH\nRUN true");
        build.options.target_platform = Some("linux/arm/v6".parse().unwrap());
        build.options.is_multi_platform = true;
        let run = build.runs().remove(0);
        let environment: Vec<String> = run.environment.iter().map(|(n, v)| format!("{n}={v}")).collect();
        assert_eq!(environment[2..], ["TARGETARCH=arm", "TARGETVARIANT=v6", "BUILDARCH=amd64"]);
        assert_eq!(build.titles()[2], "[linux/amd64->arm/v6 2/2] RUN true");
        let (plan, done, _) = build.try_all().unwrap();
        let image = plan.finished(&done[&0], &BTreeMap::from([("a".into(), "b".into())]));
        assert_eq!((image.architecture.as_str(), image.variant.as_deref()), ("arm", Some("v6")));
        assert_eq!(image.config.labels["a"], "b");
    }

    #[test]
    fn proxies_are_seen_and_leave_no_trace() {
        let build = build("FROM base\nRUN true").given("http_proxy", "http://p").given("NO_PROXY", "x");
        let run = build.runs().remove(0);
        let wanted =
            [("HTTP_PROXY", "http://p"), ("http_proxy", "http://p"), ("NO_PROXY", "x"), ("no_proxy", "x")];
        assert_eq!(run.proxies, wanted.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert!(!run.environment.iter().any(|(name, _)| name.eq_ignore_ascii_case("http_proxy")));
        assert_eq!(build.history(), ["RUN /bin/sh -c true # buildkit"]);
    }

    #[test]
    fn a_stage_inherits_arguments_and_environment_but_no_command_of_its_base() {
        let build = build(
            "FROM base AS one\nARG a=1\nENV b=2\nCMD [\"x\"]\nONBUILD RUN from-$a\nWORKDIR /w\nFROM one\nENTRYPOINT [\"e\"]\nRUN $a",
        );
        let target = build.target();
        assert_eq!(target.image.config.cmd, None, "it was for the entry point of the base");
        assert!(target.image.config.on_build.is_empty());
        let runs = build.runs();
        assert_eq!(runs[0].arguments[2], "from-$a");
        assert!(runs[1].environment.contains(&("a".into(), "1".into())) && runs[1].directory == "/w");
        assert_eq!(build.titles()[0], "[stage-1 1/2] ONBUILD RUN from-1");
    }

    #[test]
    fn what_cant_be_expanded_is_a_mistake_of_its_line() {
        let build = build("FROM base\n\nENV a=\"${b:?is needed}\"");
        let mistake = build.try_all().map(|_| ()).unwrap_err();
        assert_eq!(mistake.to_string(), r#"failed to process "\"${b:?is needed}\"": b: is needed"#);
        assert_eq!(mistake.lines, [crate::ast::Lines::one(3)]);
    }

    #[test]
    fn values_that_double_with_each_line_end_with_a_mistake() {
        let doubling: String = (1..60).map(|n| format!("ENV a{n}=$a{0}$a{0}\n", n - 1)).collect();
        let message = build(&format!("FROM base\nENV a0=0123456789\n{doubling}")).mistake();
        assert!(message.contains("longer than") || message.contains("too long"), "{message:.200}");
        let global: String = (1..60).map(|n| format!("ARG a{n}=$a{0}$a{0}\n", n - 1)).collect();
        let message = build(&format!("ARG a0=0123456789\n{global}FROM base")).mistake();
        assert!(message.contains("longer than") || message.contains("too long"), "{message:.200}");
    }
}

mod config {
    use super::*;

    fn config(text: &str) -> minke_model::image_config::RunConfig {
        build(&format!("FROM base\n{text}")).target().image.config
    }

    #[test]
    fn there_is_always_a_path() {
        assert_eq!(build("FROM scratch").target().image.config.env.len(), 1);
        let without = build("FROM base").base(|image| image.config.env.clear());
        assert!(without.target().image.config.env[0].starts_with("PATH=/usr/local/sbin:"));
    }

    #[test]
    fn an_entry_point_forgets_an_inherited_command_but_not_one_of_its_stage() {
        assert_eq!(config("").cmd.unwrap(), ["sh"]);
        assert_eq!(config("ENTRYPOINT [\"e\"]").cmd, None);
        assert_eq!(config("CMD [\"c\"]\nENTRYPOINT [\"e\"]").cmd.unwrap(), ["c"]);
        let both = config("ENTRYPOINT e\nCMD c");
        assert_eq!(
            (both.entrypoint.unwrap().join(" "), both.cmd.unwrap().join(" ")),
            ("/bin/sh -c e".into(), "/bin/sh -c c".into())
        );
        assert_eq!(config("ENTRYPOINT []").entrypoint, None);
        assert!(config("CMD x").args_escaped);
    }

    #[test]
    fn folders_are_seen_from_those_before() {
        assert_eq!(config("WORKDIR a\nWORKDIR ../b").working_dir, "/b");
        assert_eq!(config("WORKDIR /a/\nWORKDIR $LANG").working_dir, "/a/C");
        let base = build("FROM base\nWORKDIR x").base(|image| image.config.working_dir = "w".into());
        assert_eq!(base.target().image.config.working_dir, "/w/x");
    }

    #[test]
    fn a_workdir_makes_its_folder_as_the_user() {
        let target = build("FROM base\nUSER me\nWORKDIR /a/../b/").target();
        let made = MakeDirectory { path: "/b".into(), user: "me".into() };
        assert_eq!(target.steps[1].action, Action::MakeDirectory(made));
        assert_eq!(target.image.config.working_dir, "/a/../b/", "as written");
    }

    #[test]
    fn ports_and_volumes_are_sets_and_may_be_variables() {
        let found =
            build("FROM base\nARG P=\"80 90/udp\"\nEXPOSE $P 80/TCP\nVOLUME /$LANG /x").target().image.config;
        assert_eq!(found.exposed_ports.keys().collect::<Vec<_>>(), ["80/tcp", "90/udp"]);
        assert_eq!(found.volumes.keys().collect::<Vec<_>>(), ["/C", "/x"]);
        assert!(build("FROM base\nEXPOSE http").mistake().starts_with("invalid containerPort"));
        assert!(build("FROM base\nEXPOSE 0-65535 0-65535").mistake().starts_with("more than"));
    }

    #[test]
    fn health_checks_are_inherited_replaced_and_switched_off() {
        let with = |text: &str| {
            let build = build(&format!("FROM base\n{text}"));
            let check = minke_model::image_config::Healthcheck {
                test: vec!["CMD".into(), "a".into()],
                ..Default::default()
            };
            build
                .base(|image| image.config.healthcheck = Some(check))
                .target()
                .image
                .config
                .healthcheck
                .unwrap()
                .test
        };
        assert_eq!(with(""), ["CMD", "a"]);
        assert_eq!(with("HEALTHCHECK NONE"), ["NONE"]);
        assert_eq!(with("HEALTHCHECK CMD b"), ["CMD-SHELL", "b"]);
    }

    #[test]
    fn a_signal_must_be_one() {
        assert_eq!(config("STOPSIGNAL SIGQUIT").stop_signal.as_deref(), Some("SIGQUIT"));
        assert_eq!(build("FROM base\nSTOPSIGNAL SIGFOO").mistake(), "invalid signal: SIGFOO");
    }

    #[test]
    fn a_shell_is_that_of_the_lines_after_it() {
        let build = build("FROM base\nRUN a\nSHELL [\"bash\", \"-ec\"]\nRUN b\nRUN [\"c\"]");
        let found: Vec<String> = build.runs().iter().map(|run| run.arguments.join(" ")).collect();
        assert_eq!(found, ["/bin/sh -c a", "bash -ec b", "c"]);
    }

    #[test]
    fn triggers_of_an_image_run_first_and_are_not_passed_on() {
        let build = build("FROM base\nRUN own")
            .base(|image| image.config.on_build = vec!["RUN triggered".into(), "ENV x=1".into()]);
        assert_eq!(
            build.titles(),
            [
                "[1/4] FROM docker.io/library/base@sha256:…",
                "[2/4] ONBUILD RUN triggered",
                "ENV x=1",
                "[3/4] RUN own",
            ]
        );
        assert!(build.target().image.config.on_build.is_empty());
    }

    #[test]
    fn a_trigger_that_is_no_instruction_is_a_mistake_of_the_from() {
        let mistake = |trigger: &str| {
            let build = build("ARG x\nFROM base").base(|image| image.config.on_build = vec![trigger.into()]);
            let mistake = build.try_all().map(|_| ()).unwrap_err();
            assert_eq!(mistake.lines, [crate::ast::Lines::one(2)]);
            mistake.to_string()
        };
        assert!(mistake("BANANA x").contains("unknown instruction: BANANA"));
        assert_eq!(mistake("RUN a\nRUN b"), "onbuild trigger should be a single expression");
        assert_eq!(mistake("FROM a"), "onbuild trigger should be a single expression");
    }
}

mod run {
    use super::*;

    #[test]
    fn a_here_document_is_the_script() {
        let build = build("FROM base\nRUN <<EOF\n\necho $x\nmore\nEOF\nRUN <<-EOF\n\ttabs\nEOF");
        let runs = build.runs();
        assert_eq!(runs[0].arguments, ["/bin/sh", "-c", "\necho $x\nmore\n"]);
        assert_eq!(runs[1].arguments[2], "tabs\n");
        assert_eq!(build.titles()[1], "[2/3] RUN <<EOF (echo $x...)");
    }

    #[test]
    fn one_with_a_program_of_its_own_is_a_file() {
        let run = build("FROM base\nRUN <<EOF\n#!/usr/bin/env python3\nprint(1)\nEOF").runs().remove(0);
        assert_eq!(run.arguments, ["/bin/sh", "-c", "/dev/pipes/EOF"]);
        let script = run.script.unwrap();
        assert_eq!((script.directory.as_str(), script.name.as_str()), ("/dev/pipes/", "EOF"));
        assert!(script.content.starts_with("#!/usr/bin/env python3\n"));
    }

    #[test]
    fn a_line_with_more_than_one_is_left_to_the_shell() {
        let run = build("FROM base\nRUN cat <<a <<-b | x\n1\na\n\t2\nb").runs().remove(0);
        assert_eq!(run.arguments[2], "cat <<a <<-b | x\n1\na\n\t2\nb");
    }

    fn mounts(flags: &str) -> Vec<Mount> {
        build(&format!("FROM base AS b\nFROM base\nARG T=/t\nWORKDIR /w\nRUN {flags} x"))
            .runs()
            .remove(0)
            .mounts
    }

    #[test]
    fn each_kind_of_mount_has_its_options() {
        let found = mounts(
            "--mount=target=$T,source=src --mount=type=bind,from=b,dst=rel,rw --mount=type=cache,target=/c,id=i,sharing=locked,uid=1,gid=2,mode=0700,ro \
             --mount=type=tmpfs,target=/tmp,size=1m --mount=type=secret,id=s,env=TOKEN,required --mount=type=secret,id=s,target=/s,mode=0440 \
             --mount=type=secret,src=dir/s2 --mount=type=ssh,id=k,target=/k,required=true --mount=type=ssh",
        );
        insta::assert_debug_snapshot!(found);
    }

    #[test]
    fn a_cache_is_called_as_its_folder_and_begins_empty() {
        let found = mounts("--mount=type=cache,target=/a/../b/").remove(0);
        let MountKind::Cache { id, from, sharing, .. } = found.kind else { panic!() };
        assert_eq!((id.as_str(), from, sharing), ("/b", Origin::Scratch, Sharing::Shared));
        assert_eq!((found.target.as_deref(), found.read_only), (Some("/b"), false));
    }

    #[test]
    fn mounts_that_cant_be_are_refused() {
        let wrong = |flag: &str| build(&format!("FROM base\nRUN --mount={flag} x")).mistake();
        assert_eq!(wrong("type=bnd,target=/a"), "unsupported mount type \"bnd\" (did you mean bind?)");
        assert_eq!(wrong("type=tmpfs,target=/a,size=x"), "invalid value for size: x");
        assert_eq!(wrong("target=/a,size=1"), "unexpected key 'size' for mount type 'bind'");
        assert_eq!(wrong("target=/a,required"), "unexpected key 'required' for mount type 'bind'");
        assert_eq!(wrong("target=/a,mod=1"), "unexpected key 'mod' in 'mod=1' (did you mean mode?)");
        assert_eq!(wrong("target=/a,uid=1"), "uid not allowed for \"bind\" type mounts");
        assert_eq!(wrong("target=/a,foo"), "invalid field 'foo' must be a key=value pair");
        assert_eq!(wrong("type=cache,target=/"), "invalid mount target \"/\"");
        assert_eq!(wrong("type=cache,target=/../.."), "invalid mount target \"/\"");
        assert_eq!(wrong("type=cache,target=/a,sharing=mine"), "unsupported sharing value \"mine\"");
        assert_eq!(wrong("type=secret"), "invalid secret mount. one of source, target required");
        assert_eq!(wrong("type=secret,id=a,source=b"), "both source and id can't be set");
        assert_eq!(wrong("type=ssh,source=a"), "ssh does not support source");
        assert_eq!(wrong("type=ssh,mode=99"), "invalid value 99 for mode");
        assert_eq!(wrong("target=/a,ro=maybe"), "invalid value for ro: maybe");
    }

    #[test]
    fn titles_have_values_but_no_secrets() {
        let build = build("FROM base\nARG V=1\nRUN --mount=type=secret,id=s,env=T echo $V $T $U");
        assert_eq!(build.titles()[2], "[stage-0 2/2] RUN --mount=type=secret,id=s,env=T echo 1 **** $U");
    }
}

mod copy {
    use super::*;

    #[test]
    fn paths_are_those_of_the_context_or_a_stage() {
        let copies = build(
            "FROM base AS b\nFROM base\nWORKDIR /w\nCOPY a ../b/ ./c* dir/\nCOPY --from=b /x .\nCOPY --from=0 --parents src/./lib/*.h a/b /d",
        )
        .copies();
        insta::assert_debug_snapshot!(copies);
    }

    #[test]
    fn add_unpacks_archives_of_the_context_only() {
        let copies = build(
            "FROM base\nADD a.tar https://h/x%20y.tgz?q /d/\nADD --unpack https://h/ /d/\nADD --unpack=false a.tar /d\n\
             ADD --checksum=sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 https://h/%2e%2e /e",
        )
        .copies();
        let CopySource::Path(path) = &copies[0].sources[0] else { panic!() };
        let CopySource::Http(http) = &copies[0].sources[1] else { panic!() };
        assert!(path.unpack && !http.unpack);
        assert_eq!(http.file_name, "x y.tgz");
        let CopySource::Http(http) = &copies[1].sources[0] else { panic!() };
        assert!(http.unpack && http.file_name == "__unnamed__");
        assert!(matches!(&copies[2].sources[0], CopySource::Path(path) if !path.unpack));
        assert!(
            matches!(&copies[3].sources[0], CopySource::Http(http) if http.checksum.is_some() && http.file_name == "__unnamed__")
        );
    }

    #[test]
    fn inline_files_are_expanded_unless_their_word_is_quoted() {
        let copy = build("FROM base\nCOPY <<a <<'b' /d/\n\"$LANG\"\na\n$LANG\nb").copies().remove(0);
        let contents: Vec<&CopySource> = copy.sources.iter().collect();
        assert!(
            matches!(contents[0], CopySource::Inline { name, content } if name == "a" && content == "\"C\"\n")
        );
        assert!(matches!(contents[1], CopySource::Inline { content, .. } if content == "$LANG\n"));
    }

    #[test]
    fn flags_are_expanded_and_checked() {
        let copy = build("FROM base\nARG o=1:2 m=755\nCOPY --chown=$o --chmod=$m a /b").copies().remove(0);
        assert_eq!((copy.chown.as_deref(), copy.chmod), (Some("1:2"), Some(Chmod::Octal(0o755))));
        let wrong = |text: &str| build(&format!("FROM base\n{text}")).mistake();
        assert!(wrong("COPY --chmod=9 a b").starts_with("invalid chmod parameter: '9'"));
        assert_eq!(wrong("COPY https://h/x /y"), "source can't be a URL for COPY");
        assert_eq!(wrong("COPY git@h:x /y"), "source can't be a git ref for COPY");
        assert_eq!(wrong("ADD --checksum=x a b"), "checksum requires HTTP(S) or Git sources");
        assert_eq!(wrong("ADD --checksum=x a b c"), "checksum can't be specified for multiple sources");
        assert!(wrong("ADD --checksum=x https://h/x b").starts_with("invalid checksum \"x\""));
        assert_eq!(wrong("ADD https://h/x.git?y=1 b"), "unexpected query \"y\"");
    }

    #[test]
    fn a_repository_is_cloned() {
        let copy = build("FROM base\nADD --keep-git-dir=true https://h/a.git#v1:docs /d").copies().remove(0);
        let CopySource::Git(git) = &copy.sources[0] else { panic!() };
        assert_eq!(
            (git.remote.as_str(), git.reference.as_str(), git.directory.as_str()),
            ("https://h/a.git", "v1", "docs")
        );
        assert!(git.keep_git_dir);
    }
}

/// Few bytes that become many: a value that names another many times, and stages that each inherit all of the one before.
#[test]
fn what_grows_by_expansion_and_inheritance_is_bounded() {
    let long = "x".repeat(100_000);
    let quoted = build(&format!("FROM base\nENV A={long}\nENV B=\"{}\"\n", "$A".repeat(10_000)));
    assert!(quoted.mistake().contains("it becomes longer than 1048576 bytes"), "{}", quoted.mistake());
    let mut chain = format!("FROM base AS s0\nENV A={long}\n");
    for number in 0..10 {
        chain += &format!("ENV V{number}=$A$A$A$A$A$A$A$A$A\n");
    }
    for number in 1..12 {
        chain += &format!("FROM s{} AS s{number}\n", number - 1);
    }
    let (_, stages, _) = build(&chain).try_all().unwrap();
    let held: usize = stages.values().map(|stage| stage.bytes).sum();
    assert!(held > crate::limits::MOST_HELD, "who evaluates them has to count: {held}");
}
