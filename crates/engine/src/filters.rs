//! Docker's `filters` parameter: names to sets of accepted values.

use std::collections::{BTreeMap, BTreeSet};

use regex_automata::{nfa::thompson::pikevm::PikeVM, util::syntax};
use serde::Deserialize;

use crate::Error;

/// Parsed filters. Values of one name are alternatives; different names must all match.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filters(BTreeMap<String, BTreeSet<String>>);

/// The two JSON forms: today's map of sets and the list of API 1.21.
#[derive(Deserialize)]
#[serde(untagged)]
enum Json {
    Sets(BTreeMap<String, BTreeMap<String, bool>>),
    Lists(BTreeMap<String, Vec<String>>),
}

impl Filters {
    /// Reads `{"name":{"value":true}}` or `{"name":["value"]}`; the empty string is no filter.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidParameter`] for anything else.
    pub fn parse(json: &str) -> Result<Self, Error> {
        if json.trim().is_empty() {
            return Ok(Self::default());
        }
        let parsed: Json = serde_json::from_str(json).map_err(|_| {
            Error::invalid(format!("invalid filters {json:?}: want {{\"name\":[\"value\"]}}"))
        })?;
        let sets = match parsed {
            Json::Lists(lists) => lists.into_iter().map(|(k, v)| (k, v.into_iter().collect())).collect(),
            Json::Sets(sets) => sets
                .into_iter()
                .map(|(k, v)| (k, v.into_iter().filter(|(_, on)| *on).map(|(value, _)| value).collect()))
                .collect(),
        };
        Ok(Self(sets))
    }

    /// Adds one accepted value.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.0.entry(name.to_owned()).or_default().insert(value.to_owned());
        self
    }

    /// Whether nothing is filtered.
    pub fn is_empty(&self) -> bool {
        self.0.values().all(BTreeSet::is_empty)
    }

    /// The accepted values under a name; `None` when it isn't filtered by.
    pub fn get(&self, name: &str) -> Option<&BTreeSet<String>> {
        self.0.get(name).filter(|values| !values.is_empty())
    }

    /// The one value under a name.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidParameter`] if there are several.
    pub fn single(&self, name: &str) -> Result<Option<&str>, Error> {
        match self.get(name) {
            None => Ok(None),
            Some(values) if values.len() == 1 => Ok(values.first().map(String::as_str)),
            Some(_) => Err(Error::invalid(format!("filter {name:?} takes one value"))),
        }
    }

    /// The boolean under a name (`true`, `1`, `false`, `0`).
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidParameter`] for another value.
    pub fn boolean(&self, name: &str) -> Result<Option<bool>, Error> {
        match self.single(name)? {
            None => Ok(None),
            Some("1" | "t" | "true" | "True" | "TRUE") => Ok(Some(true)),
            Some("0" | "f" | "false" | "False" | "FALSE") => Ok(Some(false)),
            Some(other) => {
                Err(Error::invalid(format!("invalid filter '{name}={other}': want true or false")))
            }
        }
    }

    /// Refuses names that the call does not know.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidParameter`] that names the first of them.
    pub fn expect(&self, known: &[&str]) -> Result<(), Error> {
        match self.0.keys().find(|name| !known.contains(&name.as_str())) {
            None => Ok(()),
            Some(name) => Err(Error::invalid(format!("invalid filter '{name}'"))),
        }
    }

    /// Whether some accepted value satisfies `matches`, or the name isn't filtered by.
    pub fn any(&self, name: &str, matches: impl Fn(&str) -> bool) -> bool {
        self.get(name).is_none_or(|values| values.iter().any(|value| matches(value)))
    }

    /// Whether a name is `pattern`, or the regular expression `pattern` is found in it; one that is none
    /// matches nothing else.
    pub fn pattern_matches(pattern: &str, name: &str) -> bool {
        // Names are ASCII, and the tables of Unicode are large.
        let ascii = syntax::Config::new().unicode(false).utf8(false);
        // Runs in time linear in both, so that a hostile pattern can't hold up the engine.
        let found = PikeVM::builder()
            .syntax(ascii)
            .build(pattern)
            .is_ok_and(|regex| regex.is_match(&mut regex.create_cache(), name));
        found || pattern == name
    }

    /// Whether labels satisfy `label` (every one of `key` or `key=value`) and `label!` (none of them).
    pub fn labels<'a>(&self, get: impl Fn(&str) -> Option<&'a str>) -> bool {
        let holds = |value: &String| match value.split_once('=') {
            Some((key, wanted)) => get(key) == Some(wanted),
            None => get(value).is_some(),
        };
        self.get("label").is_none_or(|values| values.iter().all(holds))
            && self.get("label!").is_none_or(|values| !values.iter().any(holds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn both_json_forms_mean_the_same() {
        let lists = Filters::parse(r#"{"name":["a","b"]}"#).unwrap();
        assert_eq!(lists, Filters::parse(r#"{"name":{"a":true,"b":true}}"#).unwrap());
        assert_eq!(lists, Filters::default().with("name", "a").with("name", "b"));
        assert_eq!(Filters::parse("").unwrap(), Filters::default());
        assert!(Filters::parse("{}").unwrap().is_empty());
    }

    #[test]
    fn malformed_filters_are_refused() {
        for json in ["[]", "{\"a\":1}", "x"] {
            assert_eq!(Filters::parse(json).unwrap_err().kind(), ErrorKind::InvalidParameter, "{json}");
        }
    }

    #[test]
    fn unknown_names_are_named() {
        let error = Filters::default().with("colour", "red").expect(&["name"]).unwrap_err();
        assert_eq!(error.to_string(), "invalid filter 'colour'");
    }

    #[test]
    fn labels_match_by_key_or_by_key_and_value_and_can_be_excluded() {
        let get = |key: &str| (key == "tier").then_some("web");
        assert!(Filters::default().with("label", "tier").labels(get));
        assert!(Filters::default().with("label", "tier=web").labels(get));
        assert!(!Filters::default().with("label", "tier=db").labels(get));
        assert!(!Filters::default().with("label!", "tier").labels(get));
        assert!(!Filters::default().with("label", "tier").with("label", "other").labels(get));
    }

    #[test]
    fn names_are_patterns() {
        let matching = |pattern| {
            Filters::pattern_matches(pattern, "web-1") || Filters::pattern_matches(pattern, "/web-1")
        };
        for pattern in ["web", "^web-1$", "^/web-1$", "/web", "w.b", "web-[12]", "db|web", "b-1$", "web-1"] {
            assert!(matching(pattern), "{pattern}");
        }
        for pattern in ["^eb", "web-2", "(", "^/eb", "web-1.+"] {
            assert!(!matching(pattern), "{pattern}");
        }
    }
}
