//! `--cache-from` and `--cache-to`.

use super::{WordError, fields};
use crate::options::CacheEntry;

/// `type=registry,ref=…`, `type=local,src=FOLDER` or `dest=FOLDER`, or the name of an image alone, which is a registry's. What
/// clouds want to know of the one who builds (`type=gha`, `type=s3`) comes from the environment, as their own tools have it.
///
/// # Errors
/// Without a type.
pub fn cache_entry(what: &'static str, text: &str) -> Result<CacheEntry, WordError> {
    let read = fields(what, text)?;
    let wrong = |reason: &str| WordError::new(what, text, reason);
    if read.iter().all(|(_, value)| value.is_none()) {
        let attributes = [("ref".to_owned(), text.to_owned())].into();
        return Ok(CacheEntry { kind: "registry".to_owned(), attributes });
    }
    let mut entry = CacheEntry::default();
    for (key, value) in read.iter() {
        let value = value.ok_or_else(|| wrong("each field is KEY=VALUE"))?;
        match key {
            "type" => entry.kind = value.to_owned(),
            key => drop(entry.attributes.insert(key.to_owned(), value.to_owned())),
        }
    }
    match &*entry.kind {
        "" => Err(wrong("type is required")),
        "gha" => {
            from_environment(
                &mut entry,
                &[
                    ("url", "ACTIONS_CACHE_URL"),
                    ("token", "ACTIONS_RUNTIME_TOKEN"),
                    ("url_v2", "ACTIONS_RESULTS_URL"),
                ],
            );
            Ok(entry)
        }
        "s3" => {
            from_environment(
                &mut entry,
                &[
                    ("access_key_id", "AWS_ACCESS_KEY_ID"),
                    ("secret_access_key", "AWS_SECRET_ACCESS_KEY"),
                    ("session_token", "AWS_SESSION_TOKEN"),
                ],
            );
            Ok(entry)
        }
        _ => Ok(entry),
    }
}

fn from_environment(entry: &mut CacheEntry, names: &[(&str, &str)]) {
    for (key, variable) in names {
        if let Ok(value) = std::env::var(variable) {
            entry.attributes.entry((*key).to_owned()).or_insert(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_alone_is_a_registrys() {
        let entry = cache_entry("cache-from", "r:5000/a:b").unwrap();
        assert_eq!((&*entry.kind, &*entry.attributes["ref"]), ("registry", "r:5000/a:b"));
        let entry = cache_entry("cache-to", "type=registry,ref=r/a,mode=max").unwrap();
        assert_eq!((&*entry.kind, &*entry.attributes["mode"]), ("registry", "max"));
        for text in ["ref=a", "type=inline,oops"] {
            assert!(cache_entry("cache-to", text).is_err(), "{text}");
        }
    }
}
