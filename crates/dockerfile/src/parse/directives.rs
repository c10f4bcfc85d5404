//! Parser directives: `# syntax=`, `# escape=` and `# check=`, only above everything else.

use crate::{
    ast::{Directive, Directives, Lines, Source},
    diagnostic::Diagnostic,
};

const KNOWN: [&str; 3] = ["syntax", "escape", "check"];

/// Reads what is at the top of a file. Below `#!` there may be `syntax` and `check`, but no `escape`.
pub(super) fn read(text: &str) -> Directives {
    let mut directives = Directives { syntax: None, escape: '\\', check: None };
    let skipped = u32::from(text.starts_with("#!"));
    for (number, line) in (1..).zip(text.lines()).skip(skipped as usize) {
        let Some((name, value)) = directive(line) else { break };
        let found = Some(Directive { value: value.to_owned(), line: number });
        match name.as_str() {
            "syntax" => directives.syntax = directives.syntax.take().or(found),
            "check" => directives.check = directives.check.take().or(found),
            _ if skipped == 0 => directives.escape = value.chars().next().unwrap_or('\\'),
            _ => (),
        }
    }
    directives
}

/// How many lines at the top of a file are directives.
pub(super) fn count(text: &str) -> u32 {
    let skipped = usize::from(text.starts_with("#!"));
    let lines = text.lines().skip(skipped).take_while(|line| directive(line).is_some()).count();
    u32::try_from(lines + skipped).unwrap_or(u32::MAX)
}

/// The escape character, after a look at what is wrong with the directives.
pub(super) fn check(source: &Source) -> Result<char, Diagnostic> {
    let mut escape = '\\';
    let mut seen: Vec<String> = Vec::new();
    for (number, line) in (1..).zip(source.text.lines()) {
        let Some((name, value)) = directive(line) else { break };
        let wrong = |message: String| Err(Diagnostic::new(source, Lines::one(number), message));
        if seen.contains(&name) {
            return wrong(format!("only one {name} parser directive can be used"));
        }
        match (name.as_str(), value) {
            ("escape", "\\") => escape = '\\',
            ("escape", "`") => escape = '`',
            ("escape", _) => return wrong(format!("invalid escape token '{value}' does not match ` or \\")),
            _ => (),
        }
        seen.push(name);
    }
    Ok(escape)
}

/// `# check=…` among the comments of an instruction, up to the first space.
pub(crate) fn check_in_comments(comments: &[String]) -> Option<&str> {
    let values = comments.iter().filter_map(|comment| named(comment));
    let check = values.filter(|(name, _)| name == "check").map(|(_, value)| value).next()?;
    check.split(' ').next()
}

/// The name in lower case and the value of a line that is a directive.
fn directive(line: &str) -> Option<(String, &str)> {
    named(line.trim_start().strip_prefix('#')?)
}

/// `name=value` with spaces around; nothing with another name.
fn named(text: &str) -> Option<(String, &str)> {
    let (name, value) = text.trim_start().split_once('=')?;
    let (name, value) = (name.trim_end().to_ascii_lowercase(), value.trim());
    (KNOWN.contains(&name.as_str()) && !value.is_empty()).then_some((name, value))
}
