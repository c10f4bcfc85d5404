//! Which verbs there are, under which names.

use super::verb::Verb;
use crate::command::{
    archive, attach, build, commit, completion, containers, contexts, create, dial, events, exec,
    image_archive, images, info, inspect, layers, lifecycle, listing, login, logs, network_create, networks,
    plugins, prune, registry, remove, run, search, start, stats, top, transfer, update, usage, version,
    volumes, wait,
};
use crate::compose;

/// A verb under a name.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    pub(crate) aliases: &'static [&'static str],
    pub(crate) verb: &'static Verb,
    /// Listed first in the overview.
    pub(crate) common: bool,
}

/// Verbs about one kind of thing: `minke container …`.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) entries: &'static [Entry],
}

/// What two words name.
#[derive(Debug)]
pub(crate) enum Found {
    /// A verb, and the words that named it with its proper name.
    Verb(String, &'static Verb),
    Group(&'static Group),
    /// One of Docker's verbs that minke doesn't have yet.
    NotYet(String),
    Unknown,
}

const fn entry(name: &'static str, verb: &'static Verb) -> Entry {
    Entry { name, aliases: &[], verb, common: false }
}

const fn common(name: &'static str, verb: &'static Verb) -> Entry {
    Entry { name, aliases: &[], verb, common: true }
}

const fn aliased(name: &'static str, aliases: &'static [&'static str], verb: &'static Verb) -> Entry {
    Entry { name, aliases, verb, common: false }
}

/// The verbs without a group.
pub(crate) static TOP: &[Entry] = &[
    common("run", &run::RUN),
    common("exec", &exec::EXEC),
    common("ps", &listing::PS),
    common("pull", &transfer::PULL),
    common("push", &transfer::PUSH),
    common("images", &images::LS),
    common("logs", &logs::LOGS),
    common("login", &login::LOGIN),
    common("logout", &login::LOGOUT),
    common("search", &search::SEARCH),
    common("version", &version::VERSION),
    common("info", &info::INFO),
    entry("attach", &attach::ATTACH),
    entry("build", &build::BUILD),
    entry("commit", &commit::COMMIT),
    entry("completion", &completion::COMPLETION),
    entry("cp", &archive::CP),
    entry("create", &create::CREATE),
    entry("daemon", &crate::daemon::DAEMON),
    entry("diff", &containers::DIFF),
    entry("events", &events::EVENTS),
    entry("export", &archive::EXPORT),
    entry("history", &images::HISTORY),
    entry("import", &image_archive::IMPORT),
    entry("inspect", &inspect::INSPECT),
    entry("kill", &lifecycle::KILL),
    entry("load", &image_archive::LOAD),
    entry("man", &completion::MAN),
    entry("pause", &lifecycle::PAUSE),
    entry("port", &containers::PORT),
    entry("rename", &containers::RENAME),
    entry("restart", &lifecycle::RESTART),
    entry("rm", &remove::RM),
    entry("rmi", &images::RM),
    entry("save", &image_archive::SAVE),
    entry("start", &start::START),
    entry("stats", &stats::STATS),
    entry("stop", &lifecycle::STOP),
    entry("tag", &images::TAG),
    entry("top", &top::TOP),
    entry("unpause", &lifecycle::UNPAUSE),
    entry("update", &update::UPDATE),
    entry("wait", &wait::WAIT),
];

/// The groups.
pub(crate) static GROUPS: &[Group] = &[
    Group {
        name: "builder",
        about: "Manage builds",
        entries: &[entry("build", &build::BUILD), entry("prune", &prune::BUILD_CACHE)],
    },
    Group {
        name: "buildx",
        about: "Build with BuildKit: another name of builder",
        entries: &[entry("build", &build::BUILD), entry("prune", &prune::BUILD_CACHE)],
    },
    Group {
        name: "compose",
        about: "Define and run applications of several containers",
        entries: &[
            entry("attach", &compose::ATTACH),
            entry("build", &compose::BUILD),
            entry("commit", &compose::COMMIT),
            aliased("config", &["convert"], &compose::CONFIG),
            entry("cp", &compose::CP),
            entry("create", &compose::CREATE),
            entry("down", &compose::DOWN),
            entry("events", &compose::EVENTS),
            entry("exec", &compose::EXEC),
            entry("export", &compose::EXPORT),
            aliased("graph", &["viz"], &compose::GRAPH),
            entry("images", &compose::IMAGES),
            entry("kill", &compose::KILL),
            entry("logs", &compose::LOGS),
            aliased("ls", &["list"], &compose::LS),
            entry("pause", &compose::PAUSE),
            entry("port", &compose::PORT),
            entry("ps", &compose::PS),
            entry("pull", &compose::PULL),
            entry("push", &compose::PUSH),
            entry("restart", &compose::RESTART),
            entry("rm", &compose::RM),
            entry("run", &compose::RUN),
            entry("scale", &compose::SCALE),
            entry("start", &compose::START),
            entry("stats", &compose::STATS),
            entry("stop", &compose::STOP),
            entry("top", &compose::TOP),
            entry("unpause", &compose::UNPAUSE),
            entry("up", &compose::UP),
            entry("version", &compose::VERSION),
            entry("volumes", &compose::VOLUMES),
            entry("wait", &compose::WAIT),
            entry("watch", &compose::WATCH),
        ],
    },
    Group {
        name: "container",
        about: "Manage containers",
        entries: &[
            entry("attach", &attach::ATTACH),
            entry("commit", &commit::COMMIT),
            entry("cp", &archive::CP),
            entry("create", &create::CREATE),
            entry("diff", &containers::DIFF),
            entry("exec", &exec::EXEC),
            entry("export", &archive::EXPORT),
            entry("inspect", &inspect::CONTAINER),
            entry("kill", &lifecycle::KILL),
            entry("logs", &logs::LOGS),
            aliased("ls", &["list", "ps"], &listing::PS),
            entry("pause", &lifecycle::PAUSE),
            entry("port", &containers::PORT),
            entry("prune", &prune::CONTAINERS),
            entry("rename", &containers::RENAME),
            entry("restart", &lifecycle::RESTART),
            aliased("rm", &["remove"], &remove::RM),
            entry("run", &run::RUN),
            entry("start", &start::START),
            entry("stats", &stats::STATS),
            entry("stop", &lifecycle::STOP),
            entry("top", &top::TOP),
            entry("unpause", &lifecycle::UNPAUSE),
            entry("update", &update::UPDATE),
            entry("wait", &wait::WAIT),
        ],
    },
    Group {
        name: "context",
        about: "Manage contexts",
        entries: &[
            entry("create", &contexts::CREATE),
            entry("export", &contexts::EXPORT),
            entry("import", &contexts::IMPORT),
            entry("inspect", &contexts::INSPECT),
            aliased("ls", &["list"], &contexts::LS),
            aliased("rm", &["remove"], &contexts::RM),
            entry("show", &contexts::SHOW),
            entry("update", &contexts::UPDATE),
            entry("use", &contexts::USE),
        ],
    },
    Group {
        name: "image",
        about: "Manage images",
        entries: &[
            entry("build", &build::BUILD),
            entry("explore", &layers::EXPLORE),
            entry("history", &images::HISTORY),
            entry("import", &image_archive::IMPORT),
            entry("inspect", &inspect::IMAGE),
            entry("load", &image_archive::LOAD),
            aliased("ls", &["list"], &images::LS),
            entry("prune", &prune::IMAGES),
            entry("pull", &transfer::PULL),
            entry("push", &transfer::PUSH),
            aliased("rm", &["remove"], &images::RM),
            entry("save", &image_archive::SAVE),
            entry("tag", &images::TAG),
            entry("tree", &layers::TREE),
        ],
    },
    Group {
        name: "network",
        about: "Manage networks",
        entries: &[
            entry("connect", &networks::CONNECT),
            entry("create", &network_create::CREATE),
            entry("disconnect", &networks::DISCONNECT),
            entry("inspect", &inspect::NETWORK),
            aliased("ls", &["list"], &networks::LS),
            entry("prune", &prune::NETWORKS),
            aliased("rm", &["remove"], &networks::RM),
        ],
    },
    Group {
        name: "plugin",
        about: "Manage plugins",
        entries: &[
            entry("disable", &plugins::DISABLE),
            entry("enable", &plugins::ENABLE),
            entry("inspect", &inspect::PLUGIN),
            aliased("ls", &["list"], &plugins::LS),
            aliased("rm", &["remove"], &plugins::RM),
            entry("set", &plugins::SET),
        ],
    },
    Group {
        name: "registry",
        about: "Serve a registry of one's own",
        entries: &[entry("prune", &registry::PRUNE), entry("serve", &registry::SERVE)],
    },
    Group {
        name: "system",
        about: "Manage minke",
        entries: &[
            entry("df", &usage::DF),
            entry("dial-stdio", &dial::STDIO),
            entry("events", &events::EVENTS),
            entry("info", &info::INFO),
            entry("prune", &prune::SYSTEM),
        ],
    },
    Group {
        name: "volume",
        about: "Manage volumes",
        entries: &[
            entry("create", &volumes::CREATE),
            entry("inspect", &inspect::VOLUME),
            aliased("ls", &["list"], &volumes::LS),
            entry("prune", &prune::VOLUMES),
            aliased("rm", &["remove"], &volumes::RM),
        ],
    },
];

/// What Docker has and minke doesn't have yet.
static NOT_YET: &[&str] = &[
    "buildx",
    "checkpoint",
    "config",
    "manifest",
    "node",
    "secret",
    "service",
    "stack",
    "swarm",
    "trust",
    "plugin create",
    "plugin install",
    "plugin push",
    "plugin upgrade",
    "volume update",
];

/// Looks the first one or two words up.
pub(crate) fn find(first: &str, second: &str) -> Found {
    let matches = |entry: &&Entry, word: &str| entry.name == word || entry.aliases.contains(&word);
    if let Some(entry) = TOP.iter().find(|entry| matches(entry, first)) {
        return Found::Verb(entry.name.to_owned(), entry.verb);
    }
    if NOT_YET.contains(&first) {
        return Found::NotYet(first.to_owned());
    }
    let Some(group) = GROUPS.iter().find(|group| group.name == first) else { return Found::Unknown };
    if let Some(entry) = group.entries.iter().find(|entry| matches(entry, second)) {
        return Found::Verb(format!("{} {}", group.name, entry.name), entry.verb);
    }
    let both = format!("{first} {second}");
    if NOT_YET.contains(&both.as_str()) { Found::NotYet(both) } else { Found::Group(group) }
}
