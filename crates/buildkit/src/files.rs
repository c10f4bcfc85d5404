//! A client's folders as they are received: the wire's own protocol, into folders of [`slots`] that keep what came.

pub(crate) mod slots;

pub(crate) use minke_buildkit_wire::files::{Beside, Everything, receive, send};
