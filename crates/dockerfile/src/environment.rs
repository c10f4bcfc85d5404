//! Variables in the order in which they were last set, as a step's environment and a search for the nearest name see them.

use std::{collections::BTreeMap, sync::Arc};

use crate::expand::Variables;

/// Variables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Environment {
    values: BTreeMap<String, (u64, String)>,
    next: u64,
    bytes: usize,
    /// The list, as long as nothing changed: most steps share one.
    listed: Option<Arc<Vec<(String, String)>>>,
}

impl Environment {
    /// Sets a variable; it comes last then.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.listed = None;
        self.next += 1;
        self.bytes += name.len() + value.len();
        if let Some((_, before)) = self.values.insert(name.to_owned(), (self.next, value.to_owned())) {
            self.bytes -= name.len() + before.len();
        }
    }

    /// The names, in order.
    pub(crate) fn names(&self) -> Vec<&str> {
        let mut names: Vec<(u64, &str)> =
            self.values.iter().map(|(name, (order, _))| (*order, name.as_str())).collect();
        names.sort_unstable();
        names.into_iter().map(|(_, name)| name).collect()
    }

    /// All of them, in order.
    pub(crate) fn list(&mut self) -> Arc<Vec<(String, String)>> {
        if let Some(listed) = &self.listed {
            return Arc::clone(listed);
        }
        let value = |name: &str| self.get(name).unwrap_or_default().to_owned();
        let list = Arc::new(self.names().into_iter().map(|name| (name.to_owned(), value(name))).collect());
        self.listed = Some(Arc::clone(&list));
        list
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    /// How many bytes they are.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many bytes a list of them takes; nothing when it has been made.
    pub(crate) fn cost(&self) -> usize {
        if self.listed.is_some() { 0 } else { self.bytes }
    }
}

impl Variables for Environment {
    fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_that_is_set_again_comes_last() {
        let mut environment = Environment::default();
        for (name, value) in [("a", "1"), ("b", "2"), ("a", "3")] {
            environment.set(name, value);
        }
        assert_eq!(environment.names(), ["b", "a"]);
        assert_eq!(*environment.list(), [("b".into(), "2".into()), ("a".into(), "3".into())]);
        assert_eq!(environment.cost(), 0);
        environment.set("c", "4");
        assert_eq!(environment.cost(), 6);
    }
}
