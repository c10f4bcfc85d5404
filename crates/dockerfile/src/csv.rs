//! Values of flags that are lists of `key=value`, separated by commas: one record of RFC 4180, and the words for yes and no.

/// The fields of one record. A field in quotes may have commas, and quotes twice.
///
/// # Errors
/// Where quotes are that may not be.
pub fn fields(text: &str) -> Result<Vec<String>, String> {
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            Some(inside) => in_quotes(inside)?,
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                if let Some(at) = rest[..end].find('"') {
                    return Err(at_column(text, &rest[at..], "bare \" in non-quoted field"));
                }
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        fields.push(field);
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None if after.is_empty() => return Ok(fields),
            None => return Err(at_column(text, after, "extraneous or missing \" in quoted-field")),
        }
    }
}

fn in_quotes(inside: &str) -> Result<(String, &str), String> {
    let (mut field, mut rest) = (String::new(), inside);
    while let Some((before, after)) = rest.split_once('"') {
        field.push_str(before);
        match after.strip_prefix('"') {
            Some(next) => {
                field.push('"');
                rest = next;
            }
            None => return Ok((field, after)),
        }
    }
    Err("parse error on line 1: extraneous or missing \" in quoted-field".to_owned())
}

fn at_column(text: &str, rest: &str, what: &str) -> String {
    format!("parse error on line 1, column {}: {what}", text.len() - rest.len() + 1)
}

/// Go's words for yes and no.
pub fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_separate_fields_unless_they_are_quoted() {
        assert_eq!(fields("type=cache,target=/a").unwrap(), ["type=cache", "target=/a"]);
        assert_eq!(fields(r#""a,b","c""d","#).unwrap(), ["a,b", "c\"d", ""]);
        assert_eq!(fields("").unwrap(), [""]);
    }

    #[test]
    fn quotes_where_none_may_be_are_a_mistake() {
        assert!(fields("a\"b").unwrap_err().contains("column 2"));
        assert!(fields("\"a").is_err() && fields("\"a\"b").is_err());
    }
}
