//! Fuzzing of what comes by the sockets: questions of containers, and answers of name servers.

use hickory_proto::op::Message;
use minke_testkit::fuzz::{Input, REFUSED, Suite, Target, Verdict, broken, holds};

use crate::{
    Endpoint, Link, Membership, View, Zones,
    forward::{accepted, fit},
    query::{Asked, Transport},
    server::answer::{Step, answer},
    wire::{self, HEADER},
};

const SUITE: Suite = Suite { corpus: concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus"), targets: TARGETS };

const TARGETS: &[Target] = &[
    Target {
        name: "dns-question",
        input: Input::Message,
        tries: 20_000,
        begin: || {
            let (view, zones) = known();
            Box::new(move |message| question(message, &view, &zones))
        },
    },
    Target { name: "dns-answer", input: Input::Message, tries: 20_000, begin: || Box::new(answer_of_others) },
];

#[test]
fn no_question_breaks_the_server() {
    SUITE.run("dns-question");
}

#[test]
fn no_answer_of_a_name_server_breaks_what_passes_it_on() {
    SUITE.run("dns-answer");
}

#[test]
fn every_target_has_inputs_to_begin_with_that_it_takes() {
    SUITE.expect_corpus_is_taken();
}

/// A network with a name of many addresses, and a link.
fn known() -> (View, Zones) {
    let zones = Zones::new();
    for n in 0..300u16 {
        let [high, low] = n.to_be_bytes();
        let ipv6 = [0xfd00, 0, 0, 0, 0, 0, 0, n].into();
        let endpoint = Endpoint {
            names: vec![format!("c{n}"), "web".into(), "a.b".into()],
            ipv4: Some([10, 0, high, low].into()),
            ipv6: Some(ipv6),
        };
        zones.insert(&"1".into(), n.to_string().into(), endpoint);
    }
    let mut member = Membership::new("1".into(), "front");
    member.links.push(Link { alias: "link".into(), target: "c7".into() });
    (View { networks: vec![member], forwards: true, ..View::default() }, zones)
}

/// Whatever is sent: what comes back is a message for that question, no longer than its sender takes.
fn question(message: &[u8], view: &View, zones: &Zones) -> Verdict {
    let mut outcomes = Vec::new();
    for transport in [Transport::Udp, Transport::Tcp] {
        outcomes.push(match answer(message, transport, view, &zones.read()) {
            Step::Ignore => return Ok(format!("{REFUSED}silence")),
            Step::Forward(asked) => {
                holds("what is asked for is what was sent", &asked, message.starts_with(&asked.message))?;
                "forwarded".to_owned()
            }
            Step::Answer(reply) => answered(message, &reply, transport)?,
        });
    }
    Ok(outcomes.join(", by TCP "))
}

fn answered(message: &[u8], reply: &[u8], transport: Transport) -> Verdict {
    holds("an answer has its question's number", reply, reply[..2] == message[..2])?;
    holds("an answer is one", reply, reply[2] & 0x80 != 0)?;
    let read = read(reply)?;
    let code = u16::from(read.metadata.response_code);
    let Ok(asked) = Asked::read(message, transport) else {
        holds("a refusal amplifies nothing", reply, reply.len() <= HEADER + 11)?;
        return Ok(format!("{REFUSED}{code}"));
    };
    holds("an answer fits", (reply.len(), asked.limit()), reply.len() <= asked.limit())?;
    let question = &message[HEADER..asked.question_end];
    holds("the question comes back", reply, reply[HEADER..asked.question_end] == *question)?;
    holds("EDNS is answered in EDNS", reply, read.edns.is_some() == asked.edns.is_some())?;
    let (kind, count) = (asked.question.query_type, read.answers.len().min(2));
    Ok(format!("taken: {kind}, {code}, {count} records, cut {}", read.metadata.truncation))
}

/// An answer is taken for its own question only, and what is passed on is a message that fits.
fn answer_of_others(answer: &[u8]) -> Verdict {
    const NUMBER: u16 = 0x1234;
    let question =
        b"\xab\xcd\x01\x00\0\x01\0\0\0\0\0\x01\x03wEb\x07example\0\0\x01\0\x01\0\0\x29\x02\x58\0\0\0\0\0\0";
    let asked = Asked::read(question, Transport::Udp).map_err(|error| broken("it is a question", error))?;
    let Some(accepted) = accepted(answer, NUMBER, &asked) else { return Ok(format!("{REFUSED}no answer")) };
    let fitting = fit(accepted.clone(), &asked);
    holds("what is passed on fits", fitting.len(), fitting.len() <= asked.limit())?;
    holds("it has the client's number", &fitting, fitting[..2] == question[..2])?;
    holds("it has the client's question", &fitting, fitting[12..29] == question[12..29])?;
    if fitting.len() == accepted.len() {
        return Ok("taken: whole".into());
    }
    let records = (0..3).map(|section| usize::from(wire::number(&fitting, 6 + 2 * section))).sum::<usize>();
    let mut end = asked.question_end;
    for _ in 0..records {
        end = wire::record(&fitting, end).ok_or_else(|| broken("records are whole", &fitting))?.end;
    }
    holds("nothing is behind the records", &fitting, end == fitting.len())?;
    Ok(format!("taken: cut, with records: {}, with options: {}", fitting[7] > 0, fitting[11] > 0))
}

/// A message that others can read.
fn read(message: &[u8]) -> Result<Message, String> {
    Message::from_vec(message).map_err(|error| broken(&format!("it can be read: {error}"), message))
}
