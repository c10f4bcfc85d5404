//! An error and its causes in one line, for whoever tells a person of it.

use std::error::Error;

/// `error: cause: cause`; a cause whose words stand at the end already is not said again.
pub fn chain(error: &dyn Error) -> String {
    chain_of(error, |error| error.to_string())
}

/// The same in words of the caller's choice.
pub fn chain_of(error: &dyn Error, words: impl Fn(&(dyn Error + 'static)) -> String) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let text = words(next);
        if !line.ends_with(&text) {
            line = format!("{line}: {text}");
        }
        cause = next.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Told(&'static str, #[source] Option<Box<Told>>);

    #[test]
    fn causes_are_said_once_in_their_order() {
        let told = |text, cause: Option<Told>| Told(text, cause.map(Box::new));
        let error = told("open x", Some(told("read the disk", Some(told("no space", None)))));
        assert_eq!(chain(&error), "open x: read the disk: no space");
        assert_eq!(chain(&told("open x: no space", Some(told("no space", None)))), "open x: no space");
        assert_eq!(
            chain_of(&error, |error| error.to_string().to_uppercase()),
            "open x: READ THE DISK: NO SPACE"
        );
    }
}
