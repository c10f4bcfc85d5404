//! Rows of `minke context ls`.

use super::{Kind, Row};

/// The listing of contexts.
pub(crate) static KIND: Kind = Kind {
    titles: &[
        ("Name", "NAME"),
        ("Description", "DESCRIPTION"),
        ("DockerEndpoint", "DOCKER ENDPOINT"),
        ("Current", ""),
        ("Error", "ERROR"),
        ("ContextType", "TYPE"),
    ],
    table: "{{.Name}}{{if .Current}} *{{end}}\t{{.Description}}\t{{.DockerEndpoint}}\t{{.Error}}",
    quiet: "{{.Name}}",
};

/// A context as it is listed.
#[derive(Debug, Default)]
pub(crate) struct Listed {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) host: String,
    pub(crate) is_current: bool,
    /// Why it can't be used.
    pub(crate) error: String,
}

impl Listed {
    /// The context's placeholders.
    pub(crate) fn row(&self) -> Row {
        let mut row = Row::new([
            ("Name", self.name.clone()),
            ("Description", self.description.clone()),
            ("DockerEndpoint", self.host.clone()),
            ("Error", self.error.clone()),
            ("ContextType", "moby".to_owned()),
        ]);
        row.fields.insert("Current", self.is_current);
        row
    }
}
