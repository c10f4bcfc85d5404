//! Fuzzing of what receives a client's files. The harness is the tests' own ([`minke_testkit::fuzz`]); packets are written as
//! JSON, so that changed ones still are packets.

use std::path::Path;

use bytes::Bytes;
use minke_testkit::fuzz::{Input, REFUSED, Suite, TAKEN, Target, Verdict, holds, shown};
use serde::Deserialize;

use crate::files::SyncError;
use crate::files::receiver::{Beside, Receiver};
use crate::pb::fsutil::{Kind, Packet, Stat};

const SUITE: Suite = Suite { corpus: concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus"), targets: TARGETS };

const TARGETS: &[Target] =
    &[Target { name: "files-packets", input: Input::Json, tries: 2_000, begin: || Box::new(packets) }];

#[test]
fn no_packet_touches_what_is_outside_its_folder() {
    SUITE.run("files-packets");
}

#[test]
fn every_target_has_inputs_to_begin_with_that_it_takes() {
    SUITE.expect_corpus_is_taken();
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Said {
    kind: i32,
    path: Option<String>,
    mode: u32,
    size: i64,
    time: i64,
    link: String,
    id: u32,
    data: String,
}

impl From<Said> for Packet {
    fn from(said: Said) -> Self {
        let Said { kind, path, mode, size, time, link, id, data } = said;
        let stat =
            path.map(|path| Stat { path, mode, size, mod_time: time, linkname: link, ..Stat::default() });
        Self { kind, stat, id, data: Bytes::from(data) }
    }
}

/// Twice into the same folder, beside which there is something that must stay as it is.
fn packets(text: &[u8]) -> Verdict {
    into_a_folder(text, Beside::Stays)?;
    into_a_folder(text, Beside::Goes)
}

fn into_a_folder(text: &[u8], beside: Beside) -> Verdict {
    let Ok(said) = serde_json::from_slice::<Vec<Said>>(text) else {
        return Ok(format!("{REFUSED}no packets"));
    };
    let packets: Vec<Packet> = said.into_iter().map(Into::into).collect();
    let root = tempfile::tempdir().map_err(|error| error.to_string())?;
    let (inside, outside) = (root.path().join("inside"), root.path().join("outside"));
    for folder in [&inside, &outside] {
        std::fs::create_dir(folder).map_err(|error| error.to_string())?;
    }
    std::fs::write(outside.join("kept"), "kept").map_err(|error| error.to_string())?;
    let outcomes = [receive(&inside, &packets, beside), receive(&inside, &packets, beside)];
    let kept = std::fs::read_to_string(outside.join("kept")).is_ok_and(|text| text == "kept");
    let names = |folder: &Path| std::fs::read_dir(folder).map(Iterator::count).unwrap_or_default();
    holds(
        "nothing outside is touched",
        names(&outside),
        kept && names(&outside) == 1 && names(root.path()) == 2,
    )?;
    let [first, second] = outcomes;
    match (first, second) {
        (Ok(asked), Ok(again)) => {
            holds("what is complete is asked for at most as often again", (asked, again), again <= asked)?;
            Ok(format!("{TAKEN}: {asked} {again}"))
        }
        (Err(error), _) | (_, Err(error)) => Ok(format!("{REFUSED}{}", shown(&error)?)),
    }
}

fn receive(folder: &Path, packets: &[Packet], beside: Beside) -> Result<usize, SyncError> {
    let mut receiver = Receiver::new(folder, beside)?;
    let mut asked = 0;
    for packet in packets {
        // What isn't asked for the second time isn't sent.
        let is_data = packet.kind() == Kind::Data;
        match receiver.packet(packet.clone()) {
            Ok(wishes) => asked += wishes.len(),
            Err(SyncError::Unasked(_)) if is_data => {}
            Err(error) => return Err(error),
        }
    }
    match receiver.is_complete() {
        true => receiver.finish().map(|()| asked),
        false => Err(SyncError::Sender("it ended before all was sent".to_owned())),
    }
}
