//! `compose up`, `create` and `scale`.

use std::time::Duration;

use clap::Parser;
use minke_compose::{
    model::Select,
    plan::{self, Recreate, Up},
};

use super::{attached, bring, bring::Images, flags::switched_on, session::Session, watch};
use crate::{
    cli::verb::{Arity, Verb, client_verb},
    context::Context,
    failure::Failure,
};

/// Flags of `up`.
#[derive(Debug, Parser)]
pub(crate) struct UpArgs {
    /// Stops all containers if any container was stopped. Incompatible with -d
    #[arg(long)]
    abort_on_container_exit: bool,
    /// Stops all containers if any container exited with failure. Incompatible with -d
    #[arg(long)]
    abort_on_container_failure: bool,
    /// Recreate dependent containers. Incompatible with --no-recreate
    #[arg(long)]
    always_recreate_deps: bool,
    /// Restrict attaching to the specified services. Incompatible with --attach-dependencies
    #[arg(long, value_name = "stringArray")]
    attach: Vec<String>,
    /// Automatically attach to log output of dependent services
    #[arg(long)]
    attach_dependencies: bool,
    /// Build images before starting containers
    #[arg(long)]
    build: bool,
    /// Detached mode: Run containers in the background
    #[arg(short, long)]
    detach: bool,
    /// Return the exit code of the selected service container. Implies --abort-on-container-exit
    #[arg(long, value_name = "string")]
    exit_code_from: Option<String>,
    /// Recreate containers even if their configuration and image haven't changed
    #[arg(long)]
    force_recreate: bool,
    /// Enable interactive shortcuts when running attached (default: on a terminal, unless COMPOSE_MENU says otherwise)
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "bool")]
    menu: Option<bool>,
    /// Do not attach (stream logs) to the specified services
    #[arg(long, value_name = "stringArray")]
    no_attach: Vec<String>,
    /// Don't build an image, even if it's policy
    #[arg(long)]
    no_build: bool,
    /// Produce monochrome output
    #[arg(long)]
    no_color: bool,
    /// Don't start linked services
    #[arg(long)]
    no_deps: bool,
    /// Don't print prefix in logs
    #[arg(long)]
    no_log_prefix: bool,
    /// If containers already exist, don't recreate them. Incompatible with --force-recreate
    #[arg(long)]
    no_recreate: bool,
    /// Don't start the services after creating them
    #[arg(long)]
    no_start: bool,
    /// Pull image before running ("always"|"missing"|"never")
    #[arg(long, value_name = "string", default_value = "policy")]
    pull: String,
    /// Suppress the build output
    #[arg(long)]
    quiet_build: bool,
    /// Pull without printing progress information
    #[arg(long)]
    quiet_pull: bool,
    /// Remove containers for services not defined in the Compose file
    #[arg(long)]
    remove_orphans: bool,
    /// Recreate anonymous volumes instead of retrieving data from the previous containers
    #[arg(short = 'V', long)]
    renew_anon_volumes: bool,
    /// Scale SERVICE to NUM instances. Overrides the scale setting in the Compose file if present
    #[arg(long, value_name = "stringArray")]
    scale: Vec<String>,
    /// Use this timeout in seconds for container shutdown when attached or when containers are already running
    #[arg(short, long, value_name = "int")]
    timeout: Option<u64>,
    /// Show timestamps
    #[arg(long)]
    timestamps: bool,
    /// Wait for services to be running|healthy. Implies detached mode
    #[arg(long)]
    wait: bool,
    /// Maximum duration in seconds to wait for the project to be running|healthy
    #[arg(long, value_name = "int")]
    wait_timeout: Option<u64>,
    /// Watch source code and rebuild/refresh containers when files are updated
    #[arg(short, long)]
    watch: bool,
    /// Assume "yes" as answer to all prompts and run non-interactively
    #[arg(short, long)]
    yes: bool,
    /// The services
    services: Vec<String>,
}

/// Flags of `create`.
#[derive(Debug, Parser)]
pub(crate) struct Create {
    /// Build images before starting containers
    #[arg(long)]
    build: bool,
    /// Recreate containers even if their configuration and image haven't changed
    #[arg(long)]
    force_recreate: bool,
    /// Don't build an image, even if it's policy
    #[arg(long)]
    no_build: bool,
    /// If containers already exist, don't recreate them. Incompatible with --force-recreate
    #[arg(long)]
    no_recreate: bool,
    /// Pull image before running ("always"|"missing"|"never"|"build")
    #[arg(long, value_name = "string", default_value = "policy")]
    pull: String,
    /// Pull without printing progress information
    #[arg(long)]
    quiet_pull: bool,
    /// Remove containers for services not defined in the Compose file
    #[arg(long)]
    remove_orphans: bool,
    /// Scale SERVICE to NUM instances. Overrides the scale setting in the Compose file if present
    #[arg(long, value_name = "stringArray")]
    scale: Vec<String>,
    /// Assume "yes" as answer to all prompts and run non-interactively
    #[arg(short, long)]
    yes: bool,
    /// The services
    services: Vec<String>,
}

/// Flags of `scale`.
#[derive(Debug, Parser)]
pub(crate) struct Scale {
    /// Don't start linked services
    #[arg(long)]
    no_deps: bool,
    /// SERVICE=REPLICAS
    scales: Vec<String>,
}

pub(crate) static UP: Verb =
    client_verb!(UpArgs, up, Arity::Any, "[OPTIONS] [SERVICE...]", "Create and start containers");
pub(crate) static CREATE: Verb =
    client_verb!(Create, create, Arity::Any, "[OPTIONS] [SERVICE...]", "Creates containers for a service");
pub(crate) static SCALE: Verb =
    client_verb!(Scale, scale, Arity::AtLeast(1), "[OPTIONS] SERVICE=REPLICAS...", "Scale services");

async fn up(context: &Context, args: UpArgs) -> Result<(), Failure> {
    args.check()?;
    let mut session = Session::of_files(context)?;
    let dependencies = if args.no_deps { Select::Alone } else { Select::WithDependencies };
    session.select(&args.services, dependencies)?;
    rescale(&mut session, &args.scale)?;
    if args.quiet_pull || args.quiet_build {
        session.screen.quieten_pulls();
    }
    bring::provide(&mut session).await?;
    let observed = Images::of_flags(&args.pull, args.build, args.no_build)?.ensure(&session).await?;
    let attaches = !(args.detach || args.wait || args.no_start || session.flags().dry_run);
    let options = Up {
        services: args.services.clone(),
        recreate: recreate(args.force_recreate, args.no_recreate),
        recreate_dependencies: recreate(args.always_recreate_deps, args.no_recreate),
        renew_volumes: args.renew_anon_volumes,
        timeout: args.timeout.map(Duration::from_secs),
        remove_orphans: args.remove_orphans || switched_on("COMPOSE_REMOVE_ORPHANS"),
        replace_volumes: false,
        start: !(args.no_start || attaches),
        wait: args.wait,
    };
    let converging = bring::converge(&session, &observed, options, args.yes);
    match args.wait_timeout {
        None => converging.await?,
        Some(seconds) => tokio::time::timeout(Duration::from_secs(seconds), converging)
            .await
            .map_err(|_| Failure::new(format!("application not healthy after {seconds}s")))??,
    }
    if !attaches {
        return Ok(());
    }
    attached::run(&session, &args.attachment(&session)?).await
}

impl UpArgs {
    fn check(&self) -> Result<(), Failure> {
        let conflict = |what: &str| Err(Failure::new(what));
        let aborts = self.abort_on_container_exit || self.exit_code_from.is_some();
        let detaches = self.detach || self.wait;
        if self.force_recreate && self.no_recreate {
            return conflict("--force-recreate and --no-recreate are incompatible");
        }
        if self.always_recreate_deps && self.no_recreate {
            return conflict("--always-recreate-deps and --no-recreate are incompatible");
        }
        if self.abort_on_container_failure && aborts {
            return conflict(
                "--abort-on-container-failure cannot be combined with --abort-on-container-exit",
            );
        }
        if detaches
            && (aborts
                || self.abort_on_container_failure
                || self.attach_dependencies
                || !self.attach.is_empty()
                || self.watch)
        {
            return conflict(
                "-d and --wait cannot be combined with --abort-on-container-exit, --abort-on-container-failure, \
                 --attach, --attach-dependencies or --watch",
            );
        }
        Ok(())
    }

    fn attachment(&self, session: &Session<'_>) -> Result<attached::Attachment, Failure> {
        // Without the flag a key may begin the watch, if there is something to watch.
        let rules = match watch::rules(session, &[]) {
            Err(failure) if self.watch => return Err(failure),
            rules => rules.unwrap_or_default(),
        };
        let chosen = |name: &String, service: &minke_compose::model::Service| {
            let asked = self.attach.is_empty() || self.attach.contains(name);
            let named = self.services.is_empty() || self.services.contains(name) || self.attach_dependencies;
            asked
                && (named || self.attach.contains(name))
                && !self.no_attach.contains(name)
                && service.attach != Some(false)
        };
        let services = session.project.services.iter();
        let shown = services.filter(|(name, service)| chosen(name, service)).map(|(name, _)| name.clone());
        let abort =
            match (&self.exit_code_from, self.abort_on_container_exit, self.abort_on_container_failure) {
                (Some(service), ..) => attached::Abort::From(service.clone()),
                (None, true, _) => attached::Abort::OnExit,
                (None, false, true) => attached::Abort::OnFailure,
                _ => attached::Abort::Never,
            };
        Ok(attached::Attachment {
            shown: shown.collect(),
            abort,
            timeout: self.timeout.map(Duration::from_secs),
            timestamps: self.timestamps,
            prefix: !self.no_log_prefix,
            colours: !self.no_color,
            menu: self.menu,
            rules,
            watch: self.watch,
        })
    }
}

fn recreate(force: bool, never: bool) -> Recreate {
    match (force, never) {
        (true, _) => Recreate::Force,
        (_, true) => Recreate::Never,
        _ => Recreate::Changed,
    }
}

/// `--scale SERVICE=NUMBER`
pub(super) fn rescale(session: &mut Session<'_>, scales: &[String]) -> Result<(), Failure> {
    for scale in scales {
        let parts = scale.split_once('=').and_then(|(name, count)| Some((name, count.parse::<u32>().ok()?)));
        let Some((name, count)) = parts else {
            return Err(Failure::new(format!("invalid scale specifier: {scale}, want SERVICE=NUMBER")));
        };
        let service = session.project.services.get_mut(name);
        let service = service.ok_or_else(|| plan::PlanError::NoSuchService(name.to_owned()))?;
        service.scale = Some(i64::from(count));
        if let Some(deploy) = &mut service.deploy {
            deploy.replicas = Some(i64::from(count));
        }
    }
    Ok(())
}

async fn create(context: &Context, args: Create) -> Result<(), Failure> {
    if args.force_recreate && args.no_recreate {
        return Err(Failure::new("--force-recreate and --no-recreate are incompatible"));
    }
    let mut session = Session::of_files(context)?;
    session.select(&args.services, Select::WithDependencies)?;
    rescale(&mut session, &args.scale)?;
    if args.quiet_pull {
        session.screen.quieten_pulls();
    }
    bring::provide(&mut session).await?;
    let observed = Images::of_flags(&args.pull, args.build, args.no_build)?.ensure(&session).await?;
    let recreate = recreate(args.force_recreate, args.no_recreate);
    let options =
        Up { services: args.services, recreate, remove_orphans: args.remove_orphans, ..Up::default() };
    bring::converge(&session, &observed, options, args.yes).await
}

async fn scale(context: &Context, args: Scale) -> Result<(), Failure> {
    let mut session = Session::of_files(context)?;
    let names: Vec<_> =
        args.scales.iter().map(|scale| scale.split('=').next().unwrap_or_default().to_owned()).collect();
    session.select(&names, if args.no_deps { Select::Alone } else { Select::WithDependencies })?;
    rescale(&mut session, &args.scales)?;
    bring::provide(&mut session).await?;
    let observed = Images::of_flags("", false, false)?.ensure(&session).await?;
    let options = Up { services: names, start: true, ..Up::default() };
    bring::converge(&session, &observed, options, false).await
}
