//! SSH agents: the engine's steps reach them through the session, and may list their keys and have them sign. All else that
//! an agent can do (take keys, forget them, be locked) is refused before it hears of it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bytes::{Buf, Bytes, BytesMut};
use minke_buildkit_wire::grpc::{Call, Code, Reply, Request, Status};
use minke_buildkit_wire::pb::Empty;
use minke_buildkit_wire::pb::session::{BytesMessage, CheckAgentRequest};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::header;
use crate::options::Agent;

/// Which agent a call is for; without, the default one.
const ID: &str = "buildkit.ssh.id";
/// The name of the default one.
const DEFAULT: &str = "default";
/// The largest message of the agent protocol, as in OpenSSH.
const LARGEST: usize = 256 * 1024;
/// Bytes read from the agent at once.
const CHUNK: usize = 16 * 1024;

/// What may be asked: for the keys, and for a signature (draft-ietf-sshm-ssh-agent, 5).
const ALLOWED: [u8; 2] = [11, 13];
/// The answer to all else: `SSH_AGENT_FAILURE`.
const FAILURE: [u8; 5] = [0, 0, 0, 1, 5];

/// The agents of a build.
#[derive(Default)]
pub(super) struct Agents(BTreeMap<String, PathBuf>);

impl Agents {
    pub(super) fn new(agents: Vec<Agent>) -> Self {
        Self(agents.into_iter().map(|agent| (agent.id, agent.socket)).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn find(&self, id: &str) -> Result<&PathBuf, Status> {
        let id = if id.is_empty() { DEFAULT } else { id };
        self.0.get(id).ok_or_else(|| Status::new(Code::NotFound, format!("unset ssh forward key {id}")))
    }

    pub(super) fn check(&self, asked: &CheckAgentRequest) -> Result<Empty, Status> {
        self.find(&asked.id).map(|_| Empty {})
    }

    pub(super) async fn forward(&self, request: Request) -> Result<Reply, Status> {
        let socket = self.find(header(&request, ID))?;
        let agent = UnixStream::connect(socket).await.map_err(|error| {
            Status::unknown(format!("connecting to the ssh agent at {}: {error}", socket.display()))
        })?;
        Ok(request.converse(|call| forward(call, agent)))
    }
}

/// Carries bytes both ways until either side ends.
async fn forward(mut call: Call, agent: UnixStream) -> Result<(), Status> {
    let (mut from_agent, mut to_agent) = agent.into_split();
    let mut buffer = vec![0; CHUNK];
    let mut asked = BytesMut::new();
    loop {
        tokio::select! {
            count = from_agent.read(&mut buffer) => match count {
                Ok(count) if count > 0 => {
                    call.send(&BytesMessage { data: Bytes::copy_from_slice(&buffer[..count]) }).await?;
                }
                _ => return Ok(()),
            },
            message = call.next::<BytesMessage>() => {
                let Some(message) = message? else { return Ok(()) };
                asked.extend_from_slice(&message.data);
                while let Some(question) = next(&mut asked)? {
                    if ALLOWED.contains(&question[4]) {
                        if to_agent.write_all(&question).await.is_err() { return Ok(()) }
                    } else {
                        call.send(&BytesMessage { data: Bytes::from_static(&FAILURE) }).await?;
                    }
                }
            }
        }
    }
}

/// The next whole message: four bytes of its length, one of its type, and the rest.
fn next(asked: &mut BytesMut) -> Result<Option<Bytes>, Status> {
    let Some(mut head) = asked.get(..4) else { return Ok(None) };
    let length = head.get_u32() as usize;
    if length == 0 || length > LARGEST {
        return Err(Status::invalid(format!("no message for an ssh agent has {length} bytes")));
    }
    Ok((asked.len() >= 4 + length).then(|| asked.split_to(4 + length).freeze()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_taken_whole_and_impossible_ones_are_refused() {
        let mut asked = BytesMut::from(&[0, 0, 0, 1, 11, 0, 0, 0, 2, 13][..]);
        assert_eq!(next(&mut asked).unwrap().unwrap()[..], [0, 0, 0, 1, 11]);
        assert_eq!(next(&mut asked).unwrap(), None);
        asked.extend_from_slice(&[7]);
        assert_eq!(next(&mut asked).unwrap().unwrap()[..], [0, 0, 0, 2, 13, 7]);
        for length in [[0, 0, 0, 0], [255, 255, 255, 255]] {
            assert!(next(&mut BytesMut::from(&length[..])).is_err());
        }
    }

    #[tokio::test]
    async fn an_agent_is_asked_for_keys_and_never_told_to_forget_them() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("agent");
        let listener = tokio::net::UnixListener::bind(&socket).unwrap();
        let agents = Agents::new(vec![Agent { id: "default".into(), socket }]);
        let (near, far) = tokio::io::duplex(4096);
        let offer = super::super::Offer { agents, ..Default::default() };
        tokio::spawn(minke_buildkit_wire::grpc::serve(far, super::super::Session(offer.into())));
        let (channel, connection) = minke_buildkit_wire::grpc::Channel::open(near).await.unwrap();
        tokio::spawn(connection);
        let mut call = channel.call(super::super::FORWARD_AGENT, Default::default()).unwrap();
        let said = BytesMessage { data: Bytes::from_static(&[0, 0, 0, 1, 19, 0, 0, 0, 1, 11]) };
        call.send(&said).await.unwrap();
        let (mut agent, _) = listener.accept().await.unwrap();
        let mut heard = [0; 5];
        agent.read_exact(&mut heard).await.unwrap();
        assert_eq!(heard, [0, 0, 0, 1, 11]);
        agent.write_all(b"keys").await.unwrap();
        let mut answer = Vec::new();
        while answer.len() < FAILURE.len() + 4 {
            answer.extend_from_slice(&call.next::<BytesMessage>().await.unwrap().unwrap().data);
        }
        assert_eq!(answer, [&FAILURE[..], b"keys"].concat());
    }
}
