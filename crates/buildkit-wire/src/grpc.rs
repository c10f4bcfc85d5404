//! gRPC over a connection that is already there: a hijacked one, both as its server and as its client.
//!
//! What gRPC is on the wire is little: an HTTP/2 request per call, each message behind a byte and its length, the outcome
//! in the trailers. hyper does HTTP/2; these files are the rest. Whoever wants a service implements [`Service`]; whoever
//! calls one holds a [`Channel`].
//!
//! Limits: a message has at most [`MESSAGE_LIMIT`] bytes, a connection at most `STREAMS` calls at once.

mod channel;
mod frame;
mod messages;
mod server;
mod status;

pub use channel::{Call, Channel};
pub use frame::frame;
pub use messages::Messages;
pub use server::{Reply, Request, Service, serve};
pub use status::{Code, Detail, Status};

/// The most bytes of one message, as in BuildKit.
pub const MESSAGE_LIMIT: usize = 16 * 1024 * 1024;
/// The most calls at once on one connection.
const STREAMS: u32 = 256;
/// How far the other side may run ahead of a reader: of one call, of a connection.
const WINDOWS: (u32, u32) = (1024 * 1024, 4 * 1024 * 1024);
