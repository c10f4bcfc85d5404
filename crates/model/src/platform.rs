//! Platforms: `linux/amd64`, `linux/arm64/v8`.
//!
//! Which image of an index a host runs (OCI image specification, "Image Index", the `platform` object), and
//! what users write after `--platform`. The words are Go's, as everywhere in the field.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::excerpt::excerpt;

/// The longest word that a user may write; the longest in use has seven characters.
const LONGEST_WORD: usize = 64;

/// An operating system on a CPU.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Platform {
    /// `linux`.
    pub os: String,
    /// `amd64`, `arm64`, …
    pub architecture: String,
    /// `v7`, `v8`, …; absent means the architecture's default. That of 32-bit ARM is always said, as containerd does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

/// What is wrong with a string (its beginning) that is no platform. The words in which Docker's users know it, and an example.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?}: {why}: invalid argument: want os/architecture or os/architecture/variant, for example linux/arm64/v8"
)]
pub struct PlatformError {
    text: String,
    why: &'static str,
}

/// What stands alone for a platform of it on this host's architecture.
const SYSTEMS: [&str; 16] = [
    "aix",
    "android",
    "darwin",
    "dragonfly",
    "freebsd",
    "hurd",
    "illumos",
    "ios",
    "js",
    "linux",
    "nacl",
    "netbsd",
    "openbsd",
    "plan9",
    "solaris",
    "windows",
];

/// What stands alone for Linux on it, in Go's words.
const ARCHITECTURES: [&str; 14] = [
    "386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle", "ppc64", "ppc64le",
    "riscv64", "s390x", "wasm",
];

impl Platform {
    /// The platform this program was built for, which is the one it runs on.
    pub fn host() -> Self {
        Self::normalised("linux", std::env::consts::ARCH, None)
    }

    /// A platform from words as kernels, Debian and Docker's users write them.
    pub fn normalised(os: &str, architecture: &str, variant: Option<&str>) -> Self {
        let lower = |text: &str| text.to_ascii_lowercase();
        let variant = variant.filter(|v| !v.is_empty()).map(|v| {
            let v = lower(v);
            if v.starts_with(|c: char| c.is_ascii_digit()) { format!("v{v}") } else { v }
        });
        let (architecture, variant) = match (lower(architecture).as_str(), variant) {
            ("x86_64" | "x86-64" | "amd64", variant) => ("amd64".to_owned(), variant.filter(|v| v != "v1")),
            ("i386" | "i486" | "i586" | "i686" | "x86" | "386", _) => ("386".to_owned(), None),
            ("aarch64" | "arm64", variant) => ("arm64".to_owned(), variant.filter(|v| v != "v8")),
            ("armhf", _) => ("arm".to_owned(), Some("v7".to_owned())),
            ("armel", _) => ("arm".to_owned(), Some("v6".to_owned())),
            ("arm", variant) => ("arm".to_owned(), variant.or_else(|| Some("v7".to_owned()))),
            ("powerpc64", variant) if cfg!(target_endian = "little") => ("ppc64le".to_owned(), variant),
            ("loongarch64", variant) => ("loong64".to_owned(), variant),
            (other, variant) => (other.to_owned(), variant),
        };
        Self { os: normal_os(os), architecture, variant }
    }

    /// How well an image for `offered` runs here: 0 not at all, more is better.
    ///
    /// An image without a variant runs on every variant; one for an older variant runs on a newer one.
    pub fn suitability(&self, offered: &Self) -> u32 {
        let wanted = Self::normalised(&self.os, &self.architecture, self.variant.as_deref());
        let offered = Self::normalised(&offered.os, &offered.architecture, offered.variant.as_deref());
        if (&wanted.os, &wanted.architecture) != (&offered.os, &offered.architecture) {
            return 0;
        }
        let (wanted, offered) = (wanted.level(), offered.level());
        if offered > wanted { 0 } else { 1 + offered }
    }

    /// The variant as a number, with each architecture's default filled in.
    fn level(&self) -> u32 {
        let default = match self.architecture.as_str() {
            "arm64" => 8,
            "arm" => 7,
            _ => 1,
        };
        let number = |v: &String| v.trim_start_matches('v').split('.').next().and_then(|n| n.parse().ok());
        self.variant.as_ref().and_then(number).unwrap_or(default).min(1000)
    }
}

/// In lower case; people call Go's darwin macos.
fn normal_os(os: &str) -> String {
    match os.to_ascii_lowercase().as_str() {
        "macos" => "darwin".to_owned(),
        os => os.to_owned(),
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let error = |why| PlatformError { text: excerpt(text), why };
        let words: Vec<&str> = text.split('/').collect();
        let word_ok = |word: &&str| {
            !word.is_empty()
                && word.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
        };
        let platform = match words.as_slice() {
            [os, ..] if !word_ok(os) => return Err(error("the first word is an invalid OS component")),
            all if !all.iter().all(word_ok) => return Err(error("a word is an invalid component")),
            [word] => {
                let alone = Self::normalised("linux", word, None);
                match (normal_os(word).as_str(), alone.architecture.as_str()) {
                    (os, _) if SYSTEMS.contains(&os) => Self { os: os.to_owned(), ..Self::host() },
                    (_, architecture) if ARCHITECTURES.contains(&architecture) => alone,
                    _ => return Err(error("unknown operating system or architecture")),
                }
            }
            [os, architecture] => Self::normalised(os, architecture, None),
            [os, architecture, variant] => Self::normalised(os, architecture, Some(variant)),
            _ => return Err(error("too many words")),
        };
        let is_short = |word: &String| word.len() <= LONGEST_WORD;
        let are_short = is_short(&platform.os) && is_short(&platform.architecture);
        if !are_short || !platform.variant.as_ref().is_none_or(is_short) {
            return Err(error("a word is too long"));
        }
        Ok(platform)
    }
}

/// As users write it. The words of a document may be anything, and are shown as what can be printed.
impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |text: &str| excerpt(text).escape_debug().to_string();
        write!(f, "{}/{}", word(&self.os), word(&self.architecture))?;
        self.variant.iter().try_for_each(|variant| write!(f, "/{}", word(variant)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Platform {
        text.parse().unwrap()
    }

    #[test]
    fn every_spelling_of_one_platform_is_the_same() {
        assert_eq!(parse("Linux/x86_64"), parse("linux/amd64"));
        assert_eq!(parse("linux/aarch64").to_string(), "linux/arm64");
        assert_eq!(parse("linux/arm64/v8"), parse("linux/arm64"));
        assert_eq!(parse("linux/arm/6").to_string(), "linux/arm/v6");
        assert_eq!(parse("linux/arm").to_string(), "linux/arm/v7");
        assert_eq!(parse("linux/armhf"), parse("linux/arm/v7"));
    }

    #[test]
    fn one_word_is_a_system_or_an_architecture() {
        assert_eq!(parse("Linux"), Platform::host());
        assert_eq!(parse("aarch64"), parse("linux/arm64"));
        assert_eq!(parse("macos").os, "darwin");
        let told = "foobar".parse::<Platform>().unwrap_err().to_string();
        assert!(told.contains("unknown operating system or architecture"), "{told}");
    }

    #[test]
    fn an_older_variant_runs_on_a_newer_cpu_and_never_the_reverse() {
        let cpu = parse("linux/arm/v7");
        assert!(cpu.suitability(&parse("linux/arm/v7")) > cpu.suitability(&parse("linux/arm/v6")));
        assert!(cpu.suitability(&parse("linux/arm/v6")) > 0);
        assert_eq!(cpu.suitability(&parse("linux/arm/v8")), 0);
        assert_eq!(cpu.suitability(&parse("linux/arm64")), 0);
        assert_eq!(parse("linux/amd64").suitability(&parse("windows/amd64")), 0);
    }

    #[test]
    fn words_of_a_document_are_shown_in_one_line() {
        let platform = Platform::normalised("li\nnux", "amd64\u{1b}[31m", Some(&"v".repeat(1000)));
        assert_eq!(platform.to_string(), format!("li\\nnux/amd64\\u{{1b}}[31m/{}…", "v".repeat(160)));
    }

    #[test]
    fn anything_else_is_refused_with_an_example() {
        // The number of a variant becomes one longer.
        let (long, digits) = (format!("a/{}", "b".repeat(65)), format!("a/b/{}", "1".repeat(64)));
        for text in ["", "nonsense", "linux/", "/amd64", "a/b/c/d", "li nux/amd64", &long, &digits] {
            assert!(text.parse::<Platform>().unwrap_err().to_string().contains("linux/arm64/v8"), "{text}");
        }
    }
}
