//! `--ulimit`, `--restart` and other small values that `run` and `update` share.

use std::collections::HashMap;

use bollard_stubs::models::{ResourcesUlimits, RestartPolicy, RestartPolicyNameEnum};

use super::FlagError;

/// The limits of setrlimit(2) by their names in Docker.
const ULIMITS: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// `--ulimit name=soft[:hard]`; -1 is no limit.
///
/// # Errors
/// Names the value and what is wrong with it.
pub(crate) fn ulimit(value: &str) -> Result<ResourcesUlimits, FlagError> {
    let (name, limits) =
        value.split_once('=').ok_or_else(|| FlagError::new(format!("invalid ulimit argument: {value}")))?;
    if !ULIMITS.contains(&name) {
        return Err(FlagError::new(format!("invalid ulimit type: {name}")));
    }
    let number = |text: &str| {
        text.parse::<i64>()
            .map_err(|_| FlagError::new(format!("invalid ulimit argument: {value}: {text:?} is no number")))
    };
    let (soft, hard) = match limits.split(':').collect::<Vec<_>>().as_slice() {
        [both] => (number(both)?, number(both)?),
        [soft, hard] => (number(soft)?, number(hard)?),
        _ => {
            return Err(FlagError::new(format!(
                "too many limit value arguments - {limits}, can only have up to two, `soft[:hard]`"
            )));
        }
    };
    if hard != -1 && (soft == -1 || soft > hard) {
        return Err(FlagError::new(format!(
            "ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}"
        )));
    }
    Ok(ResourcesUlimits { name: Some(name.to_owned()), soft: Some(soft), hard: Some(hard) })
}

/// `--restart no|always|unless-stopped|on-failure[:most]`.
///
/// # Errors
/// Names the policy and what is wrong with it.
pub(crate) fn restart(value: &str) -> Result<RestartPolicy, FlagError> {
    let (name, count) = value.split_once(':').map_or((value, None), |(name, count)| (name, Some(count)));
    let name = match name {
        "" if count.is_some() => {
            return Err(FlagError::new("invalid restart policy format: no policy provided before colon"));
        }
        "" => RestartPolicyNameEnum::EMPTY,
        "no" => RestartPolicyNameEnum::NO,
        "always" => RestartPolicyNameEnum::ALWAYS,
        "unless-stopped" => RestartPolicyNameEnum::UNLESS_STOPPED,
        "on-failure" => RestartPolicyNameEnum::ON_FAILURE,
        other => {
            return Err(FlagError::new(format!(
                "invalid restart policy: unknown policy '{other}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'"
            )));
        }
    };
    let count = match count {
        None | Some("") => 0,
        Some(text) => text.parse().map_err(|_| {
            FlagError::new("invalid restart policy format: maximum retry count must be an integer")
        })?,
    };
    Ok(RestartPolicy { name: Some(name), maximum_retry_count: Some(count) })
}

/// Values of `name=value` flags that the API takes as a map; later ones win.
///
/// # Errors
/// Names the flag where a name is missing.
pub(crate) fn pairs(flag: &str, values: &[String]) -> Result<HashMap<String, String>, FlagError> {
    let mut map = HashMap::new();
    for value in values {
        let (name, content) = value.split_once('=').unwrap_or((value, ""));
        if name.is_empty() {
            return Err(FlagError::new(format!("--{flag}: {value:?} has no name (want name=value)")));
        }
        map.insert(name.to_owned(), content.to_owned());
    }
    Ok(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ulimits_have_a_soft_and_a_hard_value() {
        let shown = |value| {
            ulimit(value)
                .map(|u| (u.name.unwrap(), u.soft.unwrap(), u.hard.unwrap()))
                .map_err(|e| e.to_string())
        };
        assert_eq!(shown("nofile=1024"), Ok(("nofile".to_owned(), 1024, 1024)));
        assert_eq!(shown("nofile=512:1024"), Ok(("nofile".to_owned(), 512, 1024)));
        assert_eq!(shown("core=-1"), Ok(("core".to_owned(), -1, -1)));
        assert_eq!(shown("core=5:-1"), Ok(("core".to_owned(), 5, -1)));
        for (value, expected) in [
            ("nofile", "invalid ulimit argument"),
            ("nope=1", "invalid ulimit type: nope"),
            ("core=x", "no number"),
            ("core=1:2:3", "too many"),
            ("core=2:1", "less than or equal"),
            ("core=-1:5", "less than or equal"),
        ] {
            assert!(shown(value).unwrap_err().contains(expected), "{value}");
        }
    }

    #[test]
    fn restart_policies_are_named() {
        let shown = |value| {
            restart(value)
                .map(|p| format!("{:?} {}", p.name.unwrap(), p.maximum_retry_count.unwrap()))
                .map_err(|e| e.to_string())
        };
        assert_eq!(shown("no").unwrap(), "NO 0");
        assert_eq!(shown("on-failure:3").unwrap(), "ON_FAILURE 3");
        assert_eq!(shown("unless-stopped").unwrap(), "UNLESS_STOPPED 0");
        assert!(shown("sometimes").unwrap_err().contains("unknown policy 'sometimes'"));
        assert!(shown("on-failure:x").unwrap_err().contains("must be an integer"));
        assert!(shown(":3").unwrap_err().contains("no policy provided"));
    }
}
