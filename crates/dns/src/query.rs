//! What a container sent, read with suspicion: one question, and at most one set of EDNS options.
//!
//! hickory-proto reads header and question. Records behind those are only counted and skipped, so a container can't reach
//! any of the readers of some fifty types of data.

use hickory_proto::{
    op::{Header, MessageType, OpCode, Query, ResponseCode},
    rr::RecordType,
    serialize::binary::{BinDecodable, BinDecoder},
};

use crate::wire::{self, HEADER};

/// The type of the record with EDNS options.
pub(crate) const OPT: u16 = 41;
/// What a client takes by UDP that doesn't say otherwise (RFC 1035, section 4.2.1).
const SMALLEST_LIMIT: u16 = 512;
/// The most that is sent by UDP, whatever a client says it takes.
const LARGEST_LIMIT: u16 = 4096;

/// How a question came, and so how its answer goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    /// A datagram.
    Udp,
    /// A connection.
    Tcp,
}

/// A question that can be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    /// The message, without what may follow it.
    pub(crate) message: Vec<u8>,
    pub(crate) question: Query,
    /// Where the question ends.
    pub(crate) question_end: usize,
    pub(crate) edns: Option<Edns>,
    pub(crate) transport: Transport,
}

/// What a client said about itself (RFC 6891).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Edns {
    pub(crate) payload: u16,
    pub(crate) wants_dnssec: bool,
}

/// Why a message isn't answered by a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It is no question: silence. An answer to an answer is how two servers talk to each other for ever.
    Silence,
    /// The code to answer with.
    Code(ResponseCode),
}

impl Asked {
    /// Reads a message.
    pub(crate) fn read(message: &[u8], transport: Transport) -> Result<Self, Refusal> {
        let mut decoder = BinDecoder::new(message);
        let header = Header::read(&mut decoder).map_err(|_| Refusal::Silence)?;
        if header.metadata.message_type == MessageType::Response {
            return Err(Refusal::Silence);
        }
        if header.metadata.op_code != OpCode::Query {
            return Err(Refusal::Code(ResponseCode::NotImp));
        }
        let counts = header.counts;
        if (counts.queries, counts.answers, counts.authorities) != (1, 0, 0) {
            return Err(Refusal::Code(ResponseCode::FormErr));
        }
        let question = Query::read(&mut decoder).map_err(|_| Refusal::Code(ResponseCode::FormErr))?;
        if matches!(question.query_type, RecordType::AXFR | RecordType::IXFR) {
            return Err(Refusal::Code(ResponseCode::Refused));
        }
        let question_end = decoder.index();
        // What points elsewhere can't be copied: hardly anything precedes a question that a name could point to.
        let plain: usize = question.name.iter().map(|label| label.len() + 1).sum();
        if question_end != HEADER + plain + 1 + 4 {
            return Err(Refusal::Code(ResponseCode::FormErr));
        }
        let (edns, end) = options(message, question_end, counts.additionals)?;
        Ok(Self { message: message[..end].to_vec(), question, question_end, edns, transport })
    }

    /// How many bytes of an answer the client takes.
    pub(crate) fn limit(&self) -> usize {
        match (self.transport, self.edns) {
            (Transport::Tcp, _) => usize::from(u16::MAX),
            (Transport::Udp, None) => usize::from(SMALLEST_LIMIT),
            (Transport::Udp, Some(edns)) => usize::from(edns.payload.clamp(SMALLEST_LIMIT, LARGEST_LIMIT)),
        }
    }
}

/// The EDNS options among the additional records, and where the last of those ends.
fn options(message: &[u8], start: usize, count: u16) -> Result<(Option<Edns>, usize), Refusal> {
    let malformed = Refusal::Code(ResponseCode::FormErr);
    let (mut edns, mut end) = (None, start);
    for _ in 0..count {
        let record = wire::record(message, end).ok_or(malformed)?;
        end = record.end;
        if record.kind != OPT {
            continue;
        }
        if edns.is_some() || !record.is_root {
            return Err(malformed);
        }
        let version = record.ttl >> 16 & 0xff;
        if version != 0 {
            return Err(Refusal::Code(ResponseCode::BADVERS));
        }
        edns = Some(Edns { payload: record.class, wants_dnssec: record.ttl & 0x8000 != 0 });
    }
    Ok((edns, end))
}

/// Whether a message is long enough to be answered at all.
pub(crate) fn has_header(message: &[u8]) -> bool {
    message.len() >= HEADER
}
