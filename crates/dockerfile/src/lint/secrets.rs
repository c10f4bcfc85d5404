//! Names of variables that sound as if they held a secret.

const SECRET: [&str; 10] =
    ["apikey", "auth", "credential", "credentials", "key", "password", "pword", "passwd", "secret", "token"];

/// What says that they don't.
const HARMLESS: [&str; 3] = ["public", "file", "version"];

/// Whether one of the words between `_` is a secret's, and none says that it isn't.
pub(crate) fn sounds_secret(name: &str) -> bool {
    let has =
        |words: &[&str]| name.split('_').any(|part| words.iter().any(|word| part.eq_ignore_ascii_case(word)));
    has(&SECRET) && !has(&HARMLESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_of_a_name_makes_it_a_secret() {
        for name in ["API_TOKEN", "password", "git_key", "AUTH", "my_Secret_x"] {
            assert!(sounds_secret(name), "{name}");
        }
        for name in ["PUBLIC_KEY", "TOKENS", "keyboard", "password_file", "AUTH_MODULE_VERSION"] {
            assert!(!sounds_secret(name), "{name}");
        }
    }
}
