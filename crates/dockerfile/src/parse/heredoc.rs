//! Here-documents: `<<EOF` in `RUN`, `COPY` and `ADD`, also behind `ONBUILD`.

use super::{command::Command, lines::Reader, words};
use crate::{
    ast::{Heredoc, Lines},
    expand::{Expander, NoVariables},
};

/// Reads the here-documents that an instruction's line announces, which are the lines after it.
pub(super) fn attach(command: &mut Command, reader: &mut Reader<'_>) -> Result<(), (Lines, String)> {
    if !command.code.contains("<<") || !takes_heredocs(command) {
        return Ok(());
    }
    for mut heredoc in announced(&command.code) {
        heredoc.content = body(&heredoc, reader).ok_or_else(|| {
            let lines = Lines { last: reader.number(), ..command.lines };
            (lines, "unterminated heredoc".to_owned())
        })?;
        command.heredocs.push(heredoc);
    }
    command.lines.last = reader.number().max(command.lines.last);
    Ok(())
}

fn takes_heredocs(command: &Command) -> bool {
    match command.name().as_str() {
        // JSON has no here-documents, and what isn't JSON after all fails later.
        "RUN" | "COPY" | "ADD" => !matches!(words::json(&command.rest), Ok(Some(_)) | Err(_)),
        "ONBUILD" => {
            let inner = command.triggered();
            inner.name() != "ONBUILD" && takes_heredocs(&inner)
        }
        _ => false,
    }
}

/// Those that a line announces, in order. A line whose quotes don't end has none.
fn announced(line: &str) -> Vec<Heredoc> {
    let words = Expander::of_raw_words().expand(line, &NoVariables).map(|found| found.words);
    words.unwrap_or_default().iter().filter_map(|word| heredoc(word)).collect()
}

/// A word that announces a here-document: digits, `<<`, perhaps `-`, perhaps spaces, a name.
pub(super) fn heredoc(word: &str) -> Option<Heredoc> {
    let digits = word.len() - word.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (descriptor, rest) = word.split_at(digits);
    let rest = rest.strip_prefix("<<")?;
    let (strips_tabs, rest) = rest.strip_prefix('-').map_or((false, rest), |rest| (true, rest));
    let written = rest.trim_start();
    if written.is_empty() || written.contains('<') {
        return None;
    }
    let found = Expander::of_heredoc_names().expand(written, &NoVariables).ok()?;
    let [name] = found.words.as_slice() else { return None };
    let quotes = |text: &str| text.chars().filter(|c| matches!(c, '\'' | '"')).count();
    Some(Heredoc {
        name: name.clone(),
        descriptor: descriptor.parse().unwrap_or(0),
        expands: quotes(name) == kept_quotes(written, quotes),
        strips_tabs,
        content: String::new(),
    })
}

/// How many quotes the word has when they are kept, escaped ones included.
fn kept_quotes(written: &str, quotes: impl Fn(&str) -> usize) -> usize {
    Expander::of_titles('\\').expand(written, &NoVariables).map_or(0, |found| quotes(&found.text))
}

/// The lines up to the one that is the name; `None` when the file ends before.
fn body(heredoc: &Heredoc, reader: &mut Reader<'_>) -> Option<String> {
    let mut content = String::new();
    loop {
        let line = reader.next_line()?;
        let mut end = line.trim_end_matches(['\r', '\n']);
        if heredoc.strips_tabs {
            end = end.trim_start_matches('\t');
        }
        if end == heredoc.name {
            return Some(content);
        }
        content.push_str(line);
    }
}
