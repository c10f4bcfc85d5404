//! `--format`: tables, JSON lines and Go templates, with Docker's defaults and column titles.
//!
//! A listing verb turns what the API answered into [`Row`]s of placeholders (`.ID`, `.Names`, …); this module
//! turns rows into text. Each kind of listing is a [`Kind`] in a file below.

pub(crate) mod containers;
pub(crate) mod contexts;
pub(crate) mod disk;
pub(crate) mod events;
mod fields;
pub(crate) mod history;
pub(crate) mod images;
pub(crate) mod indent;
pub(crate) mod info;
pub(crate) mod layers;
pub(crate) mod manifests;
pub(crate) mod networks;
pub(crate) mod plugins;
pub(crate) mod search;
pub(crate) mod stats;
mod table;
pub(crate) mod text;
pub(crate) mod time;
pub(crate) mod version;
pub(crate) mod volumes;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use self::fields::Fields;
use crate::{
    failure::Failure,
    template::{Methods, NoMethods, Template},
};

/// A kind of listing.
#[derive(Debug)]
pub(crate) struct Kind {
    /// Placeholders and their column titles.
    pub(crate) titles: &'static [(&'static str, &'static str)],
    /// The template of the default table, without the word `table`.
    pub(crate) table: &'static str,
    /// The template of `--quiet`.
    pub(crate) quiet: &'static str,
}

/// One line of a listing.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Row {
    /// Values of the placeholders.
    pub(crate) fields: Fields,
    /// What `.Label "key"` looks in.
    pub(crate) labels: BTreeMap<String, String>,
}

impl Row {
    /// A row of these placeholders.
    pub(crate) fn new<const N: usize>(fields: [(&'static str, String); N]) -> Self {
        let fields = fields.into_iter().map(|(name, value)| (name, Value::String(value))).collect();
        Self { fields, labels: BTreeMap::new() }
    }

    /// A row of those of the placeholders that are shown: a list may be long, and most layouts show few of them.
    pub(crate) fn of<const N: usize>(
        shown: Shown<'_>,
        fields: [(&'static str, &dyn Fn() -> String); N],
    ) -> Self {
        let fields = fields
            .into_iter()
            .filter(|(name, _)| shown.has(name))
            .map(|(name, value)| (name, Value::String(value())))
            .collect();
        Self { fields, labels: BTreeMap::new() }
    }

    /// With labels, which are the placeholder `.Labels` too.
    #[must_use]
    pub(crate) fn with_labels(mut self, labels: BTreeMap<String, String>) -> Self {
        let joined: Vec<_> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        self.fields.insert("Labels", joined.join(","));
        self.labels = labels;
        self
    }
}

impl Methods for Row {
    fn call(&self, name: &str, arguments: &[Value]) -> Option<Result<Value, String>> {
        if name != "Label" {
            return None;
        }
        let [Value::String(key)] = arguments else {
            return Some(Err("Label wants the name of a label".to_owned()));
        };
        Some(Ok(self.labels.get(key).cloned().unwrap_or_default().into()))
    }
}

/// Which placeholders are shown.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shown<'a> {
    /// All of them.
    All,
    /// Those that the template reads.
    Of(&'a Template),
}

impl Shown<'_> {
    fn has(self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Of(template) => template.mentions(name),
        }
    }
}

/// How to show a listing.
#[derive(Debug)]
pub(crate) enum Layout {
    /// Titles and columns; the default table may be narrowed to the terminal.
    Table { template: Template, is_default: bool },
    /// A line per row.
    Lines(Template),
    /// A JSON object per row; written as `{{json .}}` it asks for every field, costly ones too.
    Json { every_field: bool },
}

impl Layout {
    /// Reads `--format` (or the user's configured one) and `--quiet`.
    ///
    /// # Errors
    /// When the template can't be read.
    pub(crate) fn choose(
        format: Option<&str>,
        configured: &str,
        quiet: bool,
        kind: &Kind,
    ) -> Result<Self, Failure> {
        let source = format.unwrap_or(if quiet { "" } else { configured });
        if quiet && format.is_none_or(|format| format.is_empty() || format == "table") {
            return Ok(Self::Lines(Template::parse(kind.quiet)?));
        }
        match source {
            "" | "table" => {
                Ok(Self::Table { template: Template::parse(&unescape(kind.table))?, is_default: true })
            }
            "json" | "{{json .}}" => Ok(Self::Json { every_field: source != "json" }),
            "raw" => Err(Failure::new("minke: --format raw is not supported: use json or a template")),
            source => match source.strip_prefix("table") {
                Some(columns) => {
                    let template = Template::parse(&unescape(columns.trim_matches(' ')))?;
                    Ok(Self::Table { template, is_default: false })
                }
                None => Ok(Self::Lines(Template::parse(&unescape(source.trim_matches(' ')))?)),
            },
        }
    }

    /// Whether the field is shown, so that costly ones are only asked for then.
    pub(crate) fn mentions(&self, field: &str) -> bool {
        match self {
            Self::Table { template, .. } | Self::Lines(template) => template.mentions(field),
            Self::Json { every_field } => *every_field,
        }
    }

    /// Which placeholders a row has to have.
    pub(crate) fn shown(&self) -> Shown<'_> {
        match self {
            Self::Table { template, .. } | Self::Lines(template) => Shown::Of(template),
            Self::Json { .. } => Shown::All,
        }
    }

    /// The text of the whole listing, ending in a line break. `width` are the terminal's columns, if there is one.
    ///
    /// # Errors
    /// When the template asks for something that rows don't have.
    pub(crate) fn render(
        &self,
        kind: &Kind,
        rows: impl IntoIterator<Item = Row>,
        width: Option<usize>,
    ) -> Result<String, Failure> {
        let mut text = String::new();
        for row in rows {
            self.line(row, &mut text)?;
            text.push('\n');
        }
        let Self::Table { template, is_default } = self else { return Ok(text) };
        let titles =
            kind.titles.iter().map(|(name, title)| ((*name).to_owned(), Value::from(*title))).collect();
        let header = template.render_header(&Value::Object(titles))?;
        Ok(table::align(&format!("{header}\n{text}"), width.filter(|_| *is_default)))
    }

    fn line(&self, mut row: Row, out: &mut String) -> Result<(), Failure> {
        match self {
            Self::Table { template, .. } | Self::Lines(template) => {
                if template.render_plain(|name| row.fields.get(name)?.as_str(), out) {
                    return Ok(());
                }
                let fields = std::mem::take(&mut row.fields).into_sorted();
                out.push_str(&template.render(&Value::Object(fields), &row)?);
            }
            Self::Json { .. } => out.push_str(&html_safe_json(&row.fields.into_sorted())),
        }
        Ok(())
    }
}

/// JSON as Go's encoder writes it by default: `<`, `>` and `&`, which only strings can hold, as escapes.
fn html_safe_json(fields: &Map<String, Value>) -> String {
    // A map of strings always has a JSON form.
    let json = serde_json::to_string(fields).unwrap_or_default();
    json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

/// One object by `--format`: `json` or a template.
///
/// # Errors
/// When the template can't be read or asks for something that the object doesn't have.
pub(crate) fn object(format: &str, value: &Value) -> Result<String, Failure> {
    if format == "json" {
        return Ok(serde_json::to_string(value).unwrap_or_default());
    }
    Ok(Template::parse(format)?.render(value, &NoMethods)?)
}

/// Lines of cells with tabs between, as a table that isn't narrowed.
pub(crate) fn aligned(text: &str) -> String {
    table::align(text, None)
}

/// The width to fit tables to: only a terminal has one.
pub(crate) fn terminal_width() -> Option<usize> {
    crate::terminal::stdout_is_terminal()
        .then(crate::terminal::size)
        .flatten()
        .map(|(columns, _)| usize::from(columns))
}

/// Shells pass `\t` and `\n` as they are written.
fn unescape(template: &str) -> String {
    template.replace("\\t", "\t").replace("\\n", "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    static KIND: Kind = Kind {
        titles: &[("ID", "CONTAINER ID"), ("Names", "NAMES"), ("Labels", "LABELS")],
        table: "{{.ID}}\\t{{.Names}}",
        quiet: "{{.ID}}",
    };

    fn rows() -> Vec<Row> {
        let row = |id: &str, name: &str| Row::new([("ID", id.to_owned()), ("Names", name.to_owned())]);
        let labels = BTreeMap::from([("a.b".to_owned(), "1".to_owned()), ("c".to_owned(), "2".to_owned())]);
        vec![
            row("1234", "web").with_labels(labels),
            row("5", "a-long-database-name").with_labels(BTreeMap::new()),
        ]
    }

    fn shown(format: Option<&str>, configured: &str, quiet: bool) -> String {
        let layout = Layout::choose(format, configured, quiet, &KIND);
        match layout.and_then(|layout| layout.render(&KIND, rows(), None)) {
            Ok(text) => text,
            Err(failure) => failure.message,
        }
    }

    #[test]
    fn formats_show_what_docker_shows() {
        let table = "CONTAINER ID   NAMES\n1234           web\n5              a-long-database-name\n";
        assert_eq!(shown(None, "", false), table);
        assert_eq!(shown(Some("table"), "{{.ID}}", false), table);
        assert_eq!(shown(None, "{{.ID}}", false), "1234\n5\n");
        assert_eq!(shown(None, "ignored", true), "1234\n5\n");
        assert_eq!(
            shown(Some("table {{.Names}}\\t{{.Label \"a.b\"}}"), "", false),
            "NAMES                  b\nweb                    1\na-long-database-name   \n"
        );
        assert_eq!(shown(Some("{{.Labels}}|{{.Label \"c\"}}"), "", false), "a.b=1,c=2|2\n|\n");
        assert_eq!(
            shown(Some("json"), "", false),
            "{\"ID\":\"1234\",\"Labels\":\"a.b=1,c=2\",\"Names\":\"web\"}\n{\"ID\":\"5\",\"Labels\":\"\",\"Names\":\"a-long-database-name\"}\n"
        );
        assert_eq!(shown(Some("{{json .}}"), "", false), shown(Some("json"), "", false));
        assert_eq!(
            html_safe_json(&Row::new([("Ports", "80->80&<".to_owned())]).fields.into_sorted()),
            "{\"Ports\":\"80-\\u003e80\\u0026\\u003c\"}"
        );
        assert_eq!(shown(Some("{{json .Names}}"), "", false), "\"web\"\n\"a-long-database-name\"\n");
    }

    #[test]
    fn mistakes_in_formats_are_named() {
        assert!(shown(Some("{{.Nope}}"), "", false).contains("Nope"));
        assert!(shown(Some("{{.ID"), "", false).contains("unclosed action"));
        assert!(shown(Some("raw"), "", false).contains("raw"));
    }
}
