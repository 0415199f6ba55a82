//! Local files as request bodies: read into memory in pieces, or streamed where a piece is large.

use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use outrigger_door::{Failure, Reason};
use tokio::task::JoinHandle;

/// Bytes that are read from disk at once.
const READ: u64 = 512 * 1024;

/// Reads exactly these bytes; blocks.
pub(super) fn read_exact(file: &std::fs::File, offset: u64, length: u64) -> std::io::Result<Bytes> {
    let mut buffer = vec![0; usize::try_from(length).map_err(|_| std::io::ErrorKind::OutOfMemory)?];
    file.read_exact_at(&mut buffer, offset)?;
    Ok(buffer.into())
}

/// What a failed read means: a file that is shorter than it was is one that somebody writes to.
pub(super) fn read_failure(path: &str, error: &std::io::Error) -> Failure {
    if error.kind() == std::io::ErrorKind::UnexpectedEof {
        return changed(path);
    }
    Failure::new(Reason::Internal, format!("cannot read {path}: {error}"))
}

/// A file that does not stay as it is.
pub(super) fn changed(path: &str) -> Failure {
    Failure::new(
        Reason::Conflict,
        format!("{path} changed while it was uploaded: upload it again when nothing writes to it"),
    )
    .retryable()
}

/// A piece of a file as a body that can be sent again.
pub(super) fn streamed(file: Arc<std::fs::File>, offset: u64, length: u64) -> ByteStream {
    let body = SdkBody::retryable(move || {
        SdkBody::from_body_1_x(FilePiece { file: Arc::clone(&file), offset, left: length, reading: None })
    });
    ByteStream::new(body)
}

struct FilePiece {
    file: Arc<std::fs::File>,
    offset: u64,
    left: u64,
    reading: Option<JoinHandle<std::io::Result<Bytes>>>,
}

impl Body for FilePiece {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let (offset, length) = (self.offset, self.left.min(READ));
        let file = Arc::clone(&self.file);
        let reading =
            self.reading.get_or_insert_with(|| tokio::task::spawn_blocking(move || read_exact(&file, offset, length)));
        let answer = ready!(Pin::new(reading).poll(context));
        self.reading = None;
        let bytes = match answer {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(error)) => return Poll::Ready(Some(Err(error))),
            Err(error) => return Poll::Ready(Some(Err(std::io::Error::other(error)))),
        };
        self.offset += bytes.len() as u64;
        self.left -= bytes.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
