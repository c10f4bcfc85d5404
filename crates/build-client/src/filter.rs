//! Which entries of a folder are sent: those that the engine asks for, or those that `.dockerignore` leaves.

use minke_buildkit_wire::files::{Choice, Choose};
use minke_dockerfile::ignore::{Folder, Matcher, PatternError, Verdict};

/// What is included, and of that, what is excluded.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    /// Nothing is all.
    include: Option<Matcher>,
    exclude: Matcher,
    /// Taken whatever patterns say.
    kept: Vec<String>,
    /// What is known of the folders on the way, the top first.
    way: Vec<Folder>,
}

impl Filter {
    /// From patterns as a request has them.
    ///
    /// # Errors
    /// The first that isn't one.
    pub(crate) fn new(include: Option<&[String]>, exclude: &[String]) -> Result<Self, PatternError> {
        let include = include.map(Matcher::new).transpose()?;
        Ok(Self { include, exclude: Matcher::new(exclude)?, ..Self::default() })
    }

    /// With paths that are taken whatever the patterns say.
    pub(crate) fn keeping(self, kept: Vec<String>) -> Self {
        Self { kept, ..self }
    }

    fn included(&self, path: &str, is_folder: bool) -> Choice {
        match &self.include {
            None => Choice::Take,
            Some(include) if include.matches(path) => Choice::Take,
            Some(include) if is_folder && include.may_match_below(path) => Choice::Below,
            Some(_) => Choice::Leave,
        }
    }

    /// Also notes what is known in the folder.
    fn excluded(&mut self, path: &str, is_folder: bool) -> Choice {
        let depth = path.matches('/').count();
        if self.way.is_empty() {
            self.way.push(self.exclude.root());
        }
        self.way.truncate(depth + 1);
        let root = self.exclude.root();
        let here = self.way.last().unwrap_or(&root);
        if !is_folder {
            return if self.exclude.is_ignored(path, here) { Choice::Leave } else { Choice::Take };
        }
        let (verdict, inner) = self.exclude.enter(path, here);
        self.way.push(inner);
        match verdict {
            Verdict::Kept => Choice::Take,
            Verdict::Partly => Choice::Below,
            Verdict::Ignored => Choice::Leave,
        }
    }

    fn kept(&self, path: &str, is_folder: bool) -> Choice {
        let is_above = |kept: &String| kept.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
        match () {
            () if self.kept.iter().any(|kept| kept == path) => Choice::Take,
            () if is_folder && self.kept.iter().any(is_above) => Choice::Below,
            () => Choice::Leave,
        }
    }
}

impl Choose for Filter {
    fn choose(&mut self, path: &str, is_folder: bool) -> Choice {
        let by_patterns = self.excluded(path, is_folder).min(self.included(path, is_folder));
        by_patterns.max(self.kept(path, is_folder))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(list: &[&str]) -> Vec<String> {
        list.iter().map(|text| (*text).to_owned()).collect()
    }

    /// Walks a list of paths, folders with a slash at their end, as a folder would be walked.
    fn chosen(mut filter: Filter, paths: &[&str]) -> Vec<String> {
        let (mut left, mut taken) = (Vec::<String>::new(), Vec::new());
        for path in paths {
            if left.iter().any(|folder| path.starts_with(folder.as_str())) {
                continue;
            }
            let choice = filter.choose(path.trim_end_matches('/'), path.ends_with('/'));
            match choice {
                Choice::Take => taken.push((*path).to_owned()),
                Choice::Leave if path.ends_with('/') => left.push((*path).to_owned()),
                Choice::Below | Choice::Leave => {}
            }
        }
        taken
    }

    const TREE: [&str; 9] = ["a/", "a/b/", "a/b/x", "a/b/y", "a/z", "c/", "c/d/", "c/d/x", "e"];

    #[test]
    fn without_patterns_all_is_taken() {
        assert_eq!(chosen(Filter::default(), &TREE), TREE);
    }

    #[test]
    fn only_what_is_included_is_and_a_folder_takes_what_is_in_it_along() {
        let filter = |include: &[&str]| Filter::new(Some(&texts(include)), &[]).unwrap();
        assert_eq!(chosen(filter(&["a/b"]), &TREE), ["a/b/", "a/b/x", "a/b/y"]);
        assert_eq!(chosen(filter(&["**/x"]), &TREE), ["a/b/x", "c/d/x"]);
        assert!(chosen(filter(&["nothing"]), &TREE).is_empty());
    }

    #[test]
    fn exceptions_bring_back_and_what_is_kept_is_kept() {
        let filter = Filter::new(None, &texts(&["a", "!a/b/x", "c", "e"])).unwrap();
        assert_eq!(chosen(filter, &TREE), ["a/b/x"]);
        let filter = Filter::new(None, &texts(&["*"])).unwrap().keeping(texts(&["c/d/x", "e"]));
        assert_eq!(chosen(filter, &TREE), ["c/d/x", "e"]);
        let filter = Filter::new(Some(&texts(&["a"])), &texts(&["a/b/y"])).unwrap();
        assert_eq!(chosen(filter, &TREE), ["a/", "a/b/", "a/b/x", "a/z"]);
    }
}
