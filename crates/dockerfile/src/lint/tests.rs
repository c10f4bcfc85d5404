//! Each rule, where it speaks and where it doesn't.

use super::*;
use crate::{
    evaluate::Base,
    parse,
    plan::{Options, Origin, Plan},
};

/// `line rule: message` of everything that a check finds.
fn found_with(text: &str, change: impl FnOnce(&mut Linter)) -> Vec<String> {
    let file = parse("Dockerfile", text.as_bytes()).unwrap_or_else(|mistake| panic!("{}", mistake.render()));
    let mut linter = Linter::new(&file, None).unwrap();
    change(&mut linter);
    let options = Options { all_stages: true, ..Options::on("linux/amd64".parse().unwrap()) };
    let image = minke_model::image_config::ImageConfig {
        os: "linux".into(),
        architecture: "amd64".into(),
        ..Default::default()
    };
    if let Ok(plan) = Plan::new(&file, &options, &mut linter) {
        let mut done = Vec::new();
        for id in plan.needed() {
            let base = match &plan.stage(id).base {
                Origin::Stage(before) => Base::Stage(&done[*before]),
                Origin::Image(_) => Base::Image { config: &image, title: "x" },
                _ => Base::Scratch,
            };
            let evaluated =
                plan.evaluate(id, base, &mut linter).unwrap_or_else(|mistake| panic!("{}", mistake.render()));
            done.push(evaluated);
        }
    }
    let shown = |w: &&Warning| format!("{} {}: {}", w.lines.first, w.rule.name(), w.message);
    linter.warnings().iter().map(shown).collect()
}

#[track_caller]
fn finds(text: &str, wanted: &[&str]) {
    assert_eq!(found_with(text, |_| ()), wanted, "{text}");
}

#[test]
fn names_and_keywords_have_one_casing() {
    finds("FROM scratch AS BadName", &["1 StageNameCasing: Stage name 'BadName' should be lowercase"]);
    finds("FROM scratch as a", &["1 FromAsCasing: 'as' and 'FROM' keywords' casing do not match"]);
    finds("from scratch AS a", &["1 FromAsCasing: 'AS' and 'from' keywords' casing do not match"]);
    finds(
        "FROM scratch\ncopy a b\nCOPY a b",
        &[
            "2 ConsistentInstructionCasing: Command 'copy' should match the case of the command majority (uppercase)",
        ],
    );
    finds(
        "From scratch\nuser a",
        &[
            "1 ConsistentInstructionCasing: Command 'From' should match the case of the command majority (lowercase)",
        ],
    );
    finds("from scratch as a\ncopy a b", &[]);
}

#[test]
fn names_of_stages_are_unique_and_not_reserved() {
    finds(
        "FROM scratch AS b\nFROM scratch AS b",
        &["2 DuplicateStageName: Duplicate stage name \"b\", stage names should be unique"],
    );
    finds(
        "FROM scratch AS context",
        &["1 ReservedStageName: Stage name should not use the same name as reserved stage \"context\""],
    );
}

#[test]
fn commands_are_json_and_written_once() {
    let json = "JSON arguments recommended for CMD to prevent unintended behavior related to OS signals";
    finds("FROM scratch\nCMD x", &[&format!("2 JSONArgsRecommended: {json}")]);
    finds("FROM scratch\nSHELL [\"x\"]\nCMD x", &[]);
    finds("FROM scratch AS a\nSHELL [\"x\"]\nFROM a\nCMD x", &[]);
    let once = "should not be used in the same stage because only the last one will be used";
    finds(
        "FROM scratch\nCMD [\"a\"]\nENTRYPOINT [\"b\"]\nENTRYPOINT [\"c\"]\nCMD [\"d\"]\nHEALTHCHECK NONE\nHEALTHCHECK NONE",
        &[
            &format!("2 MultipleInstructionsDisallowed: Multiple CMD instructions {once}"),
            &format!("3 MultipleInstructionsDisallowed: Multiple ENTRYPOINT instructions {once}"),
            &format!("6 MultipleInstructionsDisallowed: Multiple HEALTHCHECK instructions {once}"),
        ],
    );
}

#[test]
fn old_forms_are_remarked() {
    finds(
        "FROM scratch\nMAINTAINER me",
        &["2 MaintainerDeprecated: Maintainer instruction is deprecated in favor of using label"],
    );
    finds(
        "FROM scratch\nENV a b\nLABEL c d",
        &[
            "2 LegacyKeyValueFormat: \"ENV key=value\" should be used instead of legacy \"ENV key value\" format",
            "3 LegacyKeyValueFormat: \"LABEL key=value\" should be used instead of legacy \"LABEL key value\" format",
        ],
    );
    finds("FROM scratch\nCOPY a \\\n\nb", &["4 NoEmptyContinuation: Empty continuation line"]);
}

#[test]
fn variables_are_declared_before_they_are_used() {
    finds("FROM scratch\nARG foo\nENV a=$foo\nCOPY $PATH /\nARG b=$a", &[]);
    finds(
        "FROM scratch\nENV a=$PAHT",
        &["2 UndefinedVar: Usage of undefined variable '$PAHT' (did you mean $PATH?)"],
    );
    finds("FROM scratch\nCOPY <<X /\n$nope\nX", &["2 UndefinedVar: Usage of undefined variable '$nope'"]);
    finds("FROM scratch\nRUN echo $nope", &[]);
    finds("FROM a:${TGA:-1}", &["1 UndefinedArgInFrom: FROM argument 'TGA' is not declared"]);
    finds(
        "ARG TAG\nFROM a:${TGA:-1}",
        &["2 UndefinedArgInFrom: FROM argument 'TGA' is not declared (did you mean TAG?)"],
    );
}

#[test]
fn defaults_of_arguments_make_a_name() {
    let message = "InvalidDefaultArgInFrom: Default value for ARG busybox:$TAG results in empty or invalid base image name";
    finds("ARG TAG\nFROM busybox:$TAG", &[&format!("2 {message}")]);
    finds("ARG TAG=1\nFROM busybox:$TAG", &[]);
    finds("ARG TAG\nFROM busybox:${TAG:-1}", &[]);
}

#[test]
fn platforms_are_variables_but_not_the_default() {
    finds(
        "FROM --platform=$TARGETPLATFORM scratch",
        &[
            "1 RedundantTargetPlatform: Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior",
        ],
    );
    finds(
        "FROM --platform=linux/arm64 scratch AS x",
        &[
            "1 FromPlatformFlagConstDisallowed: FROM --platform flag should not use constant value \"linux/arm64\"",
        ],
    );
    finds("FROM --platform=linux/arm64 scratch AS x-arm64", &[]);
    finds("FROM --platform=$BUILDPLATFORM scratch", &[]);
}

#[test]
fn secrets_are_no_variables() {
    let message = "Do not use ARG or ENV instructions for sensitive data";
    finds(
        "FROM scratch\nARG my_token\nENV password=x PUBLIC_KEY=y",
        &[
            &format!("2 SecretsUsedInArgOrEnv: {message} (ARG \"my_token\")"),
            &format!("3 SecretsUsedInArgOrEnv: {message} (ENV \"password\")"),
        ],
    );
}

#[test]
fn folders_begin_at_the_root_and_ports_have_no_host() {
    let message = "Relative workdir \"a\" can have unexpected results if the base image changes";
    finds("FROM scratch\nWORKDIR a\nWORKDIR b", &[&format!("2 WorkdirRelativePath: {message}")]);
    finds("FROM scratch AS x\nWORKDIR /a\nFROM x\nWORKDIR b", &[]);
    finds(
        "FROM scratch\nEXPOSE 80/TCP 1.2.3.4:80:90",
        &[
            "2 ExposeInvalidFormat: EXPOSE instruction should not define an IP address or host-port mapping, found '1.2.3.4:80:90'",
            "2 ExposeProtoCasing: Defined protocol '80/TCP' in EXPOSE instruction should be lowercase",
        ],
    );
}

#[test]
fn ignored_files_are_not_copied() {
    let found = |patterns: &[&str], text: &str| {
        found_with(&format!("FROM scratch\n{text}"), |linter| {
            linter.set_ignored(Matcher::new(patterns).unwrap());
        })
    };
    let message = |verb: &str, file: &str| {
        vec![format!(
            "2 CopyIgnoredFile: Attempting to {verb} file \"{file}\" that is excluded by .dockerignore"
        )]
    };
    assert_eq!(found(&["Dockerfile"], "COPY ./Dockerfile ."), message("Copy", "Dockerfile"));
    assert_eq!(found(&["dir"], "ADD dir/x ."), message("Add", "dir/x"));
    assert_eq!(found(&["*"], "COPY . ."), message("Copy", "."));
    assert!(found(&[".*"], "COPY . .").is_empty());
    assert!(found(&["**", "!x"], "COPY y .").is_empty(), "with exceptions nobody knows");
    assert!(found(&["x"], "COPY --from=img x .").is_empty());
}

#[test]
fn descriptions_are_checked_where_that_is_asked_for() {
    let text = "# x\nFROM scratch AS a\n# y\nARG b=1 c=2\n# d is fine\nARG d=1\n# far\n\nARG e";
    finds(text, &[]);
    let found = "should follow the format: `#";
    finds(
        &format!("# check=experimental=all\n{text}"),
        &[
            &format!("3 InvalidDefinitionDescription: Comment for FROM {found} a <description>`"),
            &format!("5 InvalidDefinitionDescription: Comment for ARG {found} <arg_key> <description>`"),
        ],
    );
}

#[test]
fn rules_are_silenced_for_a_file_or_an_instruction() {
    finds("# check=skip=JSONArgsRecommended,StageNameCasing\nFROM scratch AS A\nCMD x", &[]);
    finds("# check=skip=all\nFROM scratch AS A\nCMD x", &[]);
    finds("FROM scratch\n# check=skip=JSONArgsRecommended // why\nCMD x", &[]);
    let file = parse("Dockerfile", b"# check=foo=bar\nFROM a").unwrap();
    let mistake = Linter::new(&file, None).unwrap_err();
    assert_eq!(mistake.to_string(), "failed to parse check options: invalid check option \"foo\"");
}

#[test]
fn a_warning_can_end_a_build() {
    let file = parse("Dockerfile", b"# check=error=true\nFROM scratch AS A\nMAINTAINER x").unwrap();
    let mut linter = Linter::new(&file, None).unwrap();
    assert!(linter.verdict().is_ok());
    linter.read(&file);
    let mistake = linter.verdict().unwrap_err();
    assert_eq!(mistake.to_string(), "lint violation found for rules: MaintainerDeprecated, StageNameCasing");
    let mut linter = Linter::new(&file, Some("skip=all".parse().unwrap())).unwrap();
    linter.read(&file);
    assert!(linter.warnings().is_empty(), "the argument replaces the directive");
}

#[test]
fn a_warning_is_shown_with_its_lines() {
    let file = parse("Dockerfile", b"FROM scratch\nMAINTAINER me\n").unwrap();
    let mut linter = Linter::new(&file, None).unwrap();
    linter.read(&file);
    let warning = linter.warnings()[0];
    assert_eq!(
        warning.summary(),
        "MaintainerDeprecated: Maintainer instruction is deprecated in favor of using label (line 2)"
    );
    insta::assert_snapshot!(warning.render(&file.source), @r"

    WARNING: MaintainerDeprecated - https://docs.docker.com/go/dockerfile/rule/maintainer-deprecated/
    Maintainer instruction is deprecated in favor of using label
    Dockerfile:2
    --------------------
       1 |     FROM scratch
       2 | >>> MAINTAINER me
       3 |     
    --------------------
    ");
}
