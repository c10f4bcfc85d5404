//! The Go templates that Docker's users have in their scripts (`--format '{{.Names}}'`).
//!
//! A small evaluator of the part of text/template that formats need: fields, `index`, `range`,
//! `if`/`else`/`with`, variables, pipelines, comparison, `printf`, and Docker's own functions (`json`,
//! `join`, `split`, `lower`, `upper`, `title`, `pad`, `truncate`). What it lacks (`define`, `template`,
//! `block`, `break`, `continue`, `call`, `html`, `js`, `urlquery`) is an error that names it.
//! It works on JSON, since that is what the API answers; [`Methods`] adds what a table row computes.
//!
//! ```text
//!   text ──parse──▶ syntax::Node list ──evaluate(data)──▶ String
//! ```

mod display;
mod evaluate;
mod functions;
mod lex;
mod parse;
mod printf;
mod shapes;
mod syntax;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use serde_json::Value;

/// A template that has been read once and can be rendered many times.
#[derive(Debug)]
pub(crate) struct Template {
    nodes: Vec<syntax::Node>,
    /// The fields that it reads of anything, or `None` if it may show all.
    fields: Option<BTreeSet<String>>,
}

/// Why a template can't be read or rendered; the text is for the user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("template parsing error: template: {0}")]
pub(crate) struct TemplateError(String);

impl TemplateError {
    fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// Functions that belong to the data, such as `.Label "name"` of a container.
pub(crate) trait Methods {
    /// The result of `.name arguments`, or `None` where there is no such method.
    fn call(&self, name: &str, arguments: &[Value]) -> Option<Result<Value, String>>;
}

/// Data that has fields only.
#[derive(Debug)]
pub(crate) struct NoMethods;

impl Methods for NoMethods {
    fn call(&self, _: &str, _: &[Value]) -> Option<Result<Value, String>> {
        None
    }
}

/// How a field that the data lacks is treated, and what functions mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// A missing field is an error, as of a Go struct.
    Data,
    /// The data are column titles: a missing one prints as `<no value>` and functions hand their argument on.
    Header,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// Names what was not understood and on which line.
    pub(crate) fn parse(text: &str) -> Result<Self, TemplateError> {
        let nodes = parse::parse(text)?;
        let fields = syntax::fields(&nodes);
        Ok(Self { nodes, fields })
    }

    /// Renders the template with `data` as the dot.
    ///
    /// # Errors
    /// Names the field or function that could not be evaluated.
    pub(crate) fn render(&self, data: &Value, methods: &dyn Methods) -> Result<String, TemplateError> {
        evaluate::render(&self.nodes, data, methods, Mode::Data)
    }

    /// Renders the template into `out` if it is text and fields of the data alone, as most tables are, and `field` has each
    /// of them: without a map of the data, since a list may be long. Otherwise it says so and `out` is as it was.
    pub(crate) fn render_plain<'a>(&self, field: impl Fn(&str) -> Option<&'a str>, out: &mut String) -> bool {
        let before = out.len();
        for node in &self.nodes {
            let text = match node {
                syntax::Node::Text(text) => Some(text.as_str()),
                node => node.plain_field().and_then(&field),
            };
            let Some(text) = text else {
                out.truncate(before);
                return false;
            };
            out.push_str(text);
        }
        true
    }

    /// Renders the line of column titles; `titles` maps a field to its title.
    ///
    /// # Errors
    /// As [`Template::render`].
    pub(crate) fn render_header(&self, titles: &Value) -> Result<String, TemplateError> {
        evaluate::render(&self.nodes, titles, &HeaderMethods, Mode::Header)
    }

    /// Whether the template reads the field `name` of anything.
    pub(crate) fn mentions(&self, name: &str) -> bool {
        self.fields.as_ref().is_none_or(|fields| fields.contains(name))
    }
}

/// The title of `.Label "com.example.some-name"` is `some name`.
struct HeaderMethods;

impl Methods for HeaderMethods {
    fn call(&self, name: &str, arguments: &[Value]) -> Option<Result<Value, String>> {
        let (true, Some(Value::String(label))) = (name == "Label", arguments.first()) else { return None };
        let last = label.rsplit('.').next().unwrap_or(label);
        Some(Ok(Value::String(last.replace(['-', '_'], " "))))
    }
}
