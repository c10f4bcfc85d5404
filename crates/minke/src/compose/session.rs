//! A verb's surroundings: the project from its files (or from the labels of its containers), the engine, and what is there.

use minke_compose::{
    load,
    model::{Project, Select},
    plan::{self, Container, Observed, Origin, PlanError},
    run::{self, Execution, RunError},
};
use minke_docker_client::Client;
use std::{cell::Cell, collections::BTreeMap};

use super::{flags::ProjectFlags, screen::Screen};
use crate::{
    context::Context,
    failure::{Failure, chain},
    output,
};

/// One project on one engine.
pub(crate) struct Session<'a> {
    pub(crate) context: &'a Context,
    pub(crate) project: Project,
    /// The project comes from its files, not from what its containers remember.
    pub(crate) from_files: bool,
    pub(crate) screen: Screen<'a>,
    /// A watch of files is about to restart or replace containers: their end is not the project's.
    pub(crate) changing: Cell<bool>,
    profiles: BTreeMap<String, String>,
    env_files: Vec<String>,
}

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Self {
        Self::new(error.to_string())
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Engine(error) => error.into(),
            error => Self::new(chain(&error)),
        }
    }
}

impl<'a> Session<'a> {
    /// For verbs that need the files.
    ///
    /// # Errors
    /// When there are none, or they say something that can't be.
    pub(crate) fn of_files(context: &'a Context) -> Result<Self, Failure> {
        let mut request = request(&context.globals().compose)?;
        // Only the services that take part need theirs: `select` reads them.
        request.options.resolve_environment = false;
        Self::of_request(context, &request)
    }

    /// The same with other options of the loader.
    ///
    /// # Errors
    /// As [`Session::of_files`].
    pub(crate) fn of_request(context: &'a Context, request: &load::Request) -> Result<Self, Failure> {
        let flags = &context.globals().compose;
        let project = loaded(request)?;
        let profiles = run::profiles(&project)?;
        Ok(Self {
            context,
            project,
            from_files: true,
            screen: Screen::new(context),
            changing: Cell::new(false),
            profiles,
            env_files: flags.env_files.clone(),
        })
    }

    /// For verbs to which the project's name is enough: with `-p` and no file, what its containers remember.
    ///
    /// # Errors
    /// As [`Session::of_files`], or when the engine refuses.
    pub(crate) async fn of_name(context: &'a Context) -> Result<Self, Failure> {
        let flags = &context.globals().compose;
        let (Some(name), true) = (&flags.project, flags.files.is_empty()) else {
            return Self::of_files(context);
        };
        let (project, _) = run::projects(context.client()?, &name.to_lowercase()).await?;
        let (profiles, env_files) = (BTreeMap::new(), Vec::new());
        let (screen, changing) = (Screen::new(context), Cell::new(false));
        Ok(Self { context, project, from_files: false, screen, changing, profiles, env_files })
    }

    pub(crate) fn flags(&self) -> &'a ProjectFlags {
        &self.context.globals().compose
    }

    pub(crate) fn client(&self) -> Result<&'a Client, Failure> {
        self.context.client()
    }

    /// Leaves only the named services, and those that they depend on unless told otherwise; with none named, all whose profiles
    /// are active.
    ///
    /// # Errors
    /// When the project has no such service, or a file of variables can't be read.
    pub(crate) fn select(&mut self, named: &[String], with: Select) -> Result<(), Failure> {
        self.select_with(named, with, true)
    }

    /// The same; `environment` says whether files of variables are read.
    ///
    /// # Errors
    /// As [`Session::select`].
    pub(crate) fn select_with(
        &mut self,
        named: &[String],
        with: Select,
        environment: bool,
    ) -> Result<(), Failure> {
        if !self.from_files {
            return self.project.select(named, with).map_err(|error| Failure::new(error.to_string()));
        }
        self.project.enable(named);
        self.project.select(named, with).map_err(|error| Failure::new(error.to_string()))?;
        if !self.flags().all_resources {
            self.project.drop_unused();
        }
        if environment {
            self.project
                .resolve_environment(&load::Disk, true)
                .map_err(|error| Failure::new(chain(&error)))?;
        }
        Ok(())
    }

    /// Fails for services that the project doesn't have.
    ///
    /// # Errors
    /// Names the first.
    pub(crate) fn check_services(&self, named: &[String]) -> Result<(), Failure> {
        let known = |name: &String| {
            self.project.services.contains_key(name) || self.project.disabled_services.contains_key(name)
        };
        match named.iter().find(|name| !known(name)) {
            Some(name) => Err(PlanError::NoSuchService(name.clone()).into()),
            None => Ok(()),
        }
    }

    /// What the engine has of the project.
    ///
    /// # Errors
    /// When the engine refuses or is not there.
    pub(crate) async fn observe(&self) -> Result<Observed, Failure> {
        Ok(run::observe(self.client()?, &self.project).await?)
    }

    /// The project's containers of these services (of all where none is named), in the order of their names.
    ///
    /// # Errors
    /// When the engine refuses, or a service is named that has none and isn't known.
    pub(crate) async fn containers(&self, named: &[String], all: bool) -> Result<Vec<Container>, Failure> {
        let mut containers = run::containers(self.client()?, Some(&self.project.name), all).await?;
        if self.from_files {
            self.check_services(named)?;
        }
        containers.retain(|container| !container.is_before());
        containers
            .retain(|container| named.is_empty() || named.iter().any(|name| name == container.service()));
        containers
            .sort_by(|a, b| (a.service(), a.number(), a.name()).cmp(&(b.service(), b.number(), b.name())));
        Ok(containers)
    }

    /// One running container of a service: the first, or that of `--index`.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) async fn container(
        &self,
        service: &str,
        index: Option<u32>,
        all: bool,
    ) -> Result<Container, Failure> {
        let named = [service.to_owned()];
        let containers = self.containers(&named, all).await?;
        let fits = |container: &Container| {
            !container.is_oneoff() && index.is_none_or(|index| container.number() == index)
        };
        containers.into_iter().find(fits).ok_or_else(|| match index {
            Some(index) => Failure::new(format!("service {service:?} is not running container #{index}")),
            None => Failure::new(format!("service {service:?} is not running")),
        })
    }

    /// What requests for containers are made from.
    pub(crate) fn origin<'s>(&'s self, observed: &'s Observed) -> Origin<'s> {
        Origin { project: &self.project, observed, env_files: &self.env_files, profiles: &self.profiles }
    }

    /// Something that carries plans out.
    ///
    /// # Errors
    /// When there is no engine.
    pub(crate) fn execution(&self) -> Result<Execution<'_>, Failure> {
        Ok(Execution::new(self.client()?, &self.project, &self.screen, self.flags().parallel()))
    }

    /// Carries a plan out and shows how far it is; in a dry run only prints it.
    ///
    /// # Errors
    /// That of the first step that failed.
    pub(crate) async fn carry_out(&self, plan: &plan::Plan, observed: &Observed) -> Result<(), Failure> {
        self.carry_out_with(plan, observed, self.execution()?).await
    }

    /// The same with flags for builds.
    ///
    /// # Errors
    /// That of the first step that failed.
    pub(crate) async fn carry_out_with(
        &self,
        plan: &plan::Plan,
        observed: &Observed,
        execution: Execution<'_>,
    ) -> Result<(), Failure> {
        for warning in &plan.warnings {
            output::note(&format!("WARNING: {warning}"));
        }
        if plan.is_empty() {
            return Ok(());
        }
        if self.flags().dry_run {
            let lines: String = plan.lines().iter().map(|line| format!("DRY-RUN MODE -  {line}\n")).collect();
            return output::print(&lines);
        }
        execution.know(observed);
        self.screen.during(execution.execute(plan)).await?;
        Ok(())
    }
}

/// What the flags and the environment ask the loader for.
///
/// # Errors
/// When there is no current folder.
pub(super) fn request(flags: &ProjectFlags) -> Result<load::Request, Failure> {
    let working_dir =
        std::env::current_dir().map_err(|error| Failure::doing("find the current folder", error))?;
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    Ok(load::Request {
        files: flags.files.clone(),
        project_directory: flags.directory.clone(),
        project_name: flags.project.clone(),
        profiles: flags.profiles.clone(),
        env_files: flags.env_files.clone(),
        environment,
        working_dir,
        options: load::Options::default(),
    })
}

fn loaded(request: &load::Request) -> Result<Project, Failure> {
    let loaded = load::project(request, &load::Disk).map_err(|error| Failure::new(chain(&error)))?;
    for warning in &loaded.warnings {
        output::note(&format!("WARNING: {warning}"));
    }
    Ok(loaded.project)
}
