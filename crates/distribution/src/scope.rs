//! What a token is for: actions on repositories, in the words of the token authentication.

use std::collections::{BTreeMap, BTreeSet};

use minke_model::Reference;

/// A set of rights; they only ever grow.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Scopes(BTreeMap<String, BTreeSet<String>>);

impl Scopes {
    /// No right at all: only to prove who asks.
    pub(crate) fn none() -> Self {
        Self::default()
    }

    /// Reading a repository.
    pub(crate) fn pull(repository: &Reference) -> Self {
        Self::default().and(repository, &["pull"])
    }

    /// Reading and writing a repository.
    pub(crate) fn push(repository: &Reference) -> Self {
        Self::default().and(repository, &["pull", "push"])
    }

    /// Taking blobs of another repository as well.
    pub(crate) fn and_from(self, other: &Reference) -> Self {
        self.and(other, &["pull"])
    }

    fn and(mut self, repository: &Reference, actions: &[&str]) -> Self {
        let of = self.0.entry(format!("repository:{}", repository.path())).or_default();
        of.extend(actions.iter().map(|action| (*action).to_owned()));
        self
    }

    /// These and what a challenge says was missing.
    pub(crate) fn and_challenged(mut self, scope: Option<&str>) -> Self {
        for word in scope.unwrap_or_default().split_ascii_whitespace() {
            let Some((resource, actions)) = word.rsplit_once(':') else { continue };
            self.0.entry(resource.to_owned()).or_default().extend(actions.split(',').map(str::to_owned));
        }
        self
    }

    /// One word for each resource, `repository:a/b:pull,push`.
    pub(crate) fn words(&self) -> Vec<String> {
        let word = |(resource, actions): (&String, &BTreeSet<String>)| {
            let actions: Vec<_> = actions.iter().map(String::as_str).collect();
            format!("{resource}:{}", actions.join(","))
        };
        self.0.iter().map(word).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_grow_by_action_and_by_repository() {
        let (app, base) = ("a.b/team/app".parse().unwrap(), "a.b/base".parse().unwrap());
        assert_eq!(Scopes::pull(&app).words(), ["repository:team/app:pull"]);
        let grown =
            Scopes::pull(&app).and_challenged(Some("repository:team/app:push,pull registry:catalog:*"));
        assert_eq!(grown.words(), ["registry:catalog:*", "repository:team/app:pull,push"]);
        let mounting = Scopes::push(&app).and_from(&base);
        assert_eq!(mounting.words(), ["repository:base:pull", "repository:team/app:pull,push"]);
        assert!(Scopes::none().and_challenged(Some("nonsense")).words().is_empty());
    }
}
