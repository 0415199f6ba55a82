use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};

/// A body that is either held whole or passed on piece by piece.
pub(crate) enum Body {
    Whole(Full<Bytes>),
    Passing(Passing),
}

/// Somebody else's body, counted while it passes and cut off where a rule says so.
pub(crate) struct Passing {
    inner: Incoming,
    count: Arc<AtomicU64>,
    cut_after: Option<u64>,
    on_cut: Option<Box<dyn FnOnce() + Send>>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("cut off by a fault rule")]
    Cut,
    #[error(transparent)]
    Hyper(#[from] hyper::Error),
}

impl Body {
    pub(crate) fn whole(bytes: impl Into<Bytes>) -> Self {
        Self::Whole(Full::new(bytes.into()))
    }

    pub(crate) fn passing(inner: Incoming, count: Arc<AtomicU64>) -> Self {
        Self::Passing(Passing { inner, count, cut_after: None, on_cut: None })
    }

    /// A body that breaks off after this many bytes; `on_cut` runs at that moment.
    pub(crate) fn cut(inner: Incoming, count: Arc<AtomicU64>, after: u64, on_cut: Box<dyn FnOnce() + Send>) -> Self {
        Self::Passing(Passing { inner, count, cut_after: Some(after), on_cut: Some(on_cut) })
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        match self.get_mut() {
            Self::Whole(body) => Pin::new(body).poll_frame(context).map_err(|never| match never {}),
            Self::Passing(body) => body.poll(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_end_stream(),
            Self::Passing(body) => body.inner.is_end_stream() && body.cut_after.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => body.size_hint(),
            Self::Passing(body) => body.inner.size_hint(),
        }
    }
}

impl Passing {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.cut_after == Some(0) {
            if let Some(on_cut) = self.on_cut.take() {
                on_cut();
            }
            return Poll::Ready(Some(Err(BodyError::Cut)));
        }
        let Poll::Ready(next) = Pin::new(&mut self.inner).poll_frame(context) else { return Poll::Pending };
        let frame = match next {
            None if self.cut_after.is_some() => return self.cut_now(),
            None => return Poll::Ready(None),
            Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
            Some(Ok(frame)) => frame,
        };
        let Ok(mut data) = frame.into_data() else { return self.poll(context) };
        if let Some(left) = &mut self.cut_after {
            data.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= (data.len() as u64).min(*left);
        }
        self.count.fetch_add(data.len() as u64, Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    /// The body was shorter than the rule thought: it still ends in a break, or the rule would do nothing.
    fn cut_now(&mut self) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(on_cut) = self.on_cut.take() {
            on_cut();
        }
        Poll::Ready(Some(Err(BodyError::Cut)))
    }
}
