//! `docker search`: the search of Docker's first registry API, which Docker Hub still answers.

use std::sync::Arc;

use reqwest::{Method, header::HeaderValue};
use serde::{Deserialize, Deserializer};

use crate::{
    Credentials, Error,
    endpoint::{HUB, Plan, itself},
    scope::Scopes,
    session::Ask,
    shared::Shared,
};

/// Where Docker Hub's index is.
const HUB_INDEX: &str = "index.docker.io";
/// Results when no number is given, and the most that are.
const USUAL: u32 = 25;
const MOST: u32 = 100;
/// Bytes of the answer.
const ANSWER: usize = 4 << 20;

/// Which results are wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SearchFilters {
    /// Official ones, or all others.
    pub is_official: Option<bool>,
    /// Automated builds, or all others.
    pub is_automated: Option<bool>,
    /// Those that at least so many users marked with a star.
    pub stars: u64,
}

/// A repository that was found.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SearchResult {
    /// Its name, `library/redis`; Docker Hub leaves `library/` out.
    pub name: String,
    /// What its owner says about it.
    #[serde(default, deserialize_with = "or_default")]
    pub description: String,
    /// How many users marked it with a star.
    #[serde(default, deserialize_with = "or_default")]
    pub star_count: u64,
    /// Whether Docker itself answers for it.
    #[serde(default, deserialize_with = "or_default")]
    pub is_official: bool,
    /// Whether the registry built it from sources.
    #[serde(default, deserialize_with = "or_default")]
    pub is_automated: bool,
}

#[derive(Deserialize)]
struct Found {
    #[serde(default)]
    results: Vec<SearchResult>,
}

/// Some registries write `null` where there is nothing.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

impl SearchFilters {
    fn take(&self, result: &SearchResult) -> bool {
        self.is_official.is_none_or(|wanted| result.is_official == wanted)
            && self.is_automated.is_none_or(|wanted| result.is_automated == wanted)
            && result.star_count >= self.stars
    }
}

/// Asks the registry that the term begins with, or Docker Hub.
pub(crate) async fn search(
    shared: &Arc<Shared>,
    term: &str,
    limit: Option<u32>,
    filters: &SearchFilters,
    credentials: Option<Credentials>,
) -> Result<Vec<SearchResult>, Error> {
    let (registry, words) = split(term);
    let odd = || Error::Argument { what: "the search term", text: term.to_owned() };
    if words.is_empty() || term.contains("://") {
        return Err(odd());
    }
    let limit = limit.unwrap_or(USUAL).clamp(1, MOST);
    let mut plan = itself(if registry == HUB { HUB_INDEX } else { registry })?;
    plan.base.set_path("/v1/");
    let endpoint = Arc::new(shared.endpoint_at(Plan { is_registry: true, ..plan }).await?);
    let session = shared.session(endpoint, credentials.map(Arc::new).as_ref());
    let mut url = session.endpoint.base.clone();
    url.set_path("/v1/search");
    url.query_pairs_mut().append_pair("q", words).append_pair("n", &limit.to_string());
    let ask = Ask::new(&session, Method::GET, url, Scopes::none())
        .with("accept", HeaderValue::from_static("application/json"));
    let found: Found = session.ask(&ask).await?.json(ANSWER).await?;
    let wanted = found.results.into_iter().filter(|result| filters.take(result));
    Ok(wanted.take(limit as usize).collect())
}

/// The registry and the words. The first part is a registry only if it looks like one, as in references.
fn split(term: &str) -> (&str, &str) {
    let (registry, words) = match term.split_once('/') {
        Some((first, rest)) if first == "localhost" || first.contains(['.', ':']) => (first, rest),
        _ => (HUB, term),
    };
    match registry {
        HUB | HUB_INDEX => (HUB, words.strip_prefix("library/").unwrap_or(words)),
        other => (other, words),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_may_begin_with_a_registry() {
        assert_eq!(split("redis"), ("docker.io", "redis"));
        assert_eq!(split("library/redis"), ("docker.io", "redis"));
        assert_eq!(split("team/app"), ("docker.io", "team/app"));
        assert_eq!(split("index.docker.io/redis"), ("docker.io", "redis"));
        assert_eq!(split("r.example:5000/team/app"), ("r.example:5000", "team/app"));
    }

    #[test]
    fn filters_are_applied_here() {
        let json = r#"{"results":[
            {"name":"a","star_count":5,"is_official":true,"description":null},
            {"name":"b","star_count":9,"is_automated":true}]}"#;
        let names = |filters: SearchFilters| {
            let found: Found = serde_json::from_str(json).unwrap();
            let names =
                found.results.into_iter().filter(|result| filters.take(result)).map(|result| result.name);
            names.collect::<Vec<_>>()
        };
        let all = SearchFilters::default();
        assert_eq!(names(all), ["a", "b"]);
        assert_eq!(names(SearchFilters { is_official: Some(true), ..all }), ["a"]);
        assert_eq!(names(SearchFilters { is_automated: Some(false), ..all }), ["a"]);
        assert_eq!(names(SearchFilters { stars: 6, ..all }), ["b"]);
    }
}
