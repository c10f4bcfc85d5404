//! The ids Docker users see: 64 hexadecimal digits for a container or a network, a digest for an image.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::Digest;

/// A container's id: 64 lower-case hexadecimal digits, made at random when it is created.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContainerId(String);

/// A network's id: 64 lower-case hexadecimal digits, made at random when it is created.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NetworkId(String);

/// An image's id: the digest of its configuration (OCI image specification, "ImageID").
pub type ImageId = Digest;

/// A string that is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an id: want 64 lower-case hexadecimal digits")]
pub struct IdError(pub String);

/// What all random ids have in common.
macro_rules! random_id {
    ($id:ident) => {
        impl $id {
            /// The id made of these 32 random bytes; the caller owns the source of randomness.
            pub fn from_random(bytes: [u8; 32]) -> Self {
                Self(Digest::from_bytes(bytes).hex())
            }

            /// All 64 digits.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The first 12 digits, as tables show it and as names are made of it: a container's default host name, a
            /// network's bridge.
            pub fn short(&self) -> &str {
                &self.0[..12]
            }
        }

        impl FromStr for $id {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Digest::from_hex(text).map(|_| Self(text.to_owned())).map_err(|_| IdError(text.to_owned()))
            }
        }

        impl TryFrom<String> for $id {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$id> for String {
            fn from(id: $id) -> Self {
                id.0
            }
        }

        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.short())
            }
        }
    };
}

random_id!(ContainerId);
random_id!(NetworkId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_random_id_has_64_digits_and_a_short_form_of_12() {
        let id = ContainerId::from_random([0xab; 32]);
        assert_eq!((id.as_str().len(), id.short()), (64, "abababababab"));
        assert_eq!(id.to_string().parse::<ContainerId>(), Ok(id));
    }

    #[test]
    fn names_are_not_ids() {
        assert!("web".parse::<ContainerId>().is_err());
        assert!("web".parse::<NetworkId>().is_err());
        assert!(serde_json::from_str::<ContainerId>("\"../../etc\"").is_err());
    }
}
