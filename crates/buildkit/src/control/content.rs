//! `containerd.services.content.v1.Content`, to be read: what the records of builds lead to.

use futures_util::stream;

use crate::Shared;
use crate::grpc::{Code, Reply, Request, Status};
use crate::pb::content::{Info, InfoRequest, InfoResponse, ReadContentRequest, ReadContentResponse};

/// The most bytes of one message: clients refuse more than 4 MiB.
const PIECE: usize = 1024 * 1024;

/// Answers a call.
///
/// # Errors
/// For content that no record leads to, and calls that would change it.
pub(crate) async fn call(shared: &Shared, method: &str, mut request: Request) -> Result<Reply, Status> {
    let find = |digest: &str| {
        let found = shared.history.content(digest);
        found.ok_or_else(|| Status::new(Code::NotFound, format!("content {digest}: not found")))
    };
    let length = |bytes: usize| i64::try_from(bytes).unwrap_or(i64::MAX);
    match method {
        "Info" => {
            let InfoRequest { digest } = request.messages.only().await?;
            let size = length(find(&digest)?.len());
            Ok(Reply::one(&InfoResponse { info: Some(Info { digest, size }) }))
        }
        "Read" => {
            let asked: ReadContentRequest = request.messages.only().await?;
            let content = find(&asked.digest)?;
            let begin = usize::try_from(asked.offset).unwrap_or(0);
            if begin > content.len() {
                let text = format!("offset {begin} of content {} with {} bytes", asked.digest, content.len());
                return Err(Status::invalid(text));
            }
            let most = usize::try_from(asked.size).unwrap_or(0);
            let end = if most == 0 { content.len() } else { content.len().min(begin.saturating_add(most)) };
            let pieces: Vec<_> = (begin..end).step_by(PIECE).map(|at| (at, end.min(at + PIECE))).collect();
            let pieces = pieces.into_iter().map(move |(at, to)| {
                Ok(ReadContentResponse { offset: length(at), data: content.slice(at..to) })
            });
            Ok(Reply::many(stream::iter(pieces)))
        }
        other => Err(Status::unimplemented(format!("{other} isn't served: content is only read here"))),
    }
}
