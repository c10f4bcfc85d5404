//! What a target needs.

use super::*;
use crate::{Diagnostic, lint::Linter, parse};

fn plan_with(text: &str, change: impl FnOnce(&mut Options)) -> Result<Plan, Diagnostic> {
    let file = parse("Dockerfile", text.as_bytes()).unwrap_or_else(|mistake| panic!("{}", mistake.render()));
    let mut options = Options::on("linux/amd64".parse().unwrap());
    change(&mut options);
    let mut linter = Linter::new(&file, None).unwrap();
    Plan::new(&file, &options, &mut linter)
}

#[track_caller]
fn plan(text: &str) -> Plan {
    plan_with(text, |_| ()).unwrap_or_else(|mistake| panic!("{}", mistake.render()))
}

fn wrong(text: &str) -> String {
    plan_with(text, |_| ()).map(|_| ()).unwrap_err().to_string()
}

const DIAMOND: &str = "FROM a AS top\nFROM top AS left\nFROM top AS right\nFROM x AS unused\n\
                       FROM scratch AS last\nCOPY --from=left / /l\nRUN --mount=from=RIGHT,target=/r x\nCOPY --from=image:1 / /";

#[test]
fn only_what_the_target_needs_is_needed() {
    let plan = plan(DIAMOND);
    assert_eq!(plan.needed(), [0, 1, 2, 4]);
    let last = plan.stage(plan.target());
    assert_eq!(last.needs().collect::<Vec<_>>(), [1, 2]);
    assert_eq!(last.base, Origin::Scratch);
    assert!(matches!(last.instructions[2].origins[0], Origin::Image(_)));
}

#[test]
fn a_target_has_a_name_or_a_number() {
    let target = |target: &str| {
        plan_with(DIAMOND, |options| options.target = Some(target.into())).map(|plan| plan.needed())
    };
    assert_eq!(target("LEFT").unwrap(), [0, 1]);
    assert_eq!(target("0").unwrap(), [0]);
    let message = target("rihgt").unwrap_err().to_string();
    assert_eq!(message, "target stage \"rihgt\" could not be found (did you mean right?)");
    assert_eq!(plan_with(DIAMOND, |options| options.all_stages = true).unwrap().needed().len(), 5);
}

#[test]
fn an_image_has_its_tag_and_the_platform_that_is_asked_for() {
    let plan = plan("ARG tag=1\nFROM --platform=linux/arm64/v8 golang:$tag\nFROM alpine");
    let image = |id: usize| match &plan.stage(id).base {
        Origin::Image(image) => image.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(image(0).reference.to_string(), "docker.io/library/golang:1");
    assert_eq!((image(0).platform.to_string(), image(0).is_platform_asked_for), ("linux/arm64".into(), true));
    assert_eq!((image(1).written.as_str(), image(1).reference.tag()), ("alpine", Some("latest")));
    assert!(!image(1).is_platform_asked_for);
}

#[test]
fn an_operating_system_or_an_architecture_alone_is_a_platform() {
    for (written, wanted) in
        [("arm64", "linux/arm64"), ("linux", "linux/amd64"), ("linux/arm/v7", "linux/arm/v7")]
    {
        let plan = plan(&format!("FROM --platform={written} a"));
        assert_eq!(plan.stage(0).platform.as_ref().unwrap().to_string(), wanted);
    }
    assert!(wrong("FROM --platform=a/b/c/d x").starts_with("failed to parse platform a/b/c/d"));
    assert_eq!(
        wrong("FROM --platform=$TARGETPLATFROM x"),
        "empty platform value from expression $TARGETPLATFROM (did you mean TARGETPLATFORM?)"
    );
}

#[test]
fn global_arguments_see_those_before_and_are_replaced_by_the_builds() {
    let plan = plan_with("ARG a=1\nARG b=$a-2 c=x\nFROM img:$b-$c", |options| {
        options.arguments.insert("c".into(), "given".into());
    });
    assert!(matches!(&plan.unwrap().stage(0).base, Origin::Image(image) if image.written == "img:1-2-given"));
    assert_eq!(wrong("FROM $none"), "base name ($none) should not be blank");
    assert!(
        wrong("FROM a:b:c").starts_with("failed to parse stage name \"a:b:c\": invalid reference format")
    );
}

#[test]
fn a_named_context_replaces_a_stage_or_an_image() {
    let with = |name: &str, text: &str| {
        plan_with(text, |options| drop(options.contexts.insert(name.into(), "local:x".into()))).unwrap()
    };
    let replaced = with("build", "FROM a AS build\nRUN x\nFROM scratch\nCOPY --from=build / /");
    assert!(matches!(&replaced.stage(0).base, Origin::Named(context) if context.value == "local:x"));
    assert!(replaced.stage(0).instructions.is_empty());
    let base = with("alpine", "FROM docker.io/library/alpine:latest\nRUN x");
    assert!(matches!(&base.stage(0).base, Origin::Named(context) if context.name == "alpine"));
    assert_eq!(base.stage(0).instructions.len(), 1);
    let copied = with("src::linux/amd64", "FROM scratch\nCOPY --from=src / /");
    assert!(matches!(&copied.stage(0).instructions[0].origins[0], Origin::Named(_)));
    assert_eq!(with("scratch", "FROM scratch").stage(0).base, Origin::Scratch);
}

#[test]
fn stages_that_need_each_other_or_come_too_late_are_refused() {
    assert_eq!(wrong("FROM a AS x\nCOPY --from=x / /"), "circular dependency detected on stage: x");
    let circle = "FROM a AS x\nCOPY --from=y / /\nFROM a AS y\nCOPY --from=x / /";
    assert_eq!(wrong(circle), "circular dependency detected on stage: x");
    assert_eq!(
        wrong("FROM a AS x\nCOPY --from=1 / /\nFROM x AS y"),
        "cannot copy from stage \"y\", it needs to be defined before current stage \"x\""
    );
    plan("FROM a AS x\nCOPY --from=y / /\nFROM a AS y"); // Nobody needs x.
    assert_eq!(wrong("FROM a\nCOPY --from=7 / /"), "invalid stage index 7");
    assert!(
        wrong("FROM a\nCOPY --from=$x / /").starts_with("variable expansion is not supported for --from")
    );
}

#[test]
fn triggers_of_a_stage_are_planned_and_those_of_an_image_when_they_are_known() {
    let plan = plan("FROM a AS x\nONBUILD COPY --from=z / /\nFROM b AS z\nFROM x");
    assert!(plan.stage(2).instructions[0].is_on_build);
    assert_eq!(plan.needed(), [0, 1, 2]);
    let mut plan = self::plan("FROM b AS z\nFROM img\nRUN own");
    assert_eq!(plan.needed(), [1]);
    plan.on_build(1, &["COPY --from=z / /".into()]).unwrap();
    assert_eq!(plan.needed(), [0, 1]);
    assert_eq!(plan.stage(1).instructions.len(), 2);
}

#[test]
fn the_only_stage_needs_no_name() {
    assert_eq!(plan("FROM a\nRUN x").stage(0).title, "");
    assert_eq!(plan("FROM a\nCOPY --from=b / /").stage(0).title, "stage-0");
    assert_eq!(plan("FROM a\nFROM b AS c").stage(0).title, "stage-0");
}

#[test]
fn a_thousand_stages_in_a_row_are_no_deeper_than_one() {
    let mut text = String::from("FROM scratch AS s0\n");
    for n in 1..3000 {
        text.push_str(&format!("FROM s{0} AS s{n}\nCOPY --from=s{0} / /\n", n - 1));
    }
    assert_eq!(plan(&text).needed().len(), 3000);
}
