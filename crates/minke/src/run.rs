//! What `run`, `create`, `start`, `attach`, `exec` and `update` share: from flags to the API's request, and the
//! foreground session that connects the user's terminal to a container.

pub(crate) mod body;
pub(crate) mod detach_keys;
mod devices;
pub(crate) mod environment;
mod health;
pub(crate) mod limits;
mod mounts;
mod networks;
pub(crate) mod options;
mod ports;
mod security;
pub(crate) mod session;
pub(crate) mod signals;
#[cfg(test)]
mod tests;
pub(crate) mod waiting;

/// A mistake in a flag's value; the text is for the user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct FlagError(pub(crate) String);

impl FlagError {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// Splits one line of comma-separated values, where a value in double quotes may contain commas (RFC 4180), as
/// the long forms of `--mount` and `--network` are written.
pub(crate) fn csv_fields(line: &str) -> Result<Vec<String>, FlagError> {
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let Some(quoted) = rest.strip_prefix('"') else {
            let (field, tail) =
                rest.split_once(',').map_or((rest, None), |(field, tail)| (field, Some(tail)));
            if field.contains('"') {
                return Err(FlagError::new(format!("bare \" in non-quoted field of {line:?}")));
            }
            fields.push(field.to_owned());
            match tail {
                Some(tail) => rest = tail,
                None => return Ok(fields),
            }
            continue;
        };
        let mut field = String::new();
        let mut after = quoted;
        loop {
            let end =
                after.find('"').ok_or_else(|| FlagError::new(format!("missing closing \" in {line:?}")))?;
            field.push_str(&after[..end]);
            after = &after[end + 1..];
            match after.strip_prefix('"') {
                Some(tail) => {
                    field.push('"');
                    after = tail;
                }
                None => break,
            }
        }
        fields.push(field);
        match after.strip_prefix(',') {
            Some(tail) => rest = tail,
            None if after.is_empty() => return Ok(fields),
            None => return Err(FlagError::new(format!("extraneous text after a quoted field in {line:?}"))),
        }
    }
}
