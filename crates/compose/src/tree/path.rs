//! The path of an attribute in a document, as errors show it and as tables of attributes name it.

use std::fmt;

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Name(String),
    Item(usize),
}

/// The steps from the top of a document to a node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Path(Vec<Step>);

impl Path {
    /// The path of names.
    pub(crate) fn of(names: &[&str]) -> Self {
        Self(names.iter().map(|name| Step::Name((*name).to_owned())).collect())
    }

    /// Goes one name down for the time of `visit`.
    pub(crate) fn within<T>(&mut self, name: &str, visit: impl FnOnce(&mut Self) -> T) -> T {
        self.0.push(Step::Name(name.to_owned()));
        let result = visit(self);
        self.0.pop();
        result
    }

    /// Goes into one item for the time of `visit`.
    pub(crate) fn item<T>(&mut self, index: usize, visit: impl FnOnce(&mut Self) -> T) -> T {
        self.0.push(Step::Item(index));
        let result = visit(self);
        self.0.pop();
        result
    }

    /// The path with one more name.
    pub(crate) fn join(&self, name: &str) -> Self {
        let mut path = self.clone();
        path.0.push(Step::Name(name.to_owned()));
        path
    }

    pub(crate) fn steps(&self) -> &[Step] {
        &self.0
    }

    /// Whether it is of that form: names between dots, of which `*` is any name or item and `[]` any item.
    pub(crate) fn matches(&self, pattern: &str) -> bool {
        // From its end: most patterns differ there already.
        let mut parts = pattern.rsplit('.');
        for step in self.0.iter().rev() {
            let fits = match (parts.next(), step) {
                (Some("*"), _) | (Some("[]"), Step::Item(_)) => true,
                (Some(part), Step::Name(name)) => part == name,
                _ => false,
            };
            if !fits {
                return false;
            }
        }
        parts.next().is_none()
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.0.iter().enumerate() {
            match step {
                Step::Name(name) if index == 0 => f.write_str(name)?,
                Step::Name(name) => write!(f, ".{name}")?,
                Step::Item(item) => write!(f, "[{item}]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_fits_only_paths_of_its_length() {
        let mut path = Path::of(&["services", "web", "ports"]);
        assert!(path.matches("services.*.ports"));
        assert!(!path.matches("services.*") && !path.matches("services.*.ports.*"));
        path.item(3, |path| {
            assert!(path.matches("services.*.ports.[]") && path.matches("services.*.ports.*"));
            assert_eq!(path.to_string(), "services.web.ports[3]");
        });
    }
}
