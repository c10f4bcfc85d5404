//! A project as text: YAML and JSON as `docker compose config` prints them, and the hashes that it keeps in labels.

mod hash;
mod json;
pub(crate) mod natural;
pub(crate) mod number;
mod yaml;

pub use hash::{network_hash, service_hash, volume_hash};

use crate::{
    model::{
        Project,
        attribute::{Attribute, Form, yaml_order},
    },
    value::Value,
};

/// The project as YAML, every dollar sign doubled, so that it can be loaded again.
#[must_use]
pub fn yaml(project: &Project) -> String {
    yaml::text(&document(project, Form::Yaml)).replace('$', "$$")
}

/// The project as JSON, every dollar sign doubled, so that it can be loaded again.
#[must_use]
pub fn json(project: &Project) -> String {
    json::indented(&document(project, Form::Json)).replace('$', "$$")
}

/// Any value as YAML.
#[must_use]
pub fn value_yaml(value: &Value) -> String {
    yaml::text(&yaml_order(value))
}

/// Any value as JSON over several lines.
#[must_use]
pub fn value_json(value: &Value) -> String {
    json::indented(value)
}

/// The members of a project in the order of the form.
fn document(project: &Project, form: Form) -> Value {
    let mut members = vec![
        ("name", project.name.write(form)),
        ("services", Some(project.services.write(form).unwrap_or(Value::Map(Vec::new())))),
        ("networks", project.networks.write(form)),
        ("volumes", project.volumes.write(form)),
        ("secrets", project.secrets.write(form)),
        ("configs", project.configs.write(form)),
        ("models", project.models.write(form)),
    ];
    let extensions = project.extensions.iter();
    let extensions: Vec<(&str, Value)> = match form {
        Form::Yaml => {
            let mut sorted: Vec<_> =
                extensions.map(|(name, value)| (name.as_str(), yaml_order(value))).collect();
            sorted.sort_by(|(a, _), (b, _)| natural::compare(a, b));
            sorted
        }
        Form::Json => extensions.map(|(name, value)| (name.as_str(), value.clone())).collect(),
    };
    members.extend(extensions.into_iter().map(|(name, value)| (name, Some(value))));
    if form == Form::Json {
        members.sort_by_key(|(name, _)| *name);
    }
    Value::Map(members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect())
}
