//! Interpolation of a tree: values only, never names, and the types that some attributes have after it.

use super::{
    error::Fault,
    template::{Lookup, substitute},
};
use crate::{
    model::attribute::boolean,
    tree::{Content, Node, path::Path},
};

/// What a text becomes once its variables are filled in.
#[derive(Clone, Copy)]
enum Cast {
    Integer,
    Number,
    Boolean,
}

const CASTS: [(&str, Cast); 45] = [
    ("services.*.cpu_count", Cast::Integer),
    ("services.*.cpu_percent", Cast::Number),
    ("services.*.cpu_period", Cast::Integer),
    ("services.*.cpu_quota", Cast::Integer),
    ("services.*.cpu_rt_period", Cast::Integer),
    ("services.*.cpu_rt_runtime", Cast::Integer),
    ("services.*.cpus", Cast::Number),
    ("services.*.cpu_shares", Cast::Integer),
    ("services.*.init", Cast::Boolean),
    ("services.*.deploy.replicas", Cast::Integer),
    ("services.*.deploy.update_config.parallelism", Cast::Integer),
    ("services.*.deploy.update_config.max_failure_ratio", Cast::Number),
    ("services.*.deploy.rollback_config.parallelism", Cast::Integer),
    ("services.*.deploy.rollback_config.max_failure_ratio", Cast::Number),
    ("services.*.deploy.restart_policy.max_attempts", Cast::Integer),
    ("services.*.deploy.placement.max_replicas_per_node", Cast::Integer),
    ("services.*.healthcheck.retries", Cast::Integer),
    ("services.*.healthcheck.disable", Cast::Boolean),
    ("services.*.oom_kill_disable", Cast::Boolean),
    ("services.*.oom_score_adj", Cast::Integer),
    ("services.*.pids_limit", Cast::Integer),
    ("services.*.ports.[].target", Cast::Integer),
    ("services.*.privileged", Cast::Boolean),
    ("services.*.read_only", Cast::Boolean),
    ("services.*.scale", Cast::Integer),
    ("services.*.stdin_open", Cast::Boolean),
    ("services.*.tty", Cast::Boolean),
    ("services.*.ulimits.*", Cast::Integer),
    ("services.*.ulimits.*.hard", Cast::Integer),
    ("services.*.ulimits.*.soft", Cast::Integer),
    ("services.*.build.ulimits.*", Cast::Integer),
    ("services.*.build.ulimits.*.hard", Cast::Integer),
    ("services.*.build.ulimits.*.soft", Cast::Integer),
    ("services.*.volumes.[].read_only", Cast::Boolean),
    ("services.*.volumes.[].volume.nocopy", Cast::Boolean),
    ("networks.*.internal", Cast::Boolean),
    ("networks.*.attachable", Cast::Boolean),
    ("networks.*.enable_ipv4", Cast::Boolean),
    ("networks.*.enable_ipv6", Cast::Boolean),
    ("services.*.attach", Cast::Boolean),
    ("services.*.use_api_socket", Cast::Boolean),
    ("networks.*.external", Cast::Boolean),
    ("volumes.*.external", Cast::Boolean),
    ("secrets.*.external", Cast::Boolean),
    ("configs.*.external", Cast::Boolean),
];

/// Fills in the variables of a tree. `warn` is told of booleans that YAML has given up.
pub(crate) fn interpolate(
    tree: &mut Node,
    variables: &dyn Lookup,
    warn: &dyn Fn(String),
) -> Result<(), Fault> {
    visit(tree, &mut Path::default(), variables, warn)
}

fn visit(
    node: &mut Node,
    path: &mut Path,
    variables: &dyn Lookup,
    warn: &dyn Fn(String),
) -> Result<(), Fault> {
    match &mut node.content {
        Content::Map(map) => map
            .iter_mut()
            .try_for_each(|(name, value)| path.within(name, |path| visit(value, path, variables, warn))),
        Content::Seq(items) => items
            .iter_mut()
            .enumerate()
            .try_for_each(|(index, item)| path.item(index, |path| visit(item, path, variables, warn))),
        Content::Str(text) => {
            let filled =
                substitute(text, variables).map_err(|error| Fault::new(node.at, path, error.to_string()))?;
            node.content = match CASTS.iter().find(|(pattern, _)| path.matches(pattern)) {
                Some((_, cast)) => {
                    typed(*cast, &filled, warn).map_err(|message| Fault::new(node.at, path, message))?
                }
                None => Content::Str(filled),
            };
            Ok(())
        }
        _ => Ok(()),
    }
}

fn typed(cast: Cast, text: &str, warn: &dyn Fn(String)) -> Result<Content, String> {
    match cast {
        Cast::Integer => text.parse().map(Content::Int).map_err(|_| format!("invalid integer: {text:?}")),
        Cast::Number => text.parse().map(Content::Float).map_err(|_| format!("invalid number: {text:?}")),
        Cast::Boolean => {
            let value = boolean(text).ok_or_else(|| format!("invalid boolean: {text}"))?;
            if !matches!(text.to_ascii_lowercase().as_str(), "true" | "false") {
                warn(format!("{text:?} for boolean is not supported by YAML 1.2, please use `{value}`"));
            }
            Ok(Content::Bool(value))
        }
    }
}
