//! `--filter key=value`, as the API's JSON.

use std::collections::BTreeMap;

use crate::failure::Failure;

/// The `filters` query of repeated `--filter` flags; `None` where there are none.
///
/// # Errors
/// When a filter is no `key=value`.
pub(super) fn query(filters: &[String]) -> Result<Option<(&'static str, String)>, Failure> {
    let mut map: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for filter in filters.iter().filter(|filter| !filter.is_empty()) {
        let (key, value) = filter.split_once('=').ok_or_else(|| {
            Failure::new(format!("invalid argument {filter:?} for \"-f, --filter\" flag: bad format of filter (expected name=value)"))
        })?;
        let values = map.entry(key.trim().to_lowercase()).or_default();
        let value = value.trim().to_owned();
        if !values.contains(&value) {
            values.push(value);
        }
    }
    // A map of lists of strings always has a JSON form.
    Ok((!map.is_empty()).then(|| ("filters", serde_json::to_string(&map).unwrap_or_default())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_of_one_key_are_collected() {
        let filters =
            ["status=running", "label=a=b", " Status = exited ", "status=running"].map(str::to_owned);
        let (_, json) = query(&filters).unwrap().unwrap();
        assert_eq!(json, r#"{"label":["a=b"],"status":["running","exited"]}"#);
        assert_eq!(query(&[]).unwrap(), None);
        assert!(query(&["x".to_owned()]).unwrap_err().message.contains("expected name=value"));
    }
}
