//! What `up` and its kin show on standard error while they work: a line per resource that changes in place, or lines one after
//! the other where there is no terminal.

mod draw;

use std::{cell::RefCell, io::Write as _, path::PathBuf, sync::Arc, time::Duration};

use minke_build_client::Logins;
use minke_compose::run::{Event, Phase, Surroundings};
use minke_docker_client::HeaderMap;
use minke_model::Reference;
use serde_json::{Value, json};

use self::draw::Board;
use super::flags::{switched_on, variable};
use crate::{
    context::Context,
    credentials::{self, server},
    output, terminal, transfer,
};

/// How often the lines are drawn anew.
const FRAME: Duration = Duration::from_millis(100);

/// In which form progress is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Terminal,
    Plain,
    Json,
    Quiet,
}

/// Where docker's plugins are for all users of a host.
const PLUGINS: [&str; 4] = [
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
];

/// Where progress is shown.
pub(crate) struct Screen<'a> {
    context: &'a Context,
    style: Style,
    board: RefCell<Board>,
    quiet_pulls: std::cell::Cell<bool>,
}

impl<'a> Screen<'a> {
    pub(crate) fn new(context: &'a Context) -> Self {
        let flags = &context.globals().compose;
        let asked = flags.progress().map(str::to_owned).or_else(|| variable("COMPOSE_PROGRESS"));
        let ansi = flags.ansi().map(str::to_owned).or_else(|| variable("COMPOSE_ANSI"));
        let terminal = terminal::stderr_is_terminal() && ansi.as_deref() != Some("never");
        let style = match asked.as_deref() {
            Some("plain") => Style::Plain,
            Some("json") => Style::Json,
            Some("quiet") => Style::Quiet,
            Some("tty") => Style::Terminal,
            _ if terminal || ansi.as_deref() == Some("always") => Style::Terminal,
            _ => Style::Plain,
        };
        let colours = ansi.as_deref() != Some("never") && std::env::var_os("NO_COLOR").is_none();
        Self {
            context,
            style,
            board: RefCell::new(Board::new(colours)),
            quiet_pulls: std::cell::Cell::new(false),
        }
    }

    /// `--quiet-pull` and `--quiet`: nothing of pulls and builds but their beginning and end.
    pub(crate) fn quieten_pulls(&self) {
        self.quiet_pulls.set(true);
    }

    /// Nothing at all (`--quiet`).
    pub(crate) fn silence(&mut self) {
        self.style = Style::Quiet;
    }

    /// Draws while something works.
    pub(crate) async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        if self.style != Style::Terminal {
            return work.await;
        }
        self.board.borrow_mut().begin();
        let mut frames = tokio::time::interval(FRAME);
        tokio::pin!(work);
        let done = loop {
            tokio::select! {
                biased;
                done = &mut work => break done,
                _ = frames.tick() => self.draw(false),
            }
        };
        self.draw(true);
        for line in self.board.borrow().complaints() {
            output::note(&line);
        }
        done
    }

    fn draw(&self, last: bool) {
        let size =
            terminal::size().map_or((80, 24), |(columns, rows)| (usize::from(columns), usize::from(rows)));
        let text = self.board.borrow_mut().frame(size, last);
        let mut stderr = std::io::stderr().lock();
        // There is nowhere to report a failure to.
        let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
    }
}

impl Surroundings for Screen<'_> {
    fn report(&self, event: Event) {
        match self.style {
            Style::Quiet => {}
            Style::Plain => output::note(&format!(" {}  {}", event.resource, event.text)),
            Style::Json => {
                let status = match event.phase {
                    Phase::Working => "Working",
                    Phase::Done => "Done",
                    Phase::Warning => "Warning",
                    Phase::Failed => "Error",
                };
                let line = json!({"id": event.resource, "status": status, "text": event.text});
                output::note(&line.to_string());
            }
            Style::Terminal => self.board.borrow_mut().update(event),
        }
    }

    fn message(&self, resource: &str, message: &Value) {
        if self.quiet_pulls.get() || self.style == Style::Quiet {
            return;
        }
        let text = |field: &str| message[field].as_str().unwrap_or_default().trim_end().to_owned();
        let (stream, status, id) = (text("stream"), text("status"), text("id"));
        match self.style {
            Style::Terminal => self.board.borrow_mut().detail(resource, message),
            Style::Json => output::note(
                &json!({"id": resource, "stream": stream, "status": status, "layer": id}).to_string(),
            ),
            // Bytes come many times a second.
            _ if message["progressDetail"]["current"].is_number() => {}
            _ if !stream.is_empty() => output::note(&format!(" {resource} {stream}")),
            _ if !status.is_empty() => {
                output::note(&format!(" {} {status}", if id.is_empty() { resource.to_owned() } else { id }));
            }
            _ => {}
        }
    }

    fn logins(&self) -> Arc<dyn Logins> {
        Arc::new(credentials::UserLogins(self.context.config().clone()))
    }

    fn registry_headers(&self, image: &str) -> HeaderMap {
        let Ok(reference) = image.parse::<Reference>() else { return HeaderMap::new() };
        let known = transfer::known_at(self.context.config(), server::of_image(&reference));
        credentials::auth_header(&known).unwrap_or_default()
    }

    fn build_headers(&self) -> HeaderMap {
        credentials::config_header(&self.context.config().all_credentials()).unwrap_or_default()
    }

    fn proxies(&self) -> Vec<(String, String)> {
        self.context.proxies().unwrap_or_default()
    }

    fn plugin_folders(&self) -> Vec<PathBuf> {
        let config = self.context.config();
        let own = config.folder().map(|folder| folder.join("cli-plugins"));
        let further = config.cli_plugins_extra_dirs.iter().cloned();
        own.into_iter().chain(further).chain(PLUGINS.map(PathBuf::from)).collect()
    }
}

/// Whether orphans are nobody's business (`COMPOSE_IGNORE_ORPHANS`).
pub(crate) fn ignores_orphans() -> bool {
    switched_on("COMPOSE_IGNORE_ORPHANS")
}
