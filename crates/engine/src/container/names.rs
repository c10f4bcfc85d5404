//! Containers' names: which are allowed, and what a container without one is called.

use crate::Error;

const ADJECTIVES: [&str; 40] = [
    "amber", "bold", "brave", "bright", "brisk", "calm", "clever", "coral", "curious", "deep", "eager",
    "fair", "fleet", "gentle", "glad", "golden", "happy", "hardy", "jolly", "keen", "kind", "lively",
    "lucky", "mellow", "merry", "misty", "nimble", "patient", "playful", "proud", "quiet", "rapid", "silver",
    "sleek", "steady", "sunny", "swift", "tidal", "wise", "witty",
];
const NOUNS: [&str; 40] = [
    "albatross",
    "anchor",
    "barnacle",
    "beacon",
    "beluga",
    "breeze",
    "buoy",
    "cachalot",
    "compass",
    "cove",
    "current",
    "dolphin",
    "fjord",
    "gull",
    "harbour",
    "heron",
    "humpback",
    "island",
    "kelp",
    "lagoon",
    "lantern",
    "mariner",
    "minke",
    "narwhal",
    "nautilus",
    "orca",
    "osprey",
    "otter",
    "pelican",
    "plankton",
    "porpoise",
    "puffin",
    "reef",
    "rorqual",
    "sail",
    "seal",
    "skipper",
    "tern",
    "tide",
    "walrus",
];

/// Checks a name: `[a-zA-Z0-9][a-zA-Z0-9_.-]+`, with or without Docker's slash in front.
///
/// # Errors
/// `InvalidParameter` in Docker's words.
pub(crate) fn check(name: &str) -> Result<&str, Error> {
    let bare = name.strip_prefix('/').unwrap_or(name);
    let mut chars = bare.chars();
    let first = chars.next().is_some_and(|c| c.is_ascii_alphanumeric());
    let rest = chars.all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
    if first && rest && (2..=255).contains(&bare.len()) {
        return Ok(bare);
    }
    Err(Error::invalid(format!(
        "Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
    )))
}

/// A name made of random bits; `attempt` above 0 adds a number, for the day when most words are taken.
pub(crate) fn random(bits: u64, attempt: u32) -> String {
    let pick = |list: &[&'static str], bits: u64| list[usize::try_from(bits % 40).unwrap_or(0)];
    let base = format!("{}_{}", pick(&ADJECTIVES, bits), pick(&NOUNS, bits >> 16));
    if attempt == 0 { base } else { format!("{base}{}", bits >> 32 & 0xff) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_as_docker_does() {
        assert_eq!(check("/web-1.a_b").unwrap(), "web-1.a_b");
        for name in ["", "a", "-a", "a/b", "a b", ".hidden", "ä1", &"a".repeat(256)] {
            assert!(check(name).is_err(), "{name}");
        }
    }

    #[test]
    fn random_names_are_valid() {
        for bits in [0, 39 << 16 | 39, u64::MAX] {
            assert!(check(&random(bits, 0)).is_ok() && check(&random(bits, 1)).is_ok());
        }
    }
}
