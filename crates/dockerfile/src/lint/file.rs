//! The rules that need nothing but the file.

use std::collections::BTreeSet;

use super::{Linter, Rule};
use crate::{
    ast::{Dockerfile, Instruction, Kind, Lines, Stage},
    quote::quoted,
};

/// Names that mean something else in `--from`.
const RESERVED: [&str; 2] = ["context", "scratch"];

/// All of them.
pub(super) fn check(file: &Dockerfile, linter: &mut Linter) {
    for lines in &file.empty_continuations {
        linter.report(Rule::NoEmptyContinuation, *lines, &[], "Empty continuation line".to_owned());
    }
    for global in &file.arguments {
        let names: Vec<&str> = global.arguments.iter().map(|argument| argument.name.as_str()).collect();
        description(linter, "ARG", &names, global.lines, &global.comments);
    }
    let mut names = BTreeSet::new();
    for stage in &file.stages {
        from(linter, stage);
        name(linter, stage, &mut names);
        stage.instructions.iter().for_each(|one| instruction(linter, one));
    }
    casing(linter, file);
}

fn from(linter: &mut Linter, stage: &Stage) {
    let (lines, comments) = (stage.lines, &stage.comments);
    if let Some(written) = stage.name_as_written.as_ref().filter(|name| **name != name.to_lowercase()) {
        let message = format!("Stage name '{written}' should be lowercase");
        linter.report(Rule::StageNameCasing, lines, comments, message);
    }
    if let Some(as_keyword) = &stage.as_keyword {
        let differs = match Casing::of(&stage.keyword) {
            Casing::Lower => *as_keyword != as_keyword.to_lowercase(),
            Casing::Upper => *as_keyword != as_keyword.to_uppercase(),
            // Then the casing of the instruction is what is wrong.
            Casing::Mixed => false,
        };
        if differs {
            let message = format!("'{as_keyword}' and '{}' keywords' casing do not match", stage.keyword);
            linter.report(Rule::FromAsCasing, lines, comments, message);
        }
    }
    if let Some(name) = &stage.name {
        description(linter, "FROM", &[name], lines, comments);
    }
}

fn name<'a>(linter: &mut Linter, stage: &'a Stage, seen: &mut BTreeSet<&'a str>) {
    let Some(name) = stage.name.as_deref() else { return };
    let (lines, comments) = (stage.lines, &stage.comments);
    if RESERVED.contains(&name) {
        let message = format!("Stage name should not use the same name as reserved stage {}", quoted(name));
        linter.report(Rule::ReservedStageName, lines, comments, message);
    }
    if !seen.insert(name) {
        let message = format!("Duplicate stage name {}, stage names should be unique", quoted(name));
        linter.report(Rule::DuplicateStageName, lines, comments, message);
    }
}

fn instruction(linter: &mut Linter, instruction: &Instruction) {
    let (lines, comments) = (instruction.lines, &instruction.comments);
    match &instruction.kind {
        Kind::Maintainer(_) => {
            let message = "Maintainer instruction is deprecated in favor of using label".to_owned();
            linter.report(Rule::MaintainerDeprecated, lines, comments, message);
        }
        Kind::Arg(arguments) => {
            let names: Vec<&str> = arguments.iter().map(|argument| argument.name.as_str()).collect();
            description(linter, "ARG", &names, lines, comments);
        }
        _ => (),
    }
}

/// A comment directly above a definition should describe it.
fn description(linter: &mut Linter, keyword: &str, names: &[&str], lines: Lines, comments: &[String]) {
    let Some(comment) = comments.last() else { return };
    if names.is_empty() || names.contains(&comment.split(' ').next().unwrap_or_default()) {
        return;
    }
    let example = if let [only] = names { only } else { "<arg_key>" };
    let message = format!("Comment for {keyword} should follow the format: `# {example} <description>`");
    linter.report(Rule::InvalidDefinitionDescription, lines, comments, message);
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Casing {
    Lower,
    Upper,
    Mixed,
}

impl Casing {
    fn of(word: &str) -> Self {
        match word {
            _ if word == word.to_lowercase() => Self::Lower,
            _ if word == word.to_uppercase() => Self::Upper,
            _ => Self::Mixed,
        }
    }
}

/// All instructions should be written as most are.
fn casing(linter: &mut Linter, file: &Dockerfile) {
    let instructions = || {
        file.stages.iter().flat_map(|stage| {
            let from = (stage.keyword.as_str(), stage.lines, stage.comments.as_slice());
            let others = stage.instructions.iter();
            std::iter::once(from).chain(others.map(|i| (i.keyword.as_str(), i.lines, i.comments.as_slice())))
        })
    };
    let count = |casing| instructions().filter(|(keyword, ..)| Casing::of(keyword) == casing).count();
    let (wanted, shown) = if count(Casing::Lower) > count(Casing::Upper) {
        (Casing::Lower, "lowercase")
    } else {
        (Casing::Upper, "uppercase")
    };
    for (keyword, lines, comments) in instructions().filter(|(keyword, ..)| Casing::of(keyword) != wanted) {
        let message = format!("Command '{keyword}' should match the case of the command majority ({shown})");
        linter.report(Rule::ConsistentInstructionCasing, lines, comments, message);
    }
}
