//! Interpolation of one text: `$NAME`, `${NAME}` and its forms with a default, an error or an alternative.
//!
//! Defaults, errors and alternatives may have variables in them again; only the one that is needed is looked at. `$$` is
//! a dollar sign, and a dollar sign before anything else is itself.

/// How deep variables stand in the defaults of others at most.
const DEEPEST: usize = 32;

/// Why a text can't be interpolated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// It isn't of the form.
    #[error("invalid interpolation format in {0:?}: you may need to escape any $ with another $")]
    Invalid(String),
    /// A variable without which there is no going on.
    #[error("required variable {name} is missing a value{}", if .reason.is_empty() { String::new() } else { format!(": {reason}") })]
    Missing {
        /// Its name.
        name: String,
        /// What the file says about it.
        reason: String,
    },
}

/// One variable as a text uses it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// What stands in where it is absent.
    pub default: String,
    /// What stands in where it is there.
    pub alternative: String,
    /// Its absence is an error.
    pub required: bool,
}

/// The forms of `${NAME…}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Value,
    Default,
    Required,
    Alternative,
}

/// A piece of a text.
enum Piece<'a> {
    Text(&'a str),
    Dollar,
    Variable { name: &'a str, form: Form, empty_counts: bool, word: &'a str },
}

/// What variables are looked up in, and who is told of those that are absent.
pub(crate) trait Lookup {
    /// The variable's value.
    fn get(&self, name: &str) -> Option<String>;
    /// A variable that is plainly used is not set.
    fn missing(&self, _name: &str) {}
}

impl<F: Fn(&str) -> Option<String>> Lookup for F {
    fn get(&self, name: &str) -> Option<String> {
        self(name)
    }
}

/// The text with its variables' values.
pub(crate) fn substitute(text: &str, variables: &dyn Lookup) -> Result<String, TemplateError> {
    substitute_within(text, variables, 0)
}

fn substitute_within(text: &str, variables: &dyn Lookup, depth: usize) -> Result<String, TemplateError> {
    if !text.contains('$') {
        return Ok(text.to_owned());
    }
    if depth > DEEPEST {
        return Err(TemplateError::Invalid(beginning(text)));
    }
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((piece, after)) =
        next_piece(rest).ok_or_else(|| TemplateError::Invalid(beginning(text)))?
    {
        rest = after;
        match piece {
            Piece::Text(plain) => result.push_str(plain),
            Piece::Dollar => result.push('$'),
            Piece::Variable { name, form, empty_counts, word } => {
                let word = |()| substitute_within(word, variables, depth + 1);
                result.push_str(&value(name, form, empty_counts, word, variables)?);
            }
        }
    }
    Ok(result)
}

fn value(
    name: &str,
    form: Form,
    empty_counts: bool,
    word: impl Fn(()) -> Result<String, TemplateError>,
    variables: &dyn Lookup,
) -> Result<String, TemplateError> {
    let found = variables.get(name);
    let good = found.as_ref().is_some_and(|value| empty_counts || !value.is_empty());
    match form {
        Form::Value => {
            if found.is_none() {
                variables.missing(name);
            }
            Ok(found.unwrap_or_default())
        }
        Form::Default if !good => word(()),
        Form::Required if !good => Err(TemplateError::Missing { name: name.to_owned(), reason: word(())? }),
        Form::Alternative if good => word(()),
        _ => Ok(found.unwrap_or_default()),
    }
}

/// The variables of a text, with those in their defaults and alternatives.
pub(super) fn variables(text: &str) -> Vec<Variable> {
    let mut found = Vec::new();
    collect(text, 0, &mut found);
    found
}

fn collect(text: &str, depth: usize, found: &mut Vec<Variable>) {
    let mut rest = text;
    while let Some(Some((piece, after))) = next_piece(rest) {
        rest = after;
        let Piece::Variable { name, form, word, .. } = piece else { continue };
        let word_if = |wanted| if form == wanted { word.to_owned() } else { String::new() };
        found.push(Variable {
            name: name.to_owned(),
            default: word_if(Form::Default),
            alternative: word_if(Form::Alternative),
            required: form == Form::Required,
        });
        if depth < DEEPEST && form != Form::Required {
            collect(word, depth + 1, found);
        }
    }
}

/// The first piece and what follows; `Some(None)` at the end, `None` for what is of no form.
fn next_piece(text: &str) -> Option<Option<(Piece<'_>, &str)>> {
    let Some(dollar) = text.find('$') else {
        return Some((!text.is_empty()).then_some((Piece::Text(text), "")));
    };
    if dollar > 0 {
        return Some(Some((Piece::Text(&text[..dollar]), &text[dollar..])));
    }
    let after = &text[1..];
    if let Some(rest) = after.strip_prefix('$') {
        return Some(Some((Piece::Dollar, rest)));
    }
    if let Some(braced) = after.strip_prefix('{') {
        let end = closing(braced)?;
        return Some(Some((variable(&braced[..end])?, &braced[end + 1..])));
    }
    let (name, rest) = after.split_at(name_length(after));
    if name.is_empty() {
        return Some(Some((Piece::Text("$"), after)));
    }
    Some(Some((Piece::Variable { name, form: Form::Value, empty_counts: true, word: "" }, rest)))
}

/// Where the brace that was opened before the text is closed; the last brace where they don't pair.
fn closing(text: &str) -> Option<usize> {
    let mut open = 1_usize;
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => open += 1,
            b'}' if open == 1 => return Some(index),
            b'}' => open -= 1,
            _ => {}
        }
    }
    text.rfind('}')
}

fn variable(text: &str) -> Option<Piece<'_>> {
    let (name, rest) = text.split_at(name_length(text));
    if name.is_empty() {
        return None;
    }
    let (empty_counts, operation) = match rest.strip_prefix(':') {
        Some(operation) => (false, operation),
        None => (true, rest),
    };
    let form = match operation.bytes().next() {
        None if rest.is_empty() => Form::Value,
        Some(b'-') => Form::Default,
        Some(b'?') => Form::Required,
        Some(b'+') => Form::Alternative,
        _ => return None,
    };
    Some(Piece::Variable { name, form, empty_counts, word: operation.get(1..).unwrap_or_default() })
}

fn name_length(text: &str) -> usize {
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len());
    if begins { end } else { 0 }
}

fn beginning(text: &str) -> String {
    match text.char_indices().nth(160) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Option<String> {
        match name {
            "SET" => Some("value".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    fn filled(text: &str) -> String {
        substitute(text, &lookup).unwrap()
    }

    #[test]
    fn every_form_gives_what_the_specification_says() {
        for (text, expected) in [
            ("$SET-${SET}", "value-value"),
            ("${EMPTY}|${UNSET}", "|"),
            ("${UNSET:-d}|${EMPTY:-d}|${SET:-d}", "d|d|value"),
            ("${UNSET-d}|${EMPTY-d}|${SET-d}", "d||value"),
            ("${UNSET:+r}|${EMPTY:+r}|${SET:+r}", "||r"),
            ("${UNSET+r}|${EMPTY+r}|${SET+r}", "|r|r"),
            ("${SET:?e}|${EMPTY?e}", "value|"),
            ("$$SET $${SET} $$$SET", "$SET ${SET} $value"),
            ("${UNSET:-${EMPTY:-${SET}}}", "value"),
            ("${UNSET:-{a}}", "{a}"),
            ("a$ $5 $", "a$ $5 $"),
            ("${UNSET:-a:-b}", "a:-b"),
            ("$SETx", ""),
        ] {
            assert_eq!(filled(text), expected, "{text}");
        }
    }

    #[test]
    fn a_required_variable_says_what_the_file_says() {
        let error = substitute("${UNSET:?set $SET first}", &lookup).unwrap_err();
        assert_eq!(error.to_string(), "required variable UNSET is missing a value: set value first");
        let error = substitute("${EMPTY:?}", &lookup).unwrap_err();
        assert_eq!(error.to_string(), "required variable EMPTY is missing a value");
    }

    #[test]
    fn what_is_of_no_form_is_refused() {
        for text in ["${", "${}", "${ A}", "${A", "${A!b}", "${1A}", "${A:}"] {
            assert!(matches!(substitute(text, &lookup), Err(TemplateError::Invalid(_))), "{text}");
        }
    }

    #[test]
    fn a_default_that_is_not_needed_is_not_looked_at() {
        assert_eq!(filled("${SET:-${UNSET:?gone}}"), "value");
    }

    #[test]
    fn variables_are_listed_with_those_in_defaults() {
        let names: Vec<_> =
            variables("$A ${B:-${C}} ${D:?x} $$E").into_iter().map(|found| found.name).collect();
        assert_eq!(names, ["A", "B", "C", "D"]);
    }
}
