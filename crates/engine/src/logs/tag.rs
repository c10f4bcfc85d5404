//! The template of `--log-opt tag` (Docker, "Customize log driver output"): what stands in braces is about the container.
//!
//! `{{.Name}}`, `{{index .ContainerLabels "key"}}`, `{{(.ExtraAttributes nil).KEY}}`; and, before it or behind a bar, `lower`,
//! `upper` or `title`.

use super::attributes;
use crate::{Error, container::Record};

/// Docker's template where none is given.
const DEFAULT: &str = "{{.ID}}";

/// The tag of a container's records.
///
/// # Errors
/// `InvalidParameter` for what is not understood.
pub(crate) fn of(record: &Record, template: Option<&str>) -> Result<String, Error> {
    let template = template.filter(|template| !template.is_empty()).unwrap_or(DEFAULT);
    let failed = |why: String| Error::invalid(format!("invalid log tag template {template:?}: {why}"));
    let (mut text, mut rest) = (String::new(), template);
    while let Some((before, after)) = rest.split_once("{{") {
        let (inside, behind) =
            after.split_once("}}").ok_or_else(|| failed("\"{{\" without \"}}\"".to_owned()))?;
        text.push_str(before);
        text.push_str(&pipeline(record, inside).map_err(failed)?);
        rest = behind;
    }
    text.push_str(rest);
    Ok(text)
}

/// `TERM | FUNCTION | …`.
fn pipeline(record: &Record, text: &str) -> Result<String, String> {
    let mut steps = text.trim_matches(['-', ' ']).split('|').map(str::trim);
    let mut value = term(record, steps.next().unwrap_or_default())?;
    for name in steps {
        value = function(name).ok_or_else(|| format!("function {name:?} not defined"))?(&value);
    }
    Ok(value)
}

fn term(record: &Record, text: &str) -> Result<String, String> {
    if let Some((name, argument)) = text.split_once(char::is_whitespace)
        && let Some(function) = function(name)
    {
        return Ok(function(&term(record, argument.trim())?));
    }
    if let Some(key) = text.strip_prefix("(.ExtraAttributes nil).") {
        return Ok(attributes::chosen(record).remove(key).unwrap_or_default());
    }
    if let Some(key) = text.strip_prefix("index .ContainerLabels ") {
        let key = key.trim().trim_matches(['"', '`']);
        return Ok(record.label(key).unwrap_or_default().to_owned());
    }
    let name = text.strip_prefix('.').ok_or_else(|| format!("{text:?} is no field"))?;
    field(record, name).ok_or_else(|| format!("there is no field {name:?}"))
}

type Function = fn(&str) -> String;

fn function(name: &str) -> Option<Function> {
    match name {
        "lower" => Some(str::to_lowercase),
        "upper" => Some(str::to_uppercase),
        "title" => Some(title),
        _ => None,
    }
}

fn title(text: &str) -> String {
    let mut first = true;
    let capital = |c: char| {
        let big = std::mem::replace(&mut first, !c.is_alphanumeric());
        if big { c.to_ascii_uppercase() } else { c }
    };
    text.chars().map(capital).collect()
}

/// Docker's names for what is known about a container.
fn field(record: &Record, name: &str) -> Option<String> {
    let image = record.image.to_string();
    let arguments = || crate::spec::arguments(&record.config);
    Some(match name {
        "ID" => record.id.short().to_owned(),
        "FullID" | "ContainerID" => record.id.to_string(),
        "Name" => record.name.clone(),
        "ContainerName" => format!("/{}", record.name),
        "ImageID" => image.trim_start_matches("sha256:").chars().take(12).collect(),
        "ImageFullID" | "ContainerImageID" => image,
        "ImageName" | "ContainerImageName" => record.image_name().to_owned(),
        "Command" => arguments().join(" "),
        "ContainerEntrypoint" => arguments().first().cloned().unwrap_or_default(),
        "ContainerCreated" => record.created.clone(),
        "Hostname" => rustix::system::uname().nodename().to_string_lossy().into_owned(),
        "DaemonName" => "docker".to_owned(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(template: &str) -> Result<String, Error> {
        let mut record = Record::for_tests();
        record.host = serde_json::from_str(r#"{"LogConfig":{"Config":{"env":"B"}}}"#).unwrap();
        of(&record, Some(template))
    }

    #[test]
    fn fields_labels_and_functions_are_filled_in() {
        assert_eq!(tag("").unwrap().len(), 12);
        assert_eq!(tag("a/{{.Name}}/{{ .ImageName }}").unwrap(), "a/web/box:latest");
        assert_eq!(tag("{{.Command}}").unwrap(), "sh -c true");
        assert_eq!(tag("{{(.ExtraAttributes nil).B}}.{{index .ContainerLabels \"a\"}}").unwrap(), "2.label");
        assert_eq!(tag("{{upper .Name}} {{.Name | title | lower}}").unwrap(), "WEB web");
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for (template, word) in [
            ("{{.Nope}}", "Nope"),
            ("{{.Name", "without"),
            ("{{Name}}", "no field"),
            ("{{.ID | wild}}", "wild"),
        ] {
            let error = tag(template).unwrap_err().to_string();
            assert!(error.contains(word) && error.contains("log tag"), "{error}");
        }
    }
}
