//! `list`: all containers of a state root.

use std::fs;

use anyhow::{Context, bail};
use minke_model::chain;
use minke_oci_runtime::container;

use super::{
    Command, Global,
    flags::{Flag, Parsed},
    state::StateView,
};

pub(super) const COMMAND: Command = Command {
    name: "list",
    summary: "list containers",
    operands: "",
    count: 0..=0,
    flags: FLAGS,
    rest: None,
    sealed: false,
    run: list,
    failure: 1,
};

const FLAGS: &[Flag] = &[
    Flag::value("format", Some('f'), "FORMAT", "table or json (default: table)"),
    Flag::switch("quiet", Some('q'), "only ids"),
];

fn list(global: &Global, parsed: Parsed) -> anyhow::Result<u8> {
    // The usual place is made on demand; a place that was asked for has to be there.
    if !global.root.exists() && global.root != super::rootless::state_root() {
        bail!("open {}: no such file or directory", global.root.display());
    }
    let listed = container::list(&global.root).with_context(|| format!("read {}", global.root.display()))?;
    for error in &listed.damaged {
        global.log.warning(&format!("a container is left out: {}", chain(error)));
    }
    let stored = listed.containers.iter();
    let views: Vec<_> = stored.map(|stored| StateView::new(stored, user_name(stored.record.owner))).collect();
    if parsed.has("quiet") {
        views.iter().for_each(|view| println!("{}", view.id));
        return Ok(0);
    }
    match parsed.text("format")?.unwrap_or("table") {
        "table" => print!("{}", table(&views)),
        // As a Go program writes an empty list.
        "json" if views.is_empty() => println!("null"),
        "json" => println!("{}", serde_json::to_string(&views)?),
        _ => bail!("invalid format option"),
    }
    Ok(0)
}

/// Columns at least 12 wide, three spaces apart.
fn table(views: &[StateView<'_>]) -> String {
    const TITLES: [&str; 6] = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"];
    const LEAST: usize = 12;
    const GAP: usize = 3;
    let mut rows = vec![TITLES.map(str::to_owned)];
    rows.extend(views.iter().map(|view| {
        let status = view.status.to_string();
        [
            view.id.into(),
            view.pid.to_string(),
            status,
            view.bundle.clone(),
            view.created.into(),
            view.owner.clone(),
        ]
    }));
    let width = |column: usize| rows.iter().map(|row| row[column].len() + GAP).max().unwrap_or(0).max(LEAST);
    let widths: Vec<usize> = (0..TITLES.len()).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        for (column, cell) in row.iter().enumerate() {
            let width = if column + 1 == row.len() { 0 } else { widths[column] };
            text.push_str(&format!("{cell:<width$}"));
        }
        text.push('\n');
    }
    text
}

/// The host's name of a user, read without the C library's name service.
fn user_name(uid: u32) -> String {
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    name.unwrap_or_else(|| format!("#{uid}"))
}
