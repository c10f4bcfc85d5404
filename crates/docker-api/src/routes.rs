//! Every call of the API: method, path, the version since when it exists, its handler and a sentence for the
//! documentation.
//!
//! This table is the only way in; `ROUTES.md` is checked against it. `{name}` is one path segment, `{name*}`
//! may contain slashes.

use std::future::Future;
use std::pin::Pin;

use hyper::Method;

use crate::call::Call;
use crate::containers::{archive, commit, life, stats, streams};
use crate::images::{registries, transfer};
use crate::respond::Outcome;
use crate::version::ApiVersion;
use crate::{build, buildkit, containers, events, exec, images, networks, path, refusals, system, volumes};

type Handler = fn(Call) -> Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// One call of the API.
pub struct Route {
    /// The HTTP method.
    pub method: Method,
    /// The path without its version.
    pub path: &'static str,
    /// The first version that has it; all up to the newest do.
    pub since: ApiVersion,
    /// Whether the call does what Docker's does, or is answered with the reason why not.
    pub served: bool,
    /// What it does, in one line.
    pub summary: &'static str,
    handler: Handler,
}

impl Route {
    pub(crate) fn run(&self, call: Call) -> Pin<Box<dyn Future<Output = Outcome> + Send>> {
        (self.handler)(call)
    }
}

macro_rules! routes {
    ($($method:ident $path:literal $minor:literal $served:ident $handler:path, $summary:literal;)*) => {
        &[$(Route {
            method: Method::$method,
            path: $path,
            since: ApiVersion(1, $minor),
            served: routes!(@ $served),
            summary: $summary,
            handler: |call| Box::pin($handler(call)),
        }),*]
    };
    (@ yes) => { true };
    (@ no) => { false };
}

/// The table.
pub static ROUTES: &[Route] = routes! {
    HEAD   "/_ping"                        24 yes system::ping_head, "Whether the engine is there, and what it is";
    GET    "/_ping"                        24 yes system::ping, "The same, with a body";
    GET    "/version"                      24 yes system::version, "Versions of the engine and its parts";
    GET    "/info"                         24 yes system::info, "The engine and its host";
    GET    "/events"                       24 yes events::events, "What happens, as it happens";
    GET    "/system/df"                    25 yes system::disk_usage, "What takes space on the disk";
    POST   "/auth"                         24 yes registries::auth, "Log in to a registry";

    GET    "/containers/json"              24 yes containers::list, "List containers";
    POST   "/containers/create"            24 yes containers::create, "Create a container";
    POST   "/containers/prune"             25 yes containers::prune, "Remove stopped containers";
    GET    "/containers/{name*}/json"       24 yes containers::inspect, "Inspect a container";
    GET    "/containers/{name*}/top"        24 yes containers::top, "List a container's processes";
    GET    "/containers/{name*}/changes"    24 yes containers::changes, "List what a container changed in its files";
    GET    "/containers/{name*}/export"     24 yes streams::export, "A container's files as a tar";
    GET    "/containers/{name*}/logs"       24 yes streams::logs, "A container's log";
    GET    "/containers/{name*}/stats"      24 yes stats::stats, "A container's use of resources";
    GET    "/containers/{name*}/attach/ws"  24 yes streams::attach_websocket, "Attach over a websocket";
    POST   "/containers/{name*}/attach"     24 yes streams::attach, "Attach to a container's streams";
    POST   "/containers/{name*}/start"      24 yes life::start, "Start a container";
    POST   "/containers/{name*}/stop"       24 yes life::stop, "Stop a container";
    POST   "/containers/{name*}/restart"    24 yes life::restart, "Restart a container";
    POST   "/containers/{name*}/kill"       24 yes life::kill, "Send a signal to a container";
    POST   "/containers/{name*}/pause"      24 yes life::pause, "Freeze a container";
    POST   "/containers/{name*}/unpause"    24 yes life::unpause, "Thaw a container";
    POST   "/containers/{name*}/wait"       24 yes life::wait, "Wait for a container's end";
    POST   "/containers/{name*}/resize"     24 yes life::resize, "Resize a container's terminal";
    POST   "/containers/{name*}/rename"     24 yes containers::rename, "Rename a container";
    POST   "/containers/{name*}/update"     24 yes containers::update, "Change a container's limits";
    HEAD   "/containers/{name*}/archive"    24 yes archive::stat, "What a path in a container is";
    GET    "/containers/{name*}/archive"    24 yes archive::get, "Copy out of a container";
    PUT    "/containers/{name*}/archive"    24 yes archive::put, "Copy into a container";
    GET    "/containers/{name}/checkpoints" 25 no refusals::checkpoint, "List checkpoints";
    POST   "/containers/{name}/checkpoints" 25 no refusals::checkpoint, "Make a checkpoint";
    DELETE "/containers/{name}/checkpoints/{checkpoint}" 25 no refusals::checkpoint, "Remove a checkpoint";
    DELETE "/containers/{name*}"           24 yes containers::remove, "Remove a container, or a link of one";
    POST   "/commit"                       24 yes commit::commit, "Make an image of a container";

    POST   "/containers/{name*}/exec"       24 yes exec::create, "Prepare a process in a container";
    POST   "/exec/{name}/start"            24 yes exec::start, "Start a prepared process";
    POST   "/exec/{name}/resize"           24 yes exec::resize, "Resize a process's terminal";
    GET    "/exec/{name}/json"             24 yes exec::inspect, "Inspect a process";

    GET    "/images/json"                  24 yes images::list, "List images";
    POST   "/images/create"                24 yes transfer::create, "Pull an image, or import one";
    POST   "/images/load"                  24 yes transfer::load, "Load images from an archive";
    GET    "/images/get"                   24 yes transfer::save, "Save images to an archive";
    GET    "/images/search"                24 yes registries::search, "Search a registry";
    POST   "/images/prune"                 25 yes images::prune, "Remove images without a name";
    GET    "/images/{name*}/get"           24 yes transfer::save_one, "Save an image to an archive";
    GET    "/images/{name*}/json"          24 yes images::inspect, "Inspect an image";
    GET    "/images/{name*}/history"       24 yes images::history, "How an image was made";
    POST   "/images/{name*}/tag"           24 yes images::tag, "Give an image a name";
    POST   "/images/{name*}/push"          24 yes registries::push, "Push an image to a registry";
    DELETE "/images/{name*}"               24 yes images::remove, "Remove an image";
    GET    "/distribution/{name*}/json"    30 yes registries::inspect, "Ask a registry about an image";
    POST   "/build"                        24 yes build::build, "Build an image";
    POST   "/build/prune"                  31 yes build::prune, "Empty the build cache";
    POST   "/build/cancel"                 37 yes build::session::cancel, "Cancel a build";
    POST   "/session"                      31 yes buildkit::session, "BuildKit's session";
    POST   "/grpc"                         38 yes buildkit::control, "BuildKit's API";

    GET    "/volumes"                      24 yes volumes::list, "List volumes";
    POST   "/volumes/create"               24 yes volumes::create, "Create a volume";
    POST   "/volumes/prune"                25 yes volumes::prune, "Remove unused volumes";
    GET    "/volumes/{name}"               24 yes volumes::inspect, "Inspect a volume";
    PUT    "/volumes/{name}"               42 no  volumes::update, "Change a cluster volume";
    DELETE "/volumes/{name}"               24 yes volumes::remove, "Remove a volume";

    GET    "/networks"                     24 yes networks::list, "List networks";
    POST   "/networks/create"              24 yes networks::create, "Create a network";
    POST   "/networks/prune"               25 yes networks::prune, "Remove unused networks";
    GET    "/networks/{name}"              24 yes networks::inspect, "Inspect a network";
    DELETE "/networks/{name}"              24 yes networks::remove, "Remove a network";
    POST   "/networks/{name}/connect"      24 yes networks::connect, "Connect a container to a network";
    POST   "/networks/{name}/disconnect"   24 yes networks::disconnect, "Disconnect a container from a network";

    GET    "/plugins"                      24 yes refusals::plugins, "List plugins";
    GET    "/plugins/privileges"           24 no  refusals::plugin_install, "What a plugin wants to be allowed";
    POST   "/plugins/pull"                 24 no  refusals::plugin_install, "Install a plugin";
    POST   "/plugins/create"               24 no  refusals::plugin_install, "Create a plugin";
    GET    "/plugins/{name*}/json"         24 no  refusals::plugin, "Inspect a plugin";
    POST   "/plugins/{name*}/enable"       24 no  refusals::plugin, "Enable a plugin";
    POST   "/plugins/{name*}/disable"      24 no  refusals::plugin, "Disable a plugin";
    POST   "/plugins/{name*}/push"         24 no  refusals::plugin, "Push a plugin";
    POST   "/plugins/{name*}/set"          24 no  refusals::plugin, "Set a plugin's options";
    POST   "/plugins/{name*}/upgrade"      26 no  refusals::plugin, "Upgrade a plugin";
    DELETE "/plugins/{name*}"              24 no  refusals::plugin, "Remove a plugin";

    POST   "/swarm/init"                   24 no  refusals::swarm_mode, "Start a swarm";
    POST   "/swarm/join"                   24 no  refusals::swarm_mode, "Join a swarm";
    POST   "/swarm/leave"                  24 no  refusals::swarm_leave, "Leave a swarm";
    POST   "/swarm/update"                 24 no  refusals::swarm, "Change the swarm";
    GET    "/swarm/unlockkey"              24 no  refusals::swarm, "The swarm's unlock key";
    POST   "/swarm/unlock"                 24 no  refusals::swarm, "Unlock a manager";
    GET    "/swarm"                        24 no  refusals::swarm, "Inspect the swarm";
    GET    "/nodes"                        24 no  refusals::swarm, "List the swarm's nodes";
    POST   "/nodes/{name}/update"          24 no  refusals::swarm, "Change a node";
    GET    "/nodes/{name}"                 24 no  refusals::swarm, "Inspect a node";
    DELETE "/nodes/{name}"                 24 no  refusals::swarm, "Remove a node";
    GET    "/services"                     24 no  refusals::swarm, "List the swarm's services";
    POST   "/services/create"              24 no  refusals::swarm, "Create a service";
    POST   "/services/{name}/update"       24 no  refusals::swarm, "Change a service";
    GET    "/services/{name}/logs"         29 no  refusals::swarm, "A service's logs";
    GET    "/services/{name}"              24 no  refusals::swarm, "Inspect a service";
    DELETE "/services/{name}"              24 no  refusals::swarm, "Remove a service";
    GET    "/tasks"                        24 no  refusals::swarm, "List the swarm's tasks";
    GET    "/tasks/{name}/logs"            29 no  refusals::swarm, "A task's logs";
    GET    "/tasks/{name}"                 24 no  refusals::swarm, "Inspect a task";
    GET    "/secrets"                      25 no  refusals::swarm, "List the swarm's secrets";
    POST   "/secrets/create"               25 no  refusals::swarm, "Create a secret";
    POST   "/secrets/{name}/update"        25 no  refusals::swarm, "Change a secret";
    GET    "/secrets/{name}"               25 no  refusals::swarm, "Inspect a secret";
    DELETE "/secrets/{name}"               25 no  refusals::swarm, "Remove a secret";
    GET    "/configs"                      30 no  refusals::swarm, "List the swarm's configs";
    POST   "/configs/create"               30 no  refusals::swarm, "Create a config";
    POST   "/configs/{name}/update"        30 no  refusals::swarm, "Change a config";
    GET    "/configs/{name}"               30 no  refusals::swarm, "Inspect a config";
    DELETE "/configs/{name}"               30 no  refusals::swarm, "Remove a config";
};

/// The route of a request, and the parameter in its path.
pub(crate) fn find<'a>(
    method: &Method,
    path: &'a str,
    version: ApiVersion,
) -> Option<(&'static Route, &'a str)> {
    // The one path that Docker takes with a slash behind it, which old clients have put there.
    let path = if path == "/networks/" { "/networks" } else { path };
    ROUTES
        .iter()
        .filter(|route| route.method == *method && route.since <= version)
        .find_map(|route| Some((route, path::matches(route.path, path)?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn found(method: Method, path: &str) -> Option<(&'static str, &str)> {
        find(&method, path, ApiVersion::NEWEST).map(|(route, name)| (route.path, name))
    }

    #[test]
    fn every_route_finds_itself() {
        for route in ROUTES {
            let path = route
                .path
                .replace("{name*}", "a.b/c:1")
                .replace("{name}", "x1")
                .replace("{checkpoint}", "y1");
            let (found, _) = find(&route.method, &path, ApiVersion::NEWEST).unwrap();
            assert_eq!((&found.method, found.path), (&route.method, route.path));
        }
    }

    #[test]
    fn no_route_stands_twice_and_none_is_older_than_what_is_served() {
        let keys: BTreeSet<_> = ROUTES.iter().map(|route| (route.method.as_str(), route.path)).collect();
        assert_eq!(keys.len(), ROUTES.len());
        assert!(ROUTES.iter().all(|route| route.since >= ApiVersion::OLDEST && !route.summary.is_empty()));
    }

    #[test]
    fn names_with_slashes_reach_images_and_links() {
        assert_eq!(
            found(Method::GET, "/images/reg:5000/a/b:1/json"),
            Some(("/images/{name*}/json", "reg:5000/a/b:1"))
        );
        assert_eq!(
            found(Method::GET, "/containers/web/data/json"),
            Some(("/containers/{name*}/json", "web/data"))
        );
        assert_eq!(found(Method::GET, "/networks/a/b"), None);
        assert_eq!(found(Method::GET, "/images/json"), Some(("/images/json", "")));
        assert_eq!(found(Method::POST, "/info"), None);
        assert_eq!(found(Method::GET, "/containers/json/"), None);
    }

    #[test]
    fn a_call_is_unknown_to_versions_before_it() {
        assert!(find(&Method::GET, "/system/df", ApiVersion(1, 24)).is_none());
        assert!(find(&Method::GET, "/system/df", ApiVersion(1, 25)).is_some());
    }

    #[test]
    fn every_route_is_documented() {
        let documented = include_str!("../ROUTES.md");
        let rows: Vec<_> = documented.lines().filter(|line| line.starts_with("| `")).collect();
        let expected: Vec<_> = ROUTES.iter().map(row).collect();
        assert_eq!(rows, expected, "ROUTES.md does not say what the table says");
    }

    fn row(route: &Route) -> String {
        let served = if route.served { "yes" } else { "no" };
        format!("| `{} {}` | {} | {served} | {} |", route.method, route.path, route.since, route.summary)
    }
}
