//! `Session`: a client's session inside of a call, for clients that have no second connection for it (several builds of
//! `docker buildx bake` share one so). Each message holds bytes of the connection that `POST /session` would be.

use std::sync::Arc;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use crate::Shared;
use crate::grpc::{Call, Reply, Request, Status, frame};
use crate::pb::session::BytesMessage;

/// Bytes of a message, and of those that wait in each direction.
const PIECE: usize = 64 * 1024;

/// Keeps a client's session until it or the call ends.
///
/// # Errors
/// When what the headers say of it can't be had.
pub(crate) fn session(shared: &Arc<Shared>, request: Request) -> Result<Reply, Status> {
    let headers = request.headers.clone();
    shared.sessions.check(&headers).map_err(Status::invalid)?;
    let sessions = shared.sessions.clone();
    Ok(request.converse(move |call| async move {
        let (near, far) = tokio::io::duplex(PIECE);
        tokio::select! {
            carried = carry(call, far) => carried,
            () = sessions.run(&headers, near) => Ok(()),
        }
    }))
}

/// Carries bytes both ways until one side ends.
async fn carry(mut call: Call, io: DuplexStream) -> Result<(), Status> {
    let (mut read, mut write) = tokio::io::split(io);
    let Some(sender) = call.sender() else { return Ok(()) };
    call.close();
    let said = async {
        loop {
            let mut data = BytesMut::with_capacity(PIECE);
            match read.read_buf(&mut data).await {
                Ok(count) if count > 0 => {}
                _ => return Ok(()),
            }
            if sender.send(frame(&BytesMessage { data: data.freeze() })).await.is_err() {
                return Ok(());
            }
        }
    };
    let heard = async {
        while let Some(message) = call.next::<BytesMessage>().await? {
            if write.write_all(&message.data).await.is_err() {
                return Ok(());
            }
        }
        Ok(())
    };
    tokio::select! {
        ended = said => ended,
        ended = heard => ended,
    }
}
