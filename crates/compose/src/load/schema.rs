//! Which attributes there are and of which types: the table of the specification.
//!
//! It describes files as people write them, short forms and long ones; [`super::validate`] holds a tree against it.

/// Bits of the types that a scalar may have.
pub(crate) mod scalar {
    pub(crate) const STRING: u8 = 1;
    pub(crate) const INTEGER: u8 = 2;
    pub(crate) const NUMBER: u8 = 4;
    pub(crate) const BOOLEAN: u8 = 8;
    pub(crate) const NULL: u8 = 16;
}
use scalar::{BOOLEAN, INTEGER, NULL, NUMBER, STRING};

/// A time span.
const T: &Rule = &Rule::Form(is_duration, "must be a duration such as `1m30s`");

/// What a value must be.
#[derive(Debug)]
pub(crate) enum Rule {
    /// Anything at all.
    Any,
    /// A scalar of one of these types.
    Scalar(u8),
    /// One of these texts.
    Choice(&'static [&'static str]),
    /// A text that the function takes; the text says what is expected.
    Form(fn(&str) -> bool, &'static str),
    /// A number between two, or a text.
    Between(i64, i64),
    /// A list.
    List(&'static Rule),
    /// A list in which no text stands twice.
    Set(&'static Rule),
    /// Names that the user chooses, and their values.
    Names(&'static Rule),
    /// The same where any name will do.
    AnyNames(&'static Rule),
    /// An object.
    Object(&'static Object),
    /// What fits one of these.
    Either(&'static [Rule]),
}

/// An object with attributes of its own.
#[derive(Debug)]
pub(crate) struct Object {
    /// Its attributes.
    pub(crate) attributes: &'static [(&'static str, &'static Rule)],
    /// Those that must be there.
    pub(crate) required: &'static [&'static str],
    /// Whether it may have `x-` names.
    pub(crate) is_open: bool,
    /// Whether it may be empty.
    pub(crate) is_nullable: bool,
}

const S: &Rule = &Rule::Scalar(STRING);
const B: &Rule = &Rule::Scalar(BOOLEAN | STRING);
const STRICT_B: &Rule = &Rule::Scalar(BOOLEAN);
const I: &Rule = &Rule::Scalar(INTEGER | STRING);
const N: &Rule = &Rule::Scalar(NUMBER | STRING);
const STRINGS: &Rule = &Rule::List(S);
const SET: &Rule = &Rule::Set(S);
const ONE_OR_SET: &Rule = &Rule::Either(&[Rule::Scalar(STRING), Rule::Set(S)]);
const PAIRS: &Rule =
    &Rule::Either(&[Rule::AnyNames(&Rule::Scalar(STRING | NUMBER | BOOLEAN | NULL)), Rule::Set(S)]);
const OPTIONS: &Rule = &Rule::AnyNames(&Rule::Scalar(STRING | NUMBER));
const COMMAND: &Rule = &Rule::Either(&[Rule::Scalar(STRING | NULL), Rule::List(S)]);
const HOSTS: &Rule =
    &Rule::Either(&[Rule::AnyNames(&Rule::Either(&[Rule::Scalar(STRING), Rule::List(S)])), Rule::Set(S)]);

const fn open(
    attributes: &'static [(&'static str, &'static Rule)],
    required: &'static [&'static str],
) -> Object {
    Object { attributes, required, is_open: true, is_nullable: false }
}

const fn closed(
    attributes: &'static [(&'static str, &'static Rule)],
    required: &'static [&'static str],
) -> Object {
    Object { attributes, required, is_open: false, is_nullable: false }
}

const fn nullable(attributes: &'static [(&'static str, &'static Rule)]) -> Object {
    Object { attributes, required: &[], is_open: true, is_nullable: true }
}

/// A whole file.
pub(crate) static FILE: Rule = Rule::Object(&open(
    &[
        ("version", S),
        ("name", S),
        ("include", &Rule::List(&Rule::Either(&[Rule::Scalar(STRING), Rule::Object(&INCLUDE)]))),
        ("services", &Rule::Names(&Rule::Object(&SERVICE))),
        ("models", &Rule::AnyNames(&Rule::Object(&MODEL))),
        ("networks", &Rule::AnyNames(&Rule::Object(&NETWORK))),
        ("volumes", &Rule::Names(&Rule::Object(&VOLUME))),
        ("secrets", &Rule::Names(&Rule::Object(&SECRET))),
        ("configs", &Rule::Names(&Rule::Object(&CONFIG))),
    ],
    &[],
));

static INCLUDE: Object =
    closed(&[("path", ONE_OR_SET), ("env_file", ONE_OR_SET), ("project_directory", S)], &[]);

static SERVICE: Object = open(
    &[
        ("develop", &Rule::Object(&DEVELOP)),
        ("deploy", &Rule::Object(&DEPLOY)),
        ("annotations", PAIRS),
        ("attach", B),
        ("build", &Rule::Either(&[Rule::Scalar(STRING), Rule::Object(&BUILD)])),
        ("blkio_config", &Rule::Object(&BLKIO)),
        ("cap_add", SET),
        ("cap_drop", SET),
        ("cgroup", &Rule::Choice(&["host", "private"])),
        ("cgroup_parent", S),
        ("command", COMMAND),
        ("configs", FILE_MOUNTS),
        ("container_name", &Rule::Form(is_container_name, "must be letters, digits, `_`, `.` and `-`")),
        ("cpu_count", &Rule::Between(0, i64::MAX)),
        ("cpu_percent", &Rule::Between(0, 100)),
        ("cpu_shares", N),
        ("cpu_quota", N),
        ("cpu_period", N),
        ("cpu_rt_period", N),
        ("cpu_rt_runtime", N),
        ("cpus", N),
        ("cpuset", S),
        ("credential_spec", &Rule::Object(&CREDENTIAL_SPEC)),
        ("depends_on", &Rule::Either(&[Rule::Set(S), Rule::Names(&Rule::Object(&DEPENDENCY))])),
        ("device_cgroup_rules", SET),
        ("devices", &Rule::List(&Rule::Either(&[Rule::Scalar(STRING), Rule::Object(&DEVICE)]))),
        ("dns", ONE_OR_SET),
        ("dns_opt", SET),
        ("dns_search", ONE_OR_SET),
        ("domainname", S),
        ("entrypoint", COMMAND),
        ("env_file", ENV_FILE),
        ("label_file", &Rule::Either(&[Rule::Scalar(STRING), Rule::List(S)])),
        ("environment", PAIRS),
        ("expose", &Rule::Set(N)),
        ("extends", &Rule::Either(&[Rule::Scalar(STRING), Rule::Object(&EXTENDS)])),
        ("provider", &Rule::Object(&PROVIDER)),
        ("external_links", SET),
        ("extra_hosts", HOSTS),
        ("gpus", &Rule::Either(&[Rule::Choice(&["all"]), Rule::List(&Rule::Object(&GPU))])),
        ("group_add", &Rule::Set(N)),
        ("healthcheck", &Rule::Object(&HEALTHCHECK)),
        ("hostname", S),
        ("image", S),
        ("init", B),
        ("ipc", S),
        ("isolation", S),
        ("labels", PAIRS),
        ("links", SET),
        ("logging", &Rule::Object(&LOGGING)),
        ("mac_address", S),
        ("mem_limit", N),
        ("mem_reservation", I),
        ("mem_swappiness", I),
        ("memswap_limit", N),
        ("network_mode", S),
        ("models", &Rule::Either(&[Rule::Set(S), Rule::AnyNames(&Rule::Object(&SERVICE_MODEL))])),
        ("networks", &Rule::Either(&[Rule::Set(S), Rule::Names(&Rule::Object(&SERVICE_NETWORK))])),
        ("oom_kill_disable", B),
        ("oom_score_adj", &Rule::Between(-1000, 1000)),
        ("pid", &Rule::Scalar(STRING | NULL)),
        ("pids_limit", N),
        ("platform", S),
        ("ports", &Rule::Set(&Rule::Either(&[Rule::Scalar(STRING | NUMBER), Rule::Object(&PORT)]))),
        ("pre_start", &Rule::List(&Rule::Object(&BEFORE))),
        ("post_start", HOOKS),
        ("pre_stop", HOOKS),
        ("privileged", B),
        ("profiles", SET),
        ("pull_policy", &Rule::Form(is_pull_policy, PULL_POLICIES)),
        ("pull_refresh_after", S),
        ("read_only", B),
        ("restart", S),
        ("runtime", S),
        ("scale", I),
        ("security_opt", SET),
        ("shm_size", N),
        ("secrets", FILE_MOUNTS),
        ("sysctls", PAIRS),
        ("stdin_open", B),
        ("stop_grace_period", T),
        ("stop_signal", S),
        ("storage_opt", &Rule::AnyNames(&Rule::Any)),
        ("tmpfs", ONE_OR_SET),
        ("tty", B),
        ("ulimits", ULIMITS),
        ("use_api_socket", STRICT_B),
        ("user", S),
        ("uts", S),
        ("userns_mode", S),
        ("volumes", &Rule::Set(&Rule::Either(&[Rule::Scalar(STRING), Rule::Object(&MOUNT)]))),
        ("volumes_from", SET),
        ("working_dir", S),
    ],
    &[],
);

static BUILD: Object = open(
    &[
        ("context", S),
        ("dockerfile", S),
        ("dockerfile_inline", S),
        ("entitlements", STRINGS),
        ("args", PAIRS),
        ("ssh", PAIRS),
        ("labels", PAIRS),
        ("cache_from", STRINGS),
        ("cache_to", STRINGS),
        ("no_cache", B),
        ("no_cache_filter", ONE_OR_SET),
        ("additional_contexts", PAIRS),
        ("network", S),
        ("provenance", B),
        ("sbom", B),
        ("pull", B),
        ("target", S),
        ("shm_size", I),
        ("extra_hosts", HOSTS),
        ("isolation", S),
        ("privileged", B),
        ("secrets", FILE_MOUNTS),
        ("tags", STRINGS),
        ("ulimits", ULIMITS),
        ("platforms", STRINGS),
    ],
    &[],
);

static BLKIO: Object = closed(
    &[
        ("device_read_bps", RATES),
        ("device_read_iops", RATES),
        ("device_write_bps", RATES),
        ("device_write_iops", RATES),
        ("weight", I),
        ("weight_device", &Rule::List(&Rule::Object(&closed(&[("path", S), ("weight", I)], &[])))),
    ],
    &[],
);
const RATES: &Rule = &Rule::List(&Rule::Object(&closed(&[("path", S), ("rate", I)], &[])));

static CREDENTIAL_SPEC: Object = open(&[("config", S), ("file", S), ("registry", S)], &[]);

static DEPENDENCY: Object = open(
    &[
        ("restart", B),
        ("required", STRICT_B),
        (
            "condition",
            &Rule::Choice(&["service_started", "service_healthy", "service_completed_successfully"]),
        ),
    ],
    &["condition"],
);

static DEVICE: Object = open(&[("source", S), ("target", S), ("permissions", S)], &["source"]);
static EXTENDS: Object = closed(&[("service", S), ("file", S)], &["service"]);

static PROVIDER: Object = open(
    &[
        ("type", S),
        (
            "options",
            &Rule::AnyNames(&Rule::Either(&[
                Rule::Scalar(STRING | NUMBER | BOOLEAN),
                Rule::List(&Rule::Scalar(STRING | NUMBER | BOOLEAN)),
            ])),
        ),
    ],
    &["type"],
);

const REQUESTED_DEVICE: &[(&str, &Rule)] =
    &[("capabilities", SET), ("count", I), ("device_ids", SET), ("driver", S), ("options", PAIRS)];
static GPU: Object = open(REQUESTED_DEVICE, &[]);

static HEALTHCHECK: Object = open(
    &[
        ("disable", B),
        ("interval", T),
        ("retries", N),
        ("test", &Rule::Either(&[Rule::Scalar(STRING), Rule::List(S)])),
        ("timeout", T),
        ("start_period", T),
        ("start_interval", T),
    ],
    &[],
);

static LOGGING: Object =
    open(&[("driver", S), ("options", &Rule::AnyNames(&Rule::Scalar(STRING | NUMBER | NULL)))], &[]);

static SERVICE_MODEL: Object = nullable(&[("endpoint_var", S), ("model_var", S)]);

static SERVICE_NETWORK: Object = nullable(&[
    ("aliases", SET),
    ("interface_name", S),
    ("ipv4_address", S),
    ("ipv6_address", S),
    ("link_local_ips", SET),
    ("mac_address", S),
    ("driver_opts", OPTIONS),
    ("priority", &Rule::Scalar(NUMBER)),
    ("gw_priority", &Rule::Scalar(NUMBER)),
]);

static PORT: Object = open(
    &[
        ("name", S),
        ("mode", S),
        ("host_ip", S),
        ("target", I),
        ("published", I),
        ("protocol", S),
        ("app_protocol", S),
    ],
    &[],
);

static HOOK: Object = open(
    &[("command", COMMAND), ("user", S), ("privileged", B), ("working_dir", S), ("environment", PAIRS)],
    &["command"],
);
static BEFORE: Object = open(
    &[
        ("command", COMMAND),
        ("image", S),
        ("user", S),
        ("privileged", B),
        ("working_dir", S),
        ("environment", PAIRS),
        ("per_replica", B),
    ],
    &[],
);
const HOOKS: &Rule = &Rule::List(&Rule::Object(&HOOK));

const FILE_MOUNTS: &Rule = &Rule::List(&Rule::Either(&[
    Rule::Scalar(STRING),
    Rule::Object(&open(&[("source", S), ("target", S), ("uid", S), ("gid", S), ("mode", N)], &[])),
]));

const ENV_FILE: &Rule = &Rule::Either(&[
    Rule::Scalar(STRING),
    Rule::List(&Rule::Either(&[
        Rule::Scalar(STRING),
        Rule::Object(&closed(&[("path", S), ("format", S), ("required", B)], &["path"])),
    ])),
]);

const ULIMITS: &Rule = &Rule::AnyNames(&Rule::Either(&[
    Rule::Scalar(INTEGER | STRING),
    Rule::Object(&open(&[("hard", I), ("soft", I)], &["soft", "hard"])),
]));

static MOUNT: Object = open(
    &[
        ("type", &Rule::Choice(&["bind", "volume", "tmpfs", "cluster", "npipe", "image"])),
        ("source", S),
        ("target", S),
        ("read_only", B),
        ("consistency", S),
        (
            "bind",
            &Rule::Object(&open(
                &[
                    ("propagation", S),
                    ("create_host_path", B),
                    ("recursive", &Rule::Choice(&["enabled", "disabled", "writable", "readonly"])),
                    ("selinux", &Rule::Choice(&["z", "Z"])),
                ],
                &[],
            )),
        ),
        ("volume", &Rule::Object(&open(&[("labels", PAIRS), ("nocopy", B), ("subpath", S)], &[]))),
        ("tmpfs", &Rule::Object(&open(&[("size", &Rule::Between(0, i64::MAX)), ("mode", N)], &[]))),
        ("image", &Rule::Object(&open(&[("subpath", S)], &[]))),
    ],
    &["type"],
);

static DEVELOP: Object = nullable(&[("watch", &Rule::List(&Rule::Object(&TRIGGER)))]);

static TRIGGER: Object = open(
    &[
        ("ignore", ONE_OR_SET),
        ("include", ONE_OR_SET),
        ("path", S),
        ("action", &Rule::Choice(&["rebuild", "sync", "restart", "sync+restart", "sync+exec"])),
        ("target", S),
        ("exec", &Rule::Object(&HOOK)),
        ("initial_sync", STRICT_B),
    ],
    &["path", "action"],
);

static DEPLOY: Object = nullable(&[
    ("mode", S),
    ("endpoint_mode", S),
    ("replicas", I),
    ("labels", PAIRS),
    ("rollback_config", &Rule::Object(&UPDATE)),
    ("update_config", &Rule::Object(&UPDATE)),
    ("resources", &Rule::Object(&RESOURCES)),
    ("restart_policy", &Rule::Object(&RESTART_POLICY)),
    ("placement", &Rule::Object(&PLACEMENT)),
]);

static UPDATE: Object = open(
    &[
        ("parallelism", I),
        ("delay", T),
        ("failure_action", S),
        ("monitor", T),
        ("max_failure_ratio", N),
        ("order", &Rule::Choice(&["start-first", "stop-first"])),
    ],
    &[],
);

static RESOURCES: Object = open(
    &[
        ("limits", &Rule::Object(&open(&[("cpus", N), ("memory", S), ("pids", I)], &[]))),
        (
            "reservations",
            &Rule::Object(&open(
                &[
                    ("cpus", N),
                    ("memory", S),
                    (
                        "generic_resources",
                        &Rule::List(&Rule::Object(&open(
                            &[(
                                "discrete_resource_spec",
                                &Rule::Object(&open(&[("kind", S), ("value", N)], &[])),
                            )],
                            &[],
                        ))),
                    ),
                    ("devices", &Rule::List(&Rule::Object(&open(REQUESTED_DEVICE, &["capabilities"])))),
                ],
                &[],
            )),
        ),
    ],
    &[],
);

static RESTART_POLICY: Object =
    open(&[("condition", S), ("delay", T), ("max_attempts", I), ("window", T)], &[]);

static PLACEMENT: Object = open(
    &[
        ("constraints", STRINGS),
        ("preferences", &Rule::List(&Rule::Object(&open(&[("spread", S)], &[])))),
        ("max_replicas_per_node", I),
    ],
    &[],
);

static MODEL: Object = open(
    &[("name", S), ("model", S), ("context_size", &Rule::Scalar(INTEGER)), ("runtime_flags", STRINGS)],
    &["model"],
);

/// `true`, or the old form with the name.
const EXTERNAL: &Rule =
    &Rule::Either(&[Rule::Scalar(BOOLEAN | STRING), Rule::Object(&open(&[("name", S)], &[]))]);

static NETWORK: Object = nullable(&[
    ("name", S),
    ("driver", S),
    ("driver_opts", OPTIONS),
    (
        "ipam",
        &Rule::Object(&open(
            &[
                ("driver", S),
                (
                    "config",
                    &Rule::List(&Rule::Object(&open(
                        &[
                            ("subnet", S),
                            ("ip_range", S),
                            ("gateway", S),
                            ("aux_addresses", &Rule::AnyNames(S)),
                        ],
                        &[],
                    ))),
                ),
                ("options", &Rule::AnyNames(S)),
            ],
            &[],
        )),
    ),
    ("external", EXTERNAL),
    ("internal", B),
    ("enable_ipv4", B),
    ("enable_ipv6", B),
    ("attachable", B),
    ("labels", PAIRS),
]);

static VOLUME: Object = nullable(&[
    ("name", S),
    ("driver", S),
    ("driver_opts", OPTIONS),
    ("external", EXTERNAL),
    ("labels", PAIRS),
]);

static SECRET: Object = open(
    &[
        ("name", S),
        ("environment", S),
        ("file", S),
        ("external", EXTERNAL),
        ("labels", PAIRS),
        ("driver", S),
        ("driver_opts", OPTIONS),
        ("template_driver", S),
    ],
    &[],
);

static CONFIG: Object = open(
    &[
        ("name", S),
        ("content", S),
        ("environment", S),
        ("file", S),
        ("external", EXTERNAL),
        ("labels", PAIRS),
        ("template_driver", S),
    ],
    &[],
);

fn is_container_name(name: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    // Before interpolation it may be a variable.
    name.contains('$')
        || (name.len() > 1 && name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(good))
}

fn is_duration(text: &str) -> bool {
    text.is_empty() || text.contains('$') || crate::model::Duration::parse(text).is_some()
}

const PULL_POLICIES: &str = "must be `always`, `never`, `missing`, `if_not_present`, `build`, `refresh`, `daily`, `weekly` or `every_…` \
     with a time such as `12h`";

fn is_pull_policy(policy: &str) -> bool {
    let named = ["always", "never", "build", "if_not_present", "missing", "refresh", "daily", "weekly"];
    let every = |time: &str| crate::model::Duration::parse(time).is_some_and(|time| time.0 > 0);
    named.contains(&policy) || policy.contains('$') || policy.strip_prefix("every_").is_some_and(every)
}
