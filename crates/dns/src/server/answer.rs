//! What is said to a message: pure, but for the turn that addresses take.

use hickory_proto::op::ResponseCode;

use crate::{
    lookup::{Local, lookup},
    query::{self, Asked, Refusal, Transport},
    reply,
    view::View,
    zones::Table,
};

/// What to do about a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing.
    Ignore,
    /// Send this.
    Answer(Vec<u8>),
    /// Ask others.
    Forward(Box<Asked>),
}

/// Decides about one message as a container sent it.
pub(crate) fn answer(message: &[u8], transport: Transport, view: &View, table: &Table) -> Step {
    if !query::has_header(message) {
        return Step::Ignore;
    }
    let asked = match Asked::read(message, transport) {
        Ok(asked) => asked,
        Err(Refusal::Silence) => return Step::Ignore,
        Err(Refusal::Code(code)) => return Step::Answer(reply::refusal(message, code)),
    };
    match lookup(&asked.question, view, table) {
        Local::Addresses(addresses) => Step::Answer(reply::addresses(&asked, &addresses)),
        Local::Pointer(name) => Step::Answer(reply::pointer(&asked, &name)),
        Local::NoData => Step::Answer(reply::code(&asked, ResponseCode::NoError)),
        Local::Unknown => Step::Forward(Box::new(asked)),
    }
}

#[cfg(test)]
mod tests;
