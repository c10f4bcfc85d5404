//! SSH agents: the engine's steps reach them through the session, and may list their keys and have them sign. All else that
//! an agent can do (take keys, forget them, be locked) is refused before it hears of it. For keys of files there is no agent:
//! they answer themselves.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use minke_buildkit_wire::grpc::{Call, Code, Reply, Request, Status};
use minke_buildkit_wire::pb::Empty;
use minke_buildkit_wire::pb::session::{BytesMessage, CheckAgentRequest};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::header;
use crate::keys::Keys;
use crate::options::{Agent, AgentSource};

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
pub(super) struct Agents(BTreeMap<String, AgentSource>);

impl Agents {
    pub(super) fn new(agents: Vec<Agent>) -> Self {
        Self(agents.into_iter().map(|agent| (agent.id, agent.source)).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn find(&self, id: &str) -> Result<&AgentSource, Status> {
        let id = if id.is_empty() { DEFAULT } else { id };
        self.0.get(id).ok_or_else(|| Status::new(Code::NotFound, format!("unset ssh forward key {id}")))
    }

    pub(super) fn check(&self, asked: &CheckAgentRequest) -> Result<Empty, Status> {
        self.find(&asked.id).map(|_| Empty {})
    }

    pub(super) async fn forward(&self, request: Request) -> Result<Reply, Status> {
        match self.find(header(&request, ID))? {
            AgentSource::Socket(socket) => {
                let agent = UnixStream::connect(socket).await.map_err(|error| {
                    Status::unknown(format!("connecting to the ssh agent at {}: {error}", socket.display()))
                })?;
                Ok(request.converse(|call| forward(call, agent)))
            }
            AgentSource::Keys(keys) => {
                let keys = Arc::clone(keys);
                Ok(request.converse(|call| answer(call, keys)))
            }
        }
    }
}

/// Answers with keys of files until the other side ends.
async fn answer(mut call: Call, keys: Arc<Keys>) -> Result<(), Status> {
    let mut asked = BytesMut::new();
    while let Some(message) = call.next::<BytesMessage>().await? {
        asked.extend_from_slice(&message.data);
        while let Some(question) = next(&mut asked)? {
            call.send(&BytesMessage { data: keys.answer(&question[4..]) }).await?;
        }
    }
    Ok(())
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
        let mut call = call(AgentSource::Socket(socket)).await;
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

    /// A call to the agent of this offer.
    async fn call(source: AgentSource) -> Call {
        let agents = Agents::new(vec![Agent { id: "default".into(), source }]);
        let (near, far) = tokio::io::duplex(4096);
        let offer = super::super::Offer { agents, ..Default::default() };
        tokio::spawn(minke_buildkit_wire::grpc::serve(far, super::super::Session(offer.into())));
        let (channel, connection) = minke_buildkit_wire::grpc::Channel::open(near).await.unwrap();
        tokio::spawn(connection);
        channel.call(super::super::FORWARD_AGENT, Default::default()).unwrap()
    }

    #[tokio::test]
    async fn keys_of_files_answer_message_by_message() {
        let keys = Keys::read([]).unwrap();
        let mut call = call(AgentSource::Keys(Arc::new(keys))).await;
        for part in [&[0, 0, 0, 1, 19, 0, 0][..], &[0, 1], &[11]] {
            call.send(&BytesMessage { data: Bytes::copy_from_slice(part) }).await.unwrap();
        }
        let mut answer = Vec::new();
        while answer.len() < FAILURE.len() + 9 {
            answer.extend_from_slice(&call.next::<BytesMessage>().await.unwrap().unwrap().data);
        }
        assert_eq!(answer, [&FAILURE[..], &[0, 0, 0, 5, 12, 0, 0, 0, 0]].concat());
        call.send(&BytesMessage { data: Bytes::from_static(&[0, 4, 0, 1, 13]) }).await.unwrap();
        let refused = call.next::<BytesMessage>().await.unwrap_err();
        assert!(refused.to_string().contains("262145 bytes"), "{refused}");
    }
}
