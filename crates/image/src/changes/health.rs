//! `HEALTHCHECK [--interval=30s …] CMD …` and `HEALTHCHECK NONE`.

use super::json_form;
use crate::Healthcheck;

const MILLISECOND: i64 = 1_000_000;

/// Parses what follows `HEALTHCHECK`.
pub(super) fn parse(arguments: &str) -> Result<Healthcheck, String> {
    let mut check = Healthcheck::default();
    let mut rest = arguments;
    while rest.starts_with("--") {
        let (flag, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        option(&mut check, flag)?;
        rest = after.trim_start();
    }
    let (kind, command) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let command = command.trim();
    match kind.to_ascii_uppercase().as_str() {
        "NONE" if command.is_empty() && check == Healthcheck::default() => {
            check.test = vec!["NONE".to_owned()];
        }
        "NONE" => return Err("NONE takes no arguments".to_owned()),
        "CMD" if command.is_empty() => return Err("missing command after HEALTHCHECK CMD".to_owned()),
        "CMD" => {
            check.test = match json_form(command) {
                Some(words) => [vec!["CMD".to_owned()], words].concat(),
                None => vec!["CMD-SHELL".to_owned(), command.to_owned()],
            };
        }
        other => return Err(format!("unknown type {other:?} in HEALTHCHECK (try CMD)")),
    }
    Ok(check)
}

fn option(check: &mut Healthcheck, flag: &str) -> Result<(), String> {
    let (name, value) = flag.split_once('=').ok_or_else(|| format!("{flag} needs a value: {flag}=…"))?;
    let field = match name {
        "--interval" => &mut check.interval,
        "--timeout" => &mut check.timeout,
        "--start-period" => &mut check.start_period,
        "--start-interval" => &mut check.start_interval,
        "--retries" => {
            let retries = value.parse::<i64>().ok().filter(|retries| *retries >= 0);
            check.retries = retries.ok_or_else(|| format!("--retries must be at least 0, not {value:?}"))?;
            return Ok(());
        }
        _ => return Err(format!("unknown flag {name}")),
    };
    let time =
        duration(value).ok_or_else(|| format!("{name}: {value:?} is not a duration such as 30s or 1m30s"))?;
    if time != 0 && time < MILLISECOND {
        return Err(format!("{name} cannot be less than 1ms"));
    }
    *field = time;
    Ok(())
}

/// A duration as Go writes it: `1h30m`, `1.5s`, `500ms`; in nanoseconds.
fn duration(text: &str) -> Option<i64> {
    if text == "0" {
        return Some(0);
    }
    let mut rest = text;
    let mut total = 0_i64;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let (number, after) = rest.split_at(end);
        let end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let unit: i64 = match unit {
            "ns" => 1,
            "us" | "µs" => 1_000,
            "ms" => MILLISECOND,
            "s" => 1_000 * MILLISECOND,
            "m" => 60_000 * MILLISECOND,
            "h" => 3_600_000 * MILLISECOND,
            _ => return None,
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let whole = if whole.is_empty() && !fraction.is_empty() { 0 } else { whole.parse::<i64>().ok()? };
        total = total.checked_add(whole.checked_mul(unit)?)?;
        if !fraction.is_empty() {
            let digits = u32::try_from(fraction.len()).ok().filter(|digits| *digits <= 9)?;
            total =
                total.checked_add(fraction.parse::<i64>().ok()?.checked_mul(unit)? / 10_i64.pow(digits))?;
        }
        rest = after;
    }
    (!text.is_empty()).then_some(total)
}
