//! The labels by which Compose knows its own containers, networks and volumes again.
//!
//! They are docker compose's, so that the two can take turns on one project.

/// The project.
pub const PROJECT: &str = "com.docker.compose.project";
/// The service of a container.
pub const SERVICE: &str = "com.docker.compose.service";
/// Which of a service's containers it is, from 1.
pub const NUMBER: &str = "com.docker.compose.container-number";
/// `True` for a container of `compose run`, else `False`.
pub const ONEOFF: &str = "com.docker.compose.oneoff";
/// What tells two containers of `compose run` apart.
pub const SLUG: &str = "com.docker.compose.slug";
/// The hash of what a container, network or volume was made from.
pub const CONFIG_HASH: &str = "com.docker.compose.config-hash";
/// The files of the project, with commas between.
pub const CONFIG_FILES: &str = "com.docker.compose.project.config_files";
/// The folder of the project.
pub const WORKING_DIR: &str = "com.docker.compose.project.working_dir";
/// The files of `--env-file`, with commas between.
pub const ENVIRONMENT_FILE: &str = "com.docker.compose.project.environment_file";
/// `service:condition:restart` of each dependency, with commas between.
pub const DEPENDS_ON: &str = "com.docker.compose.depends_on";
/// The id of the image that a container was made from.
pub const IMAGE: &str = "com.docker.compose.image";
/// The version of the program that made it.
pub const VERSION: &str = "com.docker.compose.version";
/// The key of a network in the file.
pub const NETWORK: &str = "com.docker.compose.network";
/// The key of a volume in the file.
pub const VOLUME: &str = "com.docker.compose.volume";
/// The name of the container that this one takes the place of.
pub const REPLACE: &str = "com.docker.compose.replace";

/// Why a container runs that is none of the service's own: `pre_start`.
pub const HOOK: &str = "com.docker.compose.hook";

/// The version of docker compose whose labels these are; docker compose itself reads it nowhere.
pub const SPOKEN_VERSION: &str = "2.40.3";
