//! Fuzzing of Dockerfiles, from their bytes to their steps, and of `.dockerignore`.

use std::collections::BTreeMap;

use minke_dockerfile::{
    Diagnostic,
    ast::Dockerfile,
    evaluate::{Action, Base, CopySource, CopyStep, Evaluated, RunStep},
    ignore::{self, Glob, Matcher, Verdict as Fate},
    lint::Linter,
    parse,
    plan::{Options, Origin, Plan},
};
use minke_model::image_config::ImageConfig;
use minke_testkit::fuzz::{Input, Suite, Target, Verdict, holds, refused, shown};

const SUITE: Suite = Suite { corpus: concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus"), targets: TARGETS };

const TARGETS: &[Target] = &[
    Target { name: "dockerfile", input: Input::Text, tries: 2_000, begin: || Box::new(dockerfile) },
    Target { name: "dockerignore", input: Input::Text, tries: 4_000, begin: || Box::new(dockerignore) },
];

/// Each folder on the way to a file is looked at, so a test of a path costs its square.
const LONGEST_PATH: usize = 250;

#[test]
fn no_text_breaks_what_reads_plans_and_evaluates_dockerfiles() {
    SUITE.run("dockerfile");
}

#[test]
fn no_text_breaks_what_reads_and_matches_patterns() {
    SUITE.run("dockerignore");
}

#[test]
fn every_target_has_inputs_to_begin_with_that_it_takes() {
    SUITE.expect_corpus_is_taken();
}

/// As a build does, where every image is the same.
fn dockerfile(bytes: &[u8]) -> Verdict {
    let file = match parse("Dockerfile", bytes) {
        Ok(file) => file,
        Err(mistake) => {
            told(&mistake)?;
            return refused(&mistake);
        }
    };
    instructions_are_where_they_say(&file)?;
    match built(&file) {
        Ok(stages) => {
            let mut steps = 0;
            for stage in stages.values() {
                steps += stage.steps.len();
                evaluated(stage)?;
            }
            Ok(format!("taken: {} of {} stages, {steps} steps", stages.len(), file.stages.len()))
        }
        Err(mistake) => {
            told(&mistake)?;
            shown(&mistake).map(|message| format!("taken: no build: {message}"))
        }
    }
}

/// The stages that the target needs.
fn built(file: &Dockerfile) -> Result<BTreeMap<usize, Evaluated>, Diagnostic> {
    let mut linter = Linter::new(file, None)?;
    let mut options = Options::on("linux/amd64".parse().expect("a platform"));
    options.arguments.insert("given".into(), "value".into());
    options.contexts.insert("context-x".into(), "local:x".into());
    let mut image =
        ImageConfig { os: "linux".into(), architecture: "arm64".into(), ..ImageConfig::default() };
    image.config.env = vec!["LANG=C".into(), "odd".into()];
    image.config.working_dir = "relative/..".into();
    image.config.on_build = vec!["RUN true".into()];
    let mut plan = Plan::new(file, &options, &mut linter)?;
    for id in plan.needed() {
        if matches!(plan.stage(id).base, Origin::Image(_)) {
            plan.on_build(id, &image.config.on_build)?;
        }
    }
    let mut done = BTreeMap::new();
    for id in plan.needed() {
        assert!(
            plan.stage(id).needs().all(|needed| done.contains_key(&needed)),
            "what it needs is done before"
        );
        let base = match &plan.stage(id).base {
            Origin::Stage(before) => Base::Stage(&done[before]),
            Origin::Image(_) => Base::Image { config: &image, title: "image" },
            _ => Base::Scratch,
        };
        let evaluated = plan.evaluate(id, base, &mut linter)?;
        done.insert(id, evaluated);
    }
    for warning in linter.warnings() {
        assert!(!warning.summary().contains('\n') && !warning.render(&file.source).contains('\u{1b}'));
    }
    Ok(done)
}

/// A mistake is shown with lines that are there.
fn told(mistake: &Diagnostic) -> Result<(), String> {
    let count = mistake.source_file.text.split('\n').count() as u32;
    let is_there = mistake
        .lines
        .iter()
        .all(|lines| 1 <= lines.first && lines.first <= lines.last && lines.last <= count);
    holds("a mistake is in the file", mistake, is_there)?;
    let moves = |c: char| c.is_control() && c != '\n' && c != '\t';
    holds("an excerpt moves no cursor", mistake.render(), !mistake.render().contains(moves))
}

fn instructions_are_where_they_say(file: &Dockerfile) -> Result<(), String> {
    let mut last = 0;
    for stage in &file.stages {
        for lines in std::iter::once(stage.lines).chain(stage.instructions.iter().map(|i| i.lines)) {
            holds("instructions follow each other", lines, last < lines.first && lines.first <= lines.last)?;
            last = lines.last;
        }
    }
    holds("they are in the file", last, last as usize <= file.source.text.split('\n').count())
}

fn evaluated(stage: &Evaluated) -> Result<(), String> {
    let image = &stage.image;
    let layers = stage.steps.iter().filter(|step| step.action != Action::Nothing).count();
    let own = image.history.iter().filter(|record| !record.empty_layer).count();
    holds("each layer has an entry in the history", (layers, own), layers <= own)?;
    let is_path = |entry: &String| entry.starts_with("PATH=");
    holds(
        "there is one PATH",
        &image.config.env,
        image.config.env.iter().filter(|e| is_path(e)).count() == 1,
    )?;
    for step in &stage.steps {
        match &step.action {
            Action::Nothing => (),
            Action::Run(run) => ran(run)?,
            Action::Copy(copy) => copied(copy)?,
            Action::MakeDirectory(made) => clean("a folder", &made.path)?,
        }
    }
    Ok(())
}

fn ran(run: &RunStep) -> Result<(), String> {
    holds("a program has a name", &run.arguments, !run.arguments.is_empty())?;
    clean("a working directory", &run.directory)?;
    run.mounts.iter().filter_map(|mount| mount.target.as_ref()).try_for_each(|target| {
        holds("nothing is mounted over the root", target, target != "/")?;
        clean("a mount's target", target)
    })
}

fn copied(copy: &CopyStep) -> Result<(), String> {
    let folder = copy.destination.trim_end_matches('.').trim_end_matches('/');
    clean("a destination", if folder.is_empty() { "/" } else { folder })?;
    copy.sources.iter().try_for_each(|source| match source {
        CopySource::Path(path) => clean("a source", &path.path),
        CopySource::Http(http) => {
            let name = &http.file_name;
            let is_name = !name.is_empty() && name != "." && name != ".." && !name.contains('/');
            holds("a download has the name of a file", name, is_name)
        }
        CopySource::Git(_) | CopySource::Inline { .. } => Ok(()),
    })
}

fn clean(what: &str, path: &str) -> Result<(), String> {
    let is_clean = path.starts_with('/') && !path.split('/').any(|part| part == ".." || part == ".");
    holds(&format!("{what} is absolute and clean"), path, is_clean)
}

/// The first line is a path, the others are patterns.
fn dockerignore(bytes: &[u8]) -> Verdict {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let (path, patterns) = (String::from_utf8_lossy(&bytes[..end]), &bytes[end..]);
    // The system's paths aren't longer either.
    let path: String = path.trim_matches('/').chars().take(LONGEST_PATH).collect();
    let path = path.as_str();
    let patterns = match ignore::read(patterns) {
        Ok(patterns) => patterns,
        Err(error) => return refused(&error),
    };
    for pattern in &patterns {
        glob(pattern, path)?;
    }
    let matcher = match Matcher::new(&patterns) {
        Ok(matcher) => matcher,
        Err(error) => return refused(&error),
    };
    let (mut folder, mut is_out, mut is_included) = (matcher.root(), false, true);
    for (at, _) in path.match_indices('/') {
        let (fate, inside) = matcher.enter(&path[..at], &folder);
        is_out |= fate == Fate::Ignored;
        is_included &= matcher.may_match_below(&path[..at]);
        folder = inside;
    }
    let is_ignored = matcher.is_ignored(path, &folder);
    holds("nothing is kept in a folder that is left out", (path, &patterns), !is_out || is_ignored)?;
    if !matcher.has_exceptions() {
        holds("a walk finds what is found at once", (path, &patterns), is_ignored == matcher.matches(path))?;
        let alone = |pattern: &String| Matcher::new([pattern]).is_ok_and(|alone| alone.matches(path));
        let by_one = patterns.iter().any(alone);
        holds("one of the patterns matches", (path, &patterns), by_one == is_ignored)?;
    }
    Ok(format!("taken: ignored {is_ignored}, left out {is_out}, included {is_included}"))
}

fn glob(pattern: &str, path: &str) -> Result<(), String> {
    let Ok(glob) = Glob::new(pattern) else { return Ok(()) };
    let parents = || path.match_indices('/').map(|(at, _)| &path[..at]);
    if glob.matches(path) {
        holds(
            "what matches is looked for",
            (pattern, path),
            parents().all(|parent| glob.may_match_below(parent)),
        )?;
        holds("what matches is where a walk begins", (pattern, path), path.starts_with(&glob.folder()))?;
    }
    Ok(())
}
