//! What a registry asks for with status 401: the challenges of `WWW-Authenticate`.
//!
//! RFC 9110, section 11.6.1. One header may carry several challenges, and there may be several headers.

/// One way to authenticate.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Challenge {
    /// Name and password with every request (RFC 7617).
    Basic,
    /// A token from somewhere else (the distribution project's token authentication).
    Bearer(Bearer),
}

/// Where tokens come from, and for what.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Bearer {
    /// The address of the token server.
    pub(crate) realm: String,
    /// The name of the registry there.
    pub(crate) service: Option<String>,
    /// What the refused request would have needed.
    pub(crate) scope: Option<String>,
}

/// The challenges that can be met, a token before a password.
pub(crate) fn challenges<'a>(headers: impl Iterator<Item = &'a str>) -> Vec<Challenge> {
    let mut found: Vec<_> =
        headers.flat_map(|text| Parser { rest: text }.challenges()).filter_map(Raw::known).collect();
    found.sort_by_key(|challenge| matches!(challenge, Challenge::Basic));
    found
}

/// A challenge as it is written.
struct Raw {
    scheme: String,
    parameters: Vec<(String, String)>,
}

impl Raw {
    fn known(self) -> Option<Challenge> {
        let parameter = |name: &str| {
            let found = self.parameters.iter().find(|(key, _)| key == name);
            found.map(|(_, value)| value.clone()).filter(|value| !value.is_empty())
        };
        match self.scheme.as_str() {
            "basic" => Some(Challenge::Basic),
            "bearer" => Some(Challenge::Bearer(Bearer {
                realm: parameter("realm")?,
                service: parameter("service"),
                scope: parameter("scope"),
            })),
            _ => None,
        }
    }
}

struct Parser<'a> {
    rest: &'a str,
}

impl Parser<'_> {
    /// A word before `=` is a parameter of the challenge before it; any other word begins a challenge.
    fn challenges(mut self) -> Vec<Raw> {
        let mut found: Vec<Raw> = Vec::new();
        loop {
            self.rest = self.rest.trim_start_matches([' ', '\t', ',']);
            let word = self.word();
            if word.is_empty() {
                return found;
            }
            self.rest = self.rest.trim_start_matches([' ', '\t']);
            match (found.last_mut(), self.rest.strip_prefix('=')) {
                (Some(challenge), Some(rest)) => {
                    self.rest = rest.trim_start_matches([' ', '\t']);
                    challenge.parameters.push((word, self.value()));
                }
                _ => found.push(Raw { scheme: word, parameters: Vec::new() }),
            }
        }
    }

    /// A token of the grammar, in lower case.
    fn word(&mut self) -> String {
        let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~/".contains(c);
        let end = self.rest.find(|c| !is_token(c)).unwrap_or(self.rest.len());
        let word = self.rest[..end].to_ascii_lowercase();
        self.rest = &self.rest[end..];
        word
    }

    /// A quoted string, or everything up to the next comma or blank.
    fn value(&mut self) -> String {
        let Some(quoted) = self.rest.strip_prefix('"') else {
            let end = self.rest.find([',', ' ', '\t']).unwrap_or(self.rest.len());
            let value = self.rest[..end].to_owned();
            self.rest = &self.rest[end..];
            return value;
        };
        let mut value = String::new();
        let mut characters = quoted.char_indices();
        while let Some((at, c)) = characters.next() {
            match c {
                '"' => {
                    self.rest = &quoted[at + 1..];
                    return value;
                }
                '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
                c => value.push(c),
            }
        }
        self.rest = "";
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(headers: &[&str]) -> Vec<Challenge> {
        challenges(headers.iter().copied())
    }

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Challenge::Bearer(Bearer { realm: realm.to_owned(), service: owned(service), scope: owned(scope) })
    }

    #[test]
    fn a_scope_keeps_its_commas() {
        assert_eq!(
            parse(&[r#"Bearer realm="https://auth/token",service="r",scope="repository:a/b:pull,push""#]),
            [bearer("https://auth/token", Some("r"), Some("repository:a/b:pull,push"))]
        );
    }

    #[test]
    fn several_challenges_come_in_one_header_or_in_many_and_a_token_goes_first() {
        let token = bearer("t", None, None);
        assert_eq!(parse(&[r#"Basic realm="x", Bearer realm="t""#]), [token.clone(), Challenge::Basic]);
        assert_eq!(parse(&[r#"Basic realm="x, y=z""#, "bearer realm=t"]), [token, Challenge::Basic]);
    }

    #[test]
    fn blanks_escapes_and_letters_of_any_case_are_understood() {
        assert_eq!(
            parse(&[r#"BEARER  Realm = "a\"b\\c" ,  ,SERVICE=x"#]),
            [bearer("a\"b\\c", Some("x"), None)]
        );
    }

    #[test]
    fn what_can_not_be_met_is_no_challenge() {
        for text in ["", ",", "=", "Negotiate abc==", "Bearer service=\"x\"", "\"", "Digest a=\"", "ü"] {
            assert_eq!(parse(&[text]), [], "{text}");
        }
        assert_eq!(parse(&["Negotiate abc==, Basic"]), [Challenge::Basic]);
    }
}
