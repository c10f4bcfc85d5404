//! Whether bytes are the answer to a question. Pure.

use hickory_proto::op::ResponseCode;

use crate::{
    query::Asked,
    wire::{self, HEADER},
};

const RESPONSE: u16 = 0x8000;
const KIND: u16 = 0x7800;
const TRUNCATED: u16 = 0x0200;
const CODE: u16 = 0x000f;

/// A question as it is sent: with another number.
pub(super) fn numbered(asked: &Asked, number: u16) -> Vec<u8> {
    let mut message = asked.message.clone();
    message[..2].copy_from_slice(&number.to_be_bytes());
    message
}

/// The answer as its client gets it, with the client's number and the client's letters in the question; `None` when it
/// is no answer to the question that was sent under this number.
pub(crate) fn accepted(answer: &[u8], number: u16, asked: &Asked) -> Option<Vec<u8>> {
    if answer.len() < HEADER || wire::number(answer, 0) != number {
        return None;
    }
    let flags = wire::number(answer, 2);
    if flags & RESPONSE == 0 || flags & KIND != wire::number(&asked.message, 2) & KIND {
        return None;
    }
    let question = &asked.message[HEADER..asked.question_end];
    let mut accepted;
    match (wire::number(answer, 4), answer.get(HEADER..asked.question_end)) {
        (1, Some(echoed)) if is_same(echoed, question) => accepted = answer.to_vec(),
        // Some servers leave the question out when they can't answer it.
        (0, _) if answer.len() == HEADER && flags & CODE != 0 => {
            accepted = [&answer[..HEADER], question].concat();
            accepted[4..HEADER].copy_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
        }
        _ => return None,
    }
    accepted[..2].copy_from_slice(&asked.message[..2]);
    accepted[HEADER..asked.question_end].copy_from_slice(question);
    Some(accepted)
}

/// The name may differ in case, type and class may not.
fn is_same(echoed: &[u8], question: &[u8]) -> bool {
    let (name, rest) = question.split_at(question.len() - 4);
    echoed[name.len()..] == *rest && echoed[..name.len()].eq_ignore_ascii_case(name)
}

/// Whether there is more to the answer than UDP could carry.
pub(super) fn is_truncated(answer: &[u8]) -> bool {
    wire::number(answer, 2) & TRUNCATED != 0
}

/// Whether the server says that it can't tell, or won't: another one may.
pub(super) fn is_unable(answer: &[u8]) -> bool {
    let code = wire::number(answer, 2) & CODE;
    [ResponseCode::ServFail, ResponseCode::Refused].iter().any(|unable| u16::from(unable.low()) == code)
}
