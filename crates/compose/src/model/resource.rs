//! `volumes`, `secrets`, `configs` and `models` of the project, and how a service sees secrets and configs.

use super::{FileMode, Mapping, attribute::attributes};

attributes! {
    /// A volume of the project.
    pub struct Volume {
        /// Its name in the engine.
        name: String,
        /// Its driver.
        driver: String,
        /// Options of the driver.
        driver_opts: Mapping,
        /// It is there already and is not the project's to make or remove.
        external: bool,
        /// Its labels.
        labels: Mapping,
    }
}

attributes! {
    /// A secret of the project.
    pub struct Secret {
        /// Its name in a cluster.
        name: String,
        /// The file with it (absolute).
        file: String,
        /// The variable with it.
        environment: String,
        /// It is there already.
        external: bool,
        /// Its labels.
        labels: Mapping,
        /// The driver that keeps it.
        driver: String,
        /// Options of the driver.
        driver_opts: Mapping,
        /// The driver that fills in its placeholders.
        template_driver: String,
    }
    beside {
        /// The value of the variable, where there is one. It is never printed.
        content: Option<String>,
    }
}

attributes! {
    /// A configuration file of the project.
    pub struct Config {
        /// Its name in a cluster.
        name: String,
        /// The file with it (absolute).
        file: String,
        /// The variable with it; `content` is its value.
        environment: String,
        /// Its text.
        content: String,
        /// It is there already.
        external: bool,
        /// Its labels.
        labels: Mapping,
        /// The driver that keeps it.
        driver: String,
        /// Options of the driver.
        driver_opts: Mapping,
        /// The driver that fills in its placeholders.
        template_driver: String,
    }
}

attributes! {
    /// A language model that services ask.
    pub struct Model {
        /// Its name.
        name: String,
        /// Where it comes from.
        model: String,
        /// How many tokens it sees at once.
        context_size: i64,
        /// Flags of what runs it.
        runtime_flags: Vec<String>,
    }
}

attributes! {
    /// A secret in a service's containers.
    pub struct SecretMount {
        /// The secret's key in the project.
        source: String,
        /// Its file there; below `/run/secrets` where it is not absolute.
        target: String,
        /// The file's owner.
        uid: String,
        /// The file's group.
        gid: String,
        /// The file's mode.
        mode: Option<FileMode>,
    }
}

attributes! {
    /// A configuration file in a service's containers.
    pub struct ConfigMount {
        /// The config's key in the project.
        source: String,
        /// Its file there; `/` and the key where it is empty.
        target: String,
        /// The file's owner.
        uid: String,
        /// The file's group.
        gid: String,
        /// The file's mode.
        mode: Option<FileMode>,
    }
}
