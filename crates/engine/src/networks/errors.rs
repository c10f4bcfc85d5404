//! Which kind of error the network crate's are to users. The one place where they are mapped.

use minke_network::{AttachError, CreateError, RemoveError};

use crate::{Error, ErrorKind, error};

/// Why a network could not be made.
pub(super) fn create(error: &CreateError) -> ErrorKind {
    match error {
        CreateError::Option(_) | CreateError::Pool(_) | CreateError::NoFreePool => {
            ErrorKind::InvalidParameter
        }
        CreateError::Overlap | CreateError::SeveralSubnets | CreateError::Conflict(_) => ErrorKind::Forbidden,
        CreateError::Exists(_) => ErrorKind::Conflict,
        _ => ErrorKind::Internal,
    }
}

/// Why a network could not be removed.
pub(super) fn remove(error: &RemoveError) -> ErrorKind {
    match error {
        RemoveError::InUse { .. } => ErrorKind::Forbidden,
        _ => ErrorKind::Internal,
    }
}

/// Why a container could not be put on a network, behind what was being done.
pub(crate) fn attach(action: &str, error: &AttachError) -> Error {
    let kind = match error {
        AttachError::Address { .. } | AttachError::Twice(_) => ErrorKind::Forbidden,
        AttachError::Endpoint(_) | AttachError::NoParent(_) => ErrorKind::InvalidParameter,
        AttachError::NoDriver(_) => ErrorKind::NotImplemented,
        AttachError::NoAddress { .. } => ErrorKind::Unavailable,
        AttachError::NoNetwork(_) => ErrorKind::NotFound,
        _ => ErrorKind::Internal,
    };
    let text = error::chain(error);
    Error::new(kind, if action.is_empty() { text } else { format!("{action}: {text}") })
}
