//! A body that may end too early.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, SizeHint};

/// The bytes of an answer, in one piece. With `cut`, only their first half comes, and then the connection breaks.
#[derive(Debug)]
pub(crate) struct AnswerBody {
    left: Option<Bytes>,
    /// What Content-Length says.
    length: u64,
    cut: bool,
}

impl AnswerBody {
    pub(crate) fn new(bytes: Vec<u8>, cut: bool) -> Self {
        let length = bytes.len() as u64;
        let half = bytes.len() / 2;
        let bytes = Bytes::from(bytes);
        let left = if cut { bytes.slice(..half) } else { bytes };
        Self { left: Some(left).filter(|left| !left.is_empty()), length, cut }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if let Some(bytes) = self.left.take() {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        if std::mem::take(&mut self.cut) {
            return Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into())));
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_none() && !self.cut
    }

    fn size_hint(&self) -> SizeHint {
        match &self.left {
            None if !self.cut => SizeHint::with_exact(0),
            _ => SizeHint::with_exact(self.length),
        }
    }
}
