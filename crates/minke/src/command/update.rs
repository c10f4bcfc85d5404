//! `minke update`.

use bollard_stubs::models::ContainerUpdateBody;
use clap::Parser;
use minke_model::quantity;
use serde::Deserialize;

use super::batch;
use crate::{
    cli::verb::{Arity, Verb, client_verb},
    context::Context,
    failure::Failure,
    format::text::or_default,
    output,
    run::{FlagError, limits, options},
};

/// Flags of `update`.
#[derive(Debug, Parser)]
pub(crate) struct Update {
    /// Block IO (relative weight), between 10 and 1000, or 0 to disable
    #[arg(long, value_name = "uint16")]
    blkio_weight: Option<u16>,
    /// Limit CPU CFS (Completely Fair Scheduler) period
    #[arg(long, value_name = "int")]
    cpu_period: Option<i64>,
    /// Limit CPU CFS (Completely Fair Scheduler) quota
    #[arg(long, value_name = "int")]
    cpu_quota: Option<i64>,
    /// Limit the CPU real-time period in microseconds
    #[arg(long, value_name = "int")]
    cpu_rt_period: Option<i64>,
    /// Limit the CPU real-time runtime in microseconds
    #[arg(long, value_name = "int")]
    cpu_rt_runtime: Option<i64>,
    /// CPU shares (relative weight)
    #[arg(short, long, value_name = "int")]
    cpu_shares: Option<i64>,
    /// Number of CPUs
    #[arg(long, value_name = "decimal", value_parser = quantity::parse_nano_cpus)]
    cpus: Option<i64>,
    /// CPUs in which to allow execution (0-3, 0,1)
    #[arg(long, value_name = "string")]
    cpuset_cpus: Option<String>,
    /// MEMs in which to allow execution (0-3, 0,1)
    #[arg(long, value_name = "string")]
    cpuset_mems: Option<String>,
    /// Memory limit
    #[arg(short, long, value_name = "bytes", value_parser = quantity::parse_bytes)]
    memory: Option<i64>,
    /// Memory soft limit
    #[arg(long, value_name = "bytes", value_parser = quantity::parse_bytes)]
    memory_reservation: Option<i64>,
    /// Swap limit equal to memory plus swap: -1 to enable unlimited swap
    #[arg(long, value_name = "bytes", value_parser = options::swap)]
    memory_swap: Option<i64>,
    /// Tune container pids limit (set -1 for unlimited)
    #[arg(long, value_name = "int")]
    pids_limit: Option<i64>,
    /// Restart policy to apply when a container exits
    #[arg(long, value_name = "string")]
    restart: Option<String>,
    /// The containers
    containers: Vec<String>,
}

pub(crate) static UPDATE: Verb = client_verb!(
    Update,
    update,
    Arity::AtLeast(1),
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Update configuration of one or more containers"
);

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Updated {
    #[serde(deserialize_with = "or_default")]
    warnings: Vec<String>,
}

async fn update(context: &Context, args: Update) -> Result<(), Failure> {
    let body = request(&args).map_err(|FlagError(problem)| Failure::new(problem))?;
    if body == ContainerUpdateBody::default() {
        return Err(Failure::new("you must provide one or more flags when using this command"));
    }
    let client = context.client()?;
    batch::each(&args.containers, async |name| {
        let path = format!("/containers/{name}/update");
        let updated: Option<Updated> = client.post(&path, &[], Some(&body)).await?;
        for warning in updated.unwrap_or_default().warnings {
            output::note(&warning);
        }
        Ok(name.to_owned())
    })
    .await
}

fn request(args: &Update) -> Result<ContainerUpdateBody, FlagError> {
    Ok(ContainerUpdateBody {
        blkio_weight: args.blkio_weight,
        cpu_period: args.cpu_period,
        cpu_quota: args.cpu_quota,
        cpu_realtime_period: args.cpu_rt_period,
        cpu_realtime_runtime: args.cpu_rt_runtime,
        cpu_shares: args.cpu_shares,
        nano_cpus: args.cpus,
        cpuset_cpus: args.cpuset_cpus.clone(),
        cpuset_mems: args.cpuset_mems.clone(),
        memory: args.memory,
        memory_reservation: args.memory_reservation,
        memory_swap: args.memory_swap,
        pids_limit: args.pids_limit,
        restart_policy: args.restart.as_deref().map(limits::restart).transpose()?,
        ..ContainerUpdateBody::default()
    })
}
