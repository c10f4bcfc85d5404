//! Platforms as clients write them: `linux/arm64/v8`, `linux/amd64`, `arm64`, `linux`.

use std::fmt;
use std::str::FromStr;

use hyper::StatusCode;
use serde::Deserialize;

use crate::call::Call;
use crate::error::ApiError;
use crate::json;

/// A platform in a query: Docker sends JSON in most of them, and words elsewhere.
pub(crate) fn words(text: &str) -> Result<String, ApiError> {
    #[derive(Deserialize)]
    struct Words {
        os: String,
        architecture: String,
        #[serde(default)]
        variant: String,
    }
    if !text.starts_with('{') {
        return Ok(text.to_owned());
    }
    let (words, _): (Words, _) = json::parse(text.as_bytes())
        .map_err(|error| ApiError::invalid(format!("invalid platform: {}", error.message)))?;
    let variant = if words.variant.is_empty() { String::new() } else { format!("/{}", words.variant) };
    Ok(format!("{}/{}{variant}", words.os, words.architecture))
}

/// Compares an image with the platforms of a query, if it names any.
///
/// # Errors
/// 404 when the image is for another one, which clients take for a missing image; 400 for what is no platform.
pub(crate) async fn check(call: &Call, name: &str, parameter: &str) -> Result<(), ApiError> {
    for text in call.query.all(parameter).iter().filter(|text| !text.is_empty()) {
        let wanted: minke_model::Platform =
            words(text)?.parse().map_err(|error| ApiError::invalid(format!("invalid platform: {error}")))?;
        let image = call.engine().image_inspect(name).await?;
        let word = |text: Option<String>| text.unwrap_or_default();
        let (os, architecture) = (word(image.os), word(image.architecture));
        let has = minke_model::Platform::normalised(&os, &architecture, image.variant.as_deref());
        if wanted.suitability(&has) == 0 {
            return Err(mismatch(name, &has, &wanted));
        }
    }
    Ok(())
}

/// An image for another platform counts as missing, so that clients pull the right one.
pub(crate) async fn check_image(call: &Call, name: &str, wanted: &Platform) -> Result<(), ApiError> {
    let image = call.engine().image_inspect(name).await?;
    let has = Platform::new(image.os.as_deref(), image.architecture.as_deref(), image.variant.as_deref());
    match wanted.is_met_by(&has) {
        true => Ok(()),
        false => Err(mismatch(name, &has, wanted)),
    }
}

fn mismatch(name: &str, has: &dyn fmt::Display, wanted: &dyn fmt::Display) -> ApiError {
    ApiError::new(
        StatusCode::NOT_FOUND,
        format!(
            "image with reference {name} was found but its platform ({has}) does not match the specified platform ({wanted})"
        ),
    )
}

/// An operating system, an architecture and its variant, in Go's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Platform {
    os: String,
    /// `None`: any.
    architecture: Option<String>,
    variant: Option<String>,
}

impl Platform {
    /// What an image says of itself.
    pub(crate) fn new(os: Option<&str>, architecture: Option<&str>, variant: Option<&str>) -> Self {
        let given = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_ascii_lowercase);
        Self {
            os: given(os).unwrap_or_else(|| "linux".to_owned()),
            architecture: given(architecture),
            variant: given(variant),
        }
    }

    /// Whether `has` is what is wanted here. The variant of 64-bit ARM that everybody means needs no mention.
    pub(crate) fn is_met_by(&self, has: &Self) -> bool {
        let variant = |platform: &Self| platform.variant.clone().filter(|v| v != "v8" && v != "v1");
        self.os == has.os
            && (self.architecture.is_none() || self.architecture == has.architecture)
            && (self.variant.is_none() || variant(self) == variant(has))
    }
}

impl FromStr for Platform {
    type Err = ApiError;

    fn from_str(text: &str) -> Result<Self, ApiError> {
        let parts: Vec<&str> = text.split('/').collect();
        let well_formed = |part: &&str| {
            !part.is_empty()
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
        };
        let (os, architecture, variant) = match parts[..] {
            _ if !parts.iter().all(well_formed) => return Err(malformed(text)),
            ["linux" | "windows" | "darwin" | "freebsd"] => (parts[0], None, None),
            [architecture] => ("linux", Some(architecture), None),
            [os, architecture] => (os, Some(architecture), None),
            [os, architecture, variant] => (os, Some(architecture), Some(variant)),
            _ => return Err(malformed(text)),
        };
        let architecture = architecture.map(|name| match name {
            "x86_64" | "x86-64" => "amd64",
            "aarch64" => "arm64",
            name => name,
        });
        Ok(Self::new(Some(os), architecture, variant))
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.os)?;
        for part in [&self.architecture, &self.variant].into_iter().flatten() {
            write!(f, "/{part}")?;
        }
        Ok(())
    }
}

fn malformed(text: &str) -> ApiError {
    ApiError::invalid(format!("{text:?}: cannot parse platform specifier: want os/architecture[/variant]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn met(wanted: &str, has: &str) -> bool {
        wanted.parse::<Platform>().unwrap().is_met_by(&has.parse().unwrap())
    }

    #[test]
    fn an_image_meets_the_platform_that_names_it() {
        for wanted in ["linux/amd64", "amd64", "linux", "linux/x86_64", "LINUX/AMD64"] {
            assert!(met(wanted, "linux/amd64"), "{wanted}");
        }
        assert!(met("linux/arm64/v8", "linux/arm64") && met("arm64", "linux/arm64/v8"));
        assert!(!met("linux/arm64", "linux/amd64") && !met("windows/amd64", "linux/amd64"));
        assert!(!met("linux/arm/v6", "linux/arm/v7"));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["foo/bar/baz/qux", "linux/", "", "a b"] {
            assert!(text.parse::<Platform>().is_err(), "{text}");
        }
    }
}
