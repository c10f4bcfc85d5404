//! Moving files between a tar and a directory without ever leaving that directory.
//!
//! Images and containers are hostile: a tar may name `/etc/passwd`, climb with `..`, plant a symbolic
//! link and write through it, or claim sizes that fill the disk. Here every name is resolved by the
//! kernel beneath a directory handle (openat2), so no check can be raced and none can be forgotten.
//! Layers are unpacked and packed with it, and the engine's `docker cp` and `export` use it too.

mod entry;
mod error;
mod header;
mod limits;
mod name;
mod pack;
mod pax;
mod reader;
mod sparse;
mod tree;
mod unpack;
mod writer;

pub use crate::compression::decompress;
pub(crate) use entry::{Entry, EntryKind, Moment, printable};
pub use error::{PackError, UnpackError};
pub use limits::Limits;
pub(crate) use name::clean as clean_name;
pub use pack::{PackOptions, Packed, pack};
pub(crate) use reader::{ReadError, TarReader};
pub use unpack::{AbsoluteNames, Parents, UnpackOptions, Unpacked, unpack};
pub(crate) use writer::TarWriter;

/// Whether these are the first bytes of an uncompressed tar.
pub fn is_header(bytes: &[u8]) -> bool {
    bytes.first_chunk().is_some_and(|block| header::Header(block).checksum_holds())
}

/// How "this name is deleted" and "this directory hides the one below" are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Whiteouts {
    /// Between a layer's tar (`.wh.name`, `.wh..wh..opq`) and overlayfs (character device 0:0,
    /// `trusted.overlay.opaque`).
    Overlay,
    /// Names are only names.
    #[default]
    Plain,
}
