//! `minke cp`: Docker's rules for what a source and a destination mean, and the archives between.
//!
//! The API only knows "pack this path" and "unpack into this directory"; all else is decided here, see [`path`].
//! What comes out of a container is hostile: it is unpacked by minke-image's unpacker, which never follows a link
//! out of the destination, and is renamed only after it has been unpacked.

mod from_container;
pub(crate) mod path;
pub(crate) mod pipes;
mod stat;
mod to_container;

pub(crate) use from_container::from_container;
pub(crate) use to_container::to_container;

/// One `minke cp` with its flags.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub(crate) container: &'a str,
    /// The path of the container's side.
    pub(crate) inside: &'a str,
    /// The path of the host's side; `-` is a standard stream.
    pub(crate) outside: &'a str,
    /// `--follow-link`
    pub(crate) follow_link: bool,
    /// `--archive`: keep owners.
    pub(crate) keep_owners: bool,
}
