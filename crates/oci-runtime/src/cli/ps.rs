//! `ps`: the processes of a container.

use std::process;

use anyhow::{Context, anyhow, bail};

use super::{
    Command, Global, find,
    flags::{Flag, Parsed},
};

pub(super) const COMMAND: Command = Command {
    name: "ps",
    summary: "show the processes of a container",
    operands: "<container-id> [ps options]",
    count: 1..=usize::MAX,
    flags: &[Flag::value("format", Some('f'), "FORMAT", "table or json (default: table)")],
    rest: Some(1),
    sealed: false,
    run: ps,
    failure: 1,
};

fn ps(global: &Global, parsed: Parsed) -> anyhow::Result<u8> {
    let stored = find(global, &parsed)?;
    let pids = stored.pids()?;
    match parsed.text("format")?.unwrap_or("table") {
        "json" => println!("{}", serde_json::to_string(&pids)?),
        "table" => print!("{}", table(&parsed, &pids)?),
        _ => bail!("invalid format option"),
    }
    Ok(0)
}

/// What the host's ps prints about all processes, less the lines about others.
fn table(parsed: &Parsed, pids: &[i32]) -> anyhow::Result<String> {
    let mut args = parsed.operands[1..].to_vec();
    if args.is_empty() {
        args.push("-ef".into());
    }
    let output = process::Command::new("ps").args(&args).output().context("run ps")?;
    if !output.status.success() {
        bail!("ps: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    filter(&String::from_utf8_lossy(&output.stdout), pids)
}

fn filter(listing: &str, pids: &[i32]) -> anyhow::Result<String> {
    let mut lines = listing.lines();
    let header = lines.next().unwrap_or_default();
    let column = header.split_whitespace().position(|title| title == "PID");
    let column = column.ok_or_else(|| anyhow!("couldn't find PID field in ps output"))?;
    let ours = |line: &&str| {
        let pid = line.split_whitespace().nth(column).and_then(|field| field.parse().ok());
        pid.is_some_and(|pid| pids.contains(&pid))
    };
    let kept = std::iter::once(header).chain(lines.filter(ours));
    Ok(kept.map(|line| format!("{line}\n")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_about_the_containers_processes_are_kept() {
        let listing = "UID PID CMD\nroot 1 init\nroot 42 sleep 1\n";
        assert_eq!(filter(listing, &[42]).unwrap(), "UID PID CMD\nroot 42 sleep 1\n");
        assert!(filter("CMD\nx\n", &[1]).is_err());
    }
}
