//! One message on the wire: a byte that says whether it is compressed, four of its length, and the message.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;

use super::{Code, MESSAGE_LIMIT, Status};

/// Bytes before a message.
const HEAD: usize = 5;

/// A message as it is sent.
pub fn frame(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut out = BytesMut::with_capacity(HEAD + length);
    out.put_u8(0);
    out.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    message.encode_raw(&mut out);
    out.freeze()
}

/// Takes the next whole message out of what has come so far.
///
/// # Errors
/// When it is compressed (nobody was told that this is possible) or too large.
pub(super) fn next(pending: &mut BytesMut) -> Result<Option<Bytes>, Status> {
    let Some(mut head) = pending.get(..HEAD) else { return Ok(None) };
    if head.get_u8() != 0 {
        return Err(Status::new(Code::Unimplemented, "compressed messages are not understood"));
    }
    let length = head.get_u32() as usize;
    if length > MESSAGE_LIMIT {
        let text = format!("a message of {length} bytes is larger than the {MESSAGE_LIMIT} that are taken");
        return Err(Status::new(Code::ResourceExhausted, text));
    }
    if pending.len() < HEAD + length {
        pending.reserve(HEAD + length - pending.len());
        return Ok(None);
    }
    pending.advance(HEAD);
    Ok(Some(pending.split_to(length).freeze()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb::session::BytesMessage;

    fn message() -> BytesMessage {
        BytesMessage { data: vec![7; 300].into() }
    }

    #[test]
    fn a_message_comes_out_as_it_went_in_however_it_is_cut() {
        let wire = [frame(&message()), frame(&message())].concat();
        for cut in 0..wire.len() {
            let mut pending = BytesMut::from(&wire[..cut]);
            let mut found = Vec::new();
            while let Some(bytes) = next(&mut pending).unwrap() {
                found.push(bytes);
            }
            pending.extend_from_slice(&wire[cut..]);
            while let Some(bytes) = next(&mut pending).unwrap() {
                found.push(bytes);
            }
            assert_eq!(found.len(), 2, "cut at {cut}");
            assert!(pending.is_empty());
            assert!(found.into_iter().all(|bytes| BytesMessage::decode(bytes).unwrap() == message()));
        }
    }

    #[test]
    fn a_giant_length_is_refused_before_anything_is_reserved() {
        let mut pending = BytesMut::from(&[0, 255, 255, 255, 255][..]);
        assert_eq!(next(&mut pending).unwrap_err().code, Code::ResourceExhausted);
        let mut compressed = BytesMut::from(&[1, 0, 0, 0, 0][..]);
        assert_eq!(next(&mut compressed).unwrap_err().code, Code::Unimplemented);
    }
}
