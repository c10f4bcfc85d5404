//! `compose config` and `volumes`.

use std::{collections::BTreeSet, io::Write as _, path::PathBuf};

use clap::Parser;
use minke_compose::{
    load,
    model::{Project, Select, Service},
    plan::names,
    render,
};

use super::{
    looks,
    session::{self, Session},
};
use crate::{
    cli::verb::{Arity, Verb, client_verb},
    context::Context,
    failure::{Failure, chain},
    format::{self, Kind, Row},
    output,
};

/// Flags of `config`.
#[derive(Debug, Parser)]
pub(crate) struct Config {
    /// Print environment used for interpolation
    #[arg(long)]
    environment: bool,
    /// Format the output. Values: [yaml | json]
    #[arg(long, value_name = "string", default_value = "yaml")]
    format: String,
    /// Print the service config hash, one per line
    #[arg(long, value_name = "string")]
    hash: Option<String>,
    /// Print the image names, one per line
    #[arg(long)]
    images: bool,
    /// Produces an override file with image digests
    #[arg(long)]
    lock_image_digests: bool,
    /// Print the model names, one per line
    #[arg(long)]
    models: bool,
    /// Print the network names, one per line
    #[arg(long)]
    networks: bool,
    /// Don't check model consistency - warning: may produce invalid Compose output
    #[arg(long)]
    no_consistency: bool,
    /// Don't resolve service env files
    #[arg(long)]
    no_env_resolution: bool,
    /// Don't interpolate environment variables
    #[arg(long)]
    no_interpolate: bool,
    /// Don't normalize compose model
    #[arg(long)]
    no_normalize: bool,
    /// Don't resolve file paths
    #[arg(long)]
    no_path_resolution: bool,
    /// Save to file (default to stdout)
    #[arg(short, long, value_name = "string")]
    output: Option<PathBuf>,
    /// Print the profile names, one per line
    #[arg(long)]
    profiles: bool,
    /// Only validate the configuration, don't print anything
    #[arg(short, long)]
    quiet: bool,
    /// Pin image tags to digests
    #[arg(long)]
    resolve_image_digests: bool,
    /// Print the service names, one per line
    #[arg(long = "services")]
    only_services: bool,
    /// Print model variables and default values
    #[arg(long)]
    variables: bool,
    /// Print the volume names, one per line
    #[arg(long)]
    volumes: bool,
    /// The services
    services: Vec<String>,
}

/// Flags of `volumes`.
#[derive(Debug, Parser)]
pub(crate) struct Volumes {
    /// Format output: 'table', 'table TEMPLATE', 'json' or a Go template
    #[arg(long, value_name = "string")]
    format: Option<String>,
    /// Only display volume names
    #[arg(short, long)]
    quiet: bool,
    /// The services
    services: Vec<String>,
}

pub(crate) static CONFIG: Verb = client_verb!(
    Config,
    config,
    Arity::Any,
    "[OPTIONS] [SERVICE...]",
    "Parse, resolve and render compose file in canonical format"
);
pub(crate) static VOLUMES: Verb =
    client_verb!(Volumes, volumes, Arity::Any, "[OPTIONS] [SERVICE...]", "List volumes");

async fn config(context: &Context, args: Config) -> Result<(), Failure> {
    let flags = &context.globals().compose;
    let mut request = session::request(flags)?;
    request.options = load::Options {
        interpolate: !args.no_interpolate,
        normalize: !args.no_normalize,
        resolve_paths: !args.no_path_resolution,
        check_consistency: !args.no_consistency,
        resolve_environment: false,
        discard_env_files: !args.no_env_resolution,
    };
    let failed = |error: load::LoadError| Failure::new(chain(&error));
    if args.variables {
        let variables = load::variables(&request, &load::Disk).map_err(failed)?;
        let lines = variables.values().map(|variable| {
            let cells = [
                variable.name.as_str(),
                if variable.required { "true" } else { "false" },
                &variable.default,
                &variable.alternative,
            ];
            cells.join("\t") + "\n"
        });
        let table = format!("NAME\tREQUIRED\tDEFAULT VALUE\tALTERNATE VALUE\n{}", lines.collect::<String>());
        return output::print(&format::aligned(&table));
    }
    if args.no_interpolate {
        let model = load::model(&request, &load::Disk).map_err(failed)?;
        let text = match args.format.as_str() {
            "json" => render::value_json(&model.value) + "\n",
            _ => render::value_yaml(&model.value),
        };
        return written(&args, &text);
    }
    let mut session = Session::of_request(context, &request)?;
    let environment = !args.no_env_resolution;
    session.select_with(&args.services, Select::WithDependencies, environment)?;
    if args.resolve_image_digests || args.lock_image_digests {
        pin(&mut session).await?;
    }
    if args.lock_image_digests {
        session.project = images_alone(session.project);
    }
    match listed(&session.project, &args)? {
        Some(lines) => output::print(&lines.into_iter().map(|line| line + "\n").collect::<String>()),
        None => {
            let text = match args.format.as_str() {
                "yaml" | "yml" => render::yaml(&session.project),
                "json" => render::json(&session.project) + "\n",
                other => {
                    return Err(Failure::new(format!("unsupported format {other:?}, want yaml or json")));
                }
            };
            written(&args, &text)
        }
    }
}

fn written(args: &Config, text: &str) -> Result<(), Failure> {
    match &args.output {
        _ if args.quiet => Ok(()),
        None => output::print(text),
        Some(path) => std::fs::File::create(path)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(|error| Failure::doing(format!("write {}", path.display()), error)),
    }
}

/// What the flags ask for instead of the whole project.
fn listed(project: &Project, args: &Config) -> Result<Option<Vec<String>>, Failure> {
    let services = || project.services.values();
    if args.only_services {
        return Ok(Some(project.services.keys().cloned().collect()));
    }
    if args.volumes {
        return Ok(Some(project.volumes.keys().cloned().collect()));
    }
    if args.networks {
        return Ok(Some(project.networks.keys().cloned().collect()));
    }
    if args.models {
        return Ok(Some(project.models.values().map(|model| model.model.clone()).collect()));
    }
    if args.images {
        return Ok(Some(services().map(|service| names::image(&project.name, service)).collect()));
    }
    if args.profiles {
        let all = services().chain(project.disabled_services.values());
        let profiles: BTreeSet<_> = all.flat_map(|service| service.profiles.iter().cloned()).collect();
        return Ok(Some(profiles.into_iter().collect()));
    }
    if args.environment {
        let pairs = project.environment.iter().map(|(name, value)| format!("{name}={value}"));
        return Ok(Some(pairs.collect()));
    }
    let Some(hash) = &args.hash else { return Ok(None) };
    let chosen: Vec<&str> = hash.split(',').collect();
    if let Some(unknown) = chosen.iter().find(|name| **name != "*" && !project.services.contains_key(**name))
    {
        return Err(Failure::new(format!("no such service: {unknown}")));
    }
    let wanted = services().filter(|service| hash == "*" || chosen.contains(&service.name.as_str()));
    Ok(Some(wanted.map(|service| format!("{} {}", service.name, render::service_hash(service))).collect()))
}

/// Services of which nothing is said but their images: a file that goes over the project's others.
fn images_alone(project: Project) -> Project {
    let services = project.services.into_iter().filter(|(_, service)| !service.image.is_empty());
    let services = services.map(|(name, service)| {
        let alone = Service { name: name.clone(), image: service.image, ..Service::default() };
        (name, alone)
    });
    Project { services: services.collect(), ..Project::default() }
}

/// Images by the digests that their registries have for them (Docker Engine API, DistributionInspect).
async fn pin(session: &mut Session<'_>) -> Result<(), Failure> {
    let client = session.client()?;
    let wanted = session.project.services.values_mut().filter(|service| !service.image.is_empty());
    for service in wanted.filter(|service| !service.image.contains('@')) {
        let path = format!("/distribution/{}/json", service.image);
        let found: serde_json::Value = client.get(&path, &[]).await?;
        if let Some(digest) = found["Descriptor"]["digest"].as_str() {
            service.image = format!("{}@{digest}", service.image);
        }
    }
    Ok(())
}

static VOLUME_LIST: Kind = Kind {
    titles: &[("Driver", "DRIVER"), ("Name", "VOLUME NAME"), ("Labels", "LABELS")],
    table: "{{.Driver}}\\t{{.Name}}",
    quiet: "{{.Name}}",
};

async fn volumes(context: &Context, args: Volumes) -> Result<(), Failure> {
    let session = Session::of_name(context).await?;
    if session.from_files {
        session.check_services(&args.services)?;
    }
    let observed = session.observe().await?;
    let used = |name: &str| {
        let containers = observed
            .containers
            .iter()
            .filter(|container| args.services.iter().any(|service| service == container.service()));
        containers.flat_map(|container| &container.mounts).any(|mount| mount.name == name)
    };
    let rows: Vec<_> = observed
        .volumes
        .iter()
        .filter(|volume| args.services.is_empty() || used(&volume.name))
        .map(|volume| {
            Row::new([("Driver", volume.driver.clone()), ("Name", volume.name.clone())])
                .with_labels(volume.labels.clone())
        })
        .collect();
    looks::print(&VOLUME_LIST, rows, args.format.as_deref(), args.quiet)
}
