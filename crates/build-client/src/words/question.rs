//! `--call`: what is asked about a build instead of it.

use super::{WordError, fields};

/// A question about a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// `lint`, `outline`, `targets`.
    pub name: String,
    /// Whether the answer is shown as JSON.
    pub is_json: bool,
    /// Whether lints are told of but are no failure.
    pub ignores_status: bool,
}

/// `build`, `check`, `outline`, `targets`, with `format=json|text` and `ignorestatus=true`; `None` builds.
///
/// # Errors
/// For what can't be asked.
pub fn question(text: &str) -> Result<Option<Question>, WordError> {
    let read = fields("call", text)?;
    let wrong = |reason: String| WordError::new("call", text, reason);
    let mut name = String::new();
    let mut question = Question { name: String::new(), is_json: false, ignores_status: false };
    for (key, value) in read.iter() {
        match (key, value) {
            (word, None) => name = word.to_lowercase(),
            ("format", Some("json")) => question.is_json = true,
            ("format", Some("text")) => question.is_json = false,
            ("ignorestatus", Some(value)) => question.ignores_status = matches!(value, "1" | "true"),
            ("type", Some(value)) => name = value.to_lowercase(),
            (key, Some(value)) => return Err(wrong(format!("unexpected {key}={value}"))),
        }
    }
    question.name = match &*name {
        "" | "build" => return Ok(None),
        "check" | "lint" => "lint".to_owned(),
        "outline" | "targets" => name,
        other => return Err(wrong(format!("{other:?} can't be asked; use check, outline or targets"))),
    };
    Ok(Some(question))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_asked_is() {
        assert_eq!(question("build").unwrap(), None);
        let asked = question("check,format=json").unwrap().unwrap();
        assert_eq!((&*asked.name, asked.is_json), ("lint", true));
        assert_eq!(question("outline").unwrap().unwrap().name, "outline");
        assert!(question("shell").is_err() && question("check,a=b").is_err());
    }
}
