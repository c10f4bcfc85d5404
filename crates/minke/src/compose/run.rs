//! `compose run`: one command in a container of its own, made as a service's.

use std::{
    hash::{BuildHasher as _, RandomState},
    path::PathBuf,
};

use clap::Parser;
use minke_compose::{
    model::{Mount, Port, Select, Service},
    plan::{self, Command, Condition, Observed, Oneoff, Plan, Up, Wait, names},
    run::{create_container, put_files},
};

use super::{bring, bring::Images, session::Session};
use crate::{
    cli::verb::{Arity, Verb, client_verb},
    command,
    context::Context,
    failure::Failure,
    output,
    run::{
        FlagError, environment,
        session::{self, Wiring},
        signals,
        waiting::Waiting,
    },
    terminal,
};

/// Flags of `run`.
#[derive(Debug, Parser)]
pub(crate) struct Run {
    /// Build image before starting container
    #[arg(long)]
    build: bool,
    /// Add Linux capabilities
    #[arg(long, value_name = "list")]
    cap_add: Vec<String>,
    /// Drop Linux capabilities
    #[arg(long, value_name = "list")]
    cap_drop: Vec<String>,
    /// Run container in background and print container ID
    #[arg(short, long)]
    detach: bool,
    /// Override the entrypoint of the image
    #[arg(long, value_name = "string")]
    entrypoint: Option<String>,
    /// Set environment variables
    #[arg(short, long, value_name = "stringArray")]
    env: Vec<String>,
    /// Set environment variables from file
    #[arg(long, value_name = "stringArray")]
    env_from_file: Vec<PathBuf>,
    /// Keep STDIN open even if not attached
    #[arg(short, long, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", value_name = "bool")]
    interactive: bool,
    /// Add or override a label
    #[arg(short, long, value_name = "stringArray")]
    label: Vec<String>,
    /// Assign a name to the container
    #[arg(long, value_name = "string")]
    name: Option<String>,
    /// Disable pseudo-TTY allocation (default: auto-detected)
    #[arg(short = 'T', long = "no-tty", alias = "no-TTY")]
    no_tty: bool,
    /// Don't start linked services
    #[arg(long)]
    no_deps: bool,
    /// Publish a container's port(s) to the host
    #[arg(short, long, value_name = "stringArray")]
    publish: Vec<String>,
    /// Pull image before running ("always"|"missing"|"never")
    #[arg(long, value_name = "string", default_value = "policy")]
    pull: String,
    /// Don't print anything to STDOUT
    #[arg(short, long)]
    quiet: bool,
    /// Suppress progress output from the build process
    #[arg(long)]
    quiet_build: bool,
    /// Pull without printing progress information
    #[arg(long)]
    quiet_pull: bool,
    /// Remove containers for services not defined in the Compose file
    #[arg(long)]
    remove_orphans: bool,
    /// Automatically remove the container when it exits
    #[arg(long)]
    rm: bool,
    /// Run command with all service's ports enabled and mapped to the host
    #[arg(short = 'P', long)]
    service_ports: bool,
    /// Allocate a pseudo-TTY (the default)
    #[arg(short, long, hide = true)]
    tty: bool,
    /// Use the service's network useAliases in the network(s) the container connects to
    #[arg(long)]
    use_aliases: bool,
    /// Run as specified username or uid
    #[arg(short, long, value_name = "string")]
    user: Option<String>,
    /// Bind mount a volume
    #[arg(short, long, value_name = "stringArray")]
    volume: Vec<String>,
    /// Working directory inside the container
    #[arg(short, long, value_name = "string")]
    workdir: Option<String>,
    /// The service
    service: String,
    /// What to run instead of the service's command
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

pub(crate) static RUN: Verb = client_verb!(
    Run,
    run,
    Arity::AtLeast(1),
    "[OPTIONS] SERVICE [COMMAND] [ARGS...]",
    "Run a one-off command on a service",
    false
);

async fn run(context: &Context, args: Run) -> Result<(), Failure> {
    let mut session = Session::of_files(context)?;
    let dependencies = if args.no_deps { Select::Alone } else { Select::WithDependencies };
    session.select(std::slice::from_ref(&args.service), dependencies)?;
    if args.quiet {
        session.screen.silence();
    }
    if args.quiet_pull || args.quiet_build {
        session.screen.quieten_pulls();
    }
    bring::provide(&mut session).await?;
    let observed = Images::of_flags(&args.pull, args.build, false)?.ensure(&session).await?;
    ground(&mut session, &args, &observed).await?;
    let tty = !args.no_tty && !args.detach && terminal::stdin_is_terminal() && terminal::stdout_is_terminal();
    let service = changed(&session, &args, tty)?;
    let slug = slug();
    let name =
        args.name.clone().unwrap_or_else(|| format!("{}-{}-run-{slug}", session.project.name, args.service));
    let stdin = args.interactive && !args.detach;
    let oneoff = Oneoff { slug, name: name.clone(), stdin, remove: args.rm, aliases: args.use_aliases };
    let observed = session.observe().await?;
    let mut request = plan::oneoff(session.origin(&observed), &service, &oneoff)?;
    resolve(&mut request, &observed);
    if session.flags().dry_run {
        return output::line(&format!("DRY-RUN MODE -  create and start container {name}"));
    }
    let client = session.client()?;
    let query = [("name", name)];
    let id = create_container(client, &args.service, request, context.proxies()?, &query).await?;
    put_files(client, &session.project, &service, &id).await?;
    if args.detach {
        client.post_empty::<()>(&format!("/containers/{id}/start"), &[]).await?;
        return output::line(&id);
    }
    foreground(context, &id, &args, Wiring { tty, stdin, stdout: true, stderr: true }).await
}

/// What the service depends on, and its networks and volumes; not the service's own containers.
async fn ground(session: &mut Session<'_>, args: &Run, observed: &Observed) -> Result<(), Failure> {
    let own = session.project.services.get(&args.service).cloned();
    let Some(own) = own else { return Ok(()) };
    let mut without = session.project.clone();
    without.services.remove(&args.service);
    without.disabled_services.insert(args.service.clone(), own.clone());
    let whole = std::mem::replace(&mut session.project, without);
    let options = Up { start: true, remove_orphans: args.remove_orphans, ..Up::default() };
    let brought = bring::converge(session, observed, options, false).await;
    session.project = whole;
    brought?;
    let mut waits = Plan::default();
    for (name, dependency) in &own.depends_on {
        let condition = match dependency.condition.as_str() {
            "service_healthy" => Condition::Healthy,
            "service_completed_successfully" => Condition::Completed,
            _ => continue,
        };
        let Some(service) = session.project.services.get(name) else { continue };
        let containers = names::containers(&session.project, service);
        let wait = Wait { service: name.clone(), containers, condition, required: dependency.required };
        waits.push(Command::Wait(wait), []);
    }
    session.carry_out(&waits, observed).await
}

/// The service with what the flags change.
fn changed(session: &Session<'_>, args: &Run, tty: bool) -> Result<Service, Failure> {
    let service = session.project.services.get(&args.service);
    let mut service = service.cloned().ok_or_else(|| plan::PlanError::NoSuchService(args.service.clone()))?;
    let failed = |FlagError(problem): FlagError| Failure::new(problem);
    if !args.command.is_empty() {
        service.command = Some(args.command.clone());
    }
    if let Some(entrypoint) = &args.entrypoint {
        service.entrypoint = Some(entrypoint.split_whitespace().map(str::to_owned).collect());
        if args.command.is_empty() {
            service.command = Some(Vec::new());
        }
    }
    for variable in
        environment::variables(&args.env_from_file, &args.env, &environment::own).map_err(failed)?
    {
        let (name, value) =
            variable.split_once('=').map_or((variable.as_str(), None), |(name, value)| (name, Some(value)));
        service.environment.insert(name.to_owned(), value.map(str::to_owned));
    }
    service.labels.extend(environment::labels(&[], &args.label).map_err(failed)?);
    service.cap_add.extend(args.cap_add.iter().cloned());
    service.cap_drop.extend(args.cap_drop.iter().cloned());
    if let Some(user) = &args.user {
        service.user.clone_from(user);
    }
    if let Some(workdir) = &args.workdir {
        service.working_dir.clone_from(workdir);
    }
    if !args.service_ports {
        service.ports.clear();
    }
    for publish in &args.publish {
        service.ports.push(port(publish)?);
    }
    for volume in &args.volume {
        let mount = mount(session, volume)?;
        service.volumes.retain(|other| other.target != mount.target);
        service.volumes.push(mount);
    }
    service.tty = tty;
    service.stdin_open = args.interactive;
    service.restart = String::new();
    if let Some(deploy) = &mut service.deploy {
        deploy.restart_policy = None;
    }
    Ok(service)
}

/// `[[ADDRESS:]HOST:]CONTAINER[/PROTOCOL]`
fn port(text: &str) -> Result<Port, Failure> {
    let invalid =
        || Failure::new(format!("invalid --publish {text:?}, want [[ADDRESS:]HOST:]CONTAINER[/PROTOCOL]"));
    let (rest, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let (host, target) = rest.rsplit_once(':').unwrap_or(("", rest));
    let (address, published) = host.rsplit_once(':').unwrap_or(("", host));
    Ok(Port {
        host_ip: address.trim_matches(['[', ']']).to_owned(),
        published: published.to_owned(),
        target: target.parse::<u16>().map_err(|_| invalid())?.into(),
        protocol: protocol.to_owned(),
        ..Port::default()
    })
}

/// `[SOURCE:]TARGET[:ro]`
fn mount(session: &Session<'_>, text: &str) -> Result<Mount, Failure> {
    let mut parts: Vec<&str> = text.split(':').collect();
    let read_only = matches!(parts.last(), Some(&("ro" | "rw"))) && parts.pop() == Some("ro");
    let (source, target) = match parts.as_slice() {
        [target] => ("", *target),
        [source, target] => (*source, *target),
        _ => return Err(Failure::new(format!("invalid --volume {text:?}, want [SOURCE:]TARGET[:ro]"))),
    };
    let is_path = source.starts_with(['/', '.', '~']);
    let source = match (is_path, source.strip_prefix("~/")) {
        (true, Some(below)) => format!("{}/{below}", std::env::var("HOME").unwrap_or_default()),
        (true, None) => session.project.working_dir.join(source).display().to_string(),
        _ => source.to_owned(),
    };
    let kind = if is_path { "bind" } else { "volume" }.to_owned();
    Ok(Mount { kind, source, target: target.to_owned(), read_only, ..Mount::default() })
}

/// Puts the ids of the project's containers where the request has their names.
fn resolve(request: &mut serde_json::Value, observed: &Observed) {
    for mode in ["NetworkMode", "IpcMode", "PidMode"] {
        let value = &mut request["HostConfig"][mode];
        let found = value
            .as_str()
            .and_then(|mode| mode.strip_prefix("container:"))
            .and_then(|name| observed.containers.iter().find(|container| container.name() == name));
        if let Some(container) = found {
            *value = format!("container:{}", container.id).into();
        } else if value.is_null() {
            // Indexing has made a field that was not there.
            if let Some(host) = request["HostConfig"].as_object_mut() {
                host.remove(mode);
            }
        }
    }
}

/// Connects first, then starts, so that no output and no exit is missed.
async fn foreground(context: &Context, id: &str, args: &Run, wiring: Wiring) -> Result<(), Failure> {
    let client = context.client()?;
    let keys = command::run::detach_keys(context, None)?;
    let _proxy = signals::proxy(client, id);
    let condition = if args.rm { "removed" } else { "next-exit" };
    let (connection, waiting) = tokio::join!(
        command::run::attach(client, id, wiring, &keys.text),
        Waiting::register(client, id, condition)
    );
    let (connected, waiting) = (session::Session::new(connection?, wiring, keys.keys)?, waiting?);
    client.post_empty::<()>(&format!("/containers/{id}/start"), &[]).await?;
    let _size = wiring.tty.then(|| signals::follow_size(client, format!("/containers/{id}/resize")));
    command::run::finish(connected, waiting, wiring).await
}

/// Twelve digits that no other run has.
fn slug() -> String {
    let random = RandomState::new().hash_one((std::process::id(), std::time::SystemTime::now()));
    format!("{random:016x}")[..12].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_may_have_an_address_and_a_protocol() {
        let of =
            |text: &str| port(text).map(|port| (port.host_ip, port.published, port.target, port.protocol));
        let expected = |ip: &str, host: &str, target, protocol: &str| {
            (ip.to_owned(), host.to_owned(), target, protocol.to_owned())
        };
        assert_eq!(of("80").unwrap(), expected("", "", 80, "tcp"));
        assert_eq!(of("8080:80").unwrap(), expected("", "8080", 80, "tcp"));
        assert_eq!(of("127.0.0.1:53:53/udp").unwrap(), expected("127.0.0.1", "53", 53, "udp"));
        assert_eq!(of("[::1]:1:2").unwrap(), expected("::1", "1", 2, "tcp"));
        assert!(of("web").is_err());
        assert_ne!(slug(), slug());
    }
}
