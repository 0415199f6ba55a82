use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, OnceLock},
};

use http::{Request, Response};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::{Builder, Runtime},
    task::{AbortHandle, JoinSet},
};

use crate::{
    body::Body,
    error::{EndpointError, Result},
    proxy::lock,
};

/// A small HTTP/1.1 server on 127.0.0.1 that ends with this value, its connections too.
#[derive(Debug)]
pub(crate) struct Listening {
    address: SocketAddr,
    accept: AbortHandle,
}

/// The client's end of a connection, for faults beneath HTTP.
#[derive(Debug, Clone)]
pub(crate) struct Peer(Arc<std::net::TcpStream>);

/// The connection is to break off without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection was broken off on purpose")]
pub(crate) struct Hangup;

impl Peer {
    /// Makes the connection end with a TCP reset instead of an orderly close. Runs on the servers' runtime only.
    pub(crate) fn reset(&self) {
        let reset = self.0.try_clone().and_then(TcpStream::from_std).and_then(|stream| stream.set_zero_linger());
        if let Err(error) = reset {
            tracing::warn!(%error, "a connection closes where it was to be reset");
        }
    }
}

impl Listening {
    pub(crate) fn start<H, F>(handler: H) -> Result<Self>
    where
        H: Fn(Request<Incoming>, Peer) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<Response<Body>, Hangup>> + Send + 'static,
    {
        let runtime = runtime()?;
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(EndpointError::Port)?;
        listener.set_nonblocking(true).map_err(EndpointError::Port)?;
        let address = listener.local_addr().map_err(EndpointError::Port)?;
        let guard = runtime.enter();
        let listener = TcpListener::from_std(listener).map_err(EndpointError::Port)?;
        drop(guard);
        let accept = runtime.spawn(accept(listener, handler)).abort_handle();
        Ok(Self { address, accept })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.accept.abort();
    }
}

/// The servers' own runtime, so that they answer whatever the caller does: a test may block its thread on a child
/// process that talks to them.
fn runtime() -> Result<&'static Runtime> {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    // Two callers must not make one each: the spare one would be dropped inside a runtime, which panics.
    static MAKING: Mutex<()> = Mutex::new(());
    let _making = lock(&MAKING);
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    let made = Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("endpoints")
        .enable_all()
        .build()
        .map_err(EndpointError::Port)?;
    Ok(RUNTIME.get_or_init(|| made))
}

async fn accept<H, F>(listener: TcpListener, handler: H)
where
    H: Fn(Request<Incoming>, Peer) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Response<Body>, Hangup>> + Send + 'static,
{
    // Its drop ends the connections when this task is aborted.
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                connections.spawn(connection(stream, handler.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn connection<H, F>(stream: TcpStream, handler: H)
where
    H: Fn(Request<Incoming>, Peer) -> F,
    F: Future<Output = Result<Response<Body>, Hangup>>,
{
    let Ok((stream, peer)) = split(stream) else { return };
    let service = service_fn(|request| handler(request, peer.clone()));
    // Errors are the client going away or a fault rule: both are meant.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

fn split(stream: TcpStream) -> io::Result<(TcpStream, Peer)> {
    stream.set_nodelay(true)?;
    let stream = stream.into_std()?;
    let peer = Peer(Arc::new(stream.try_clone()?));
    Ok((TcpStream::from_std(stream)?, peer))
}
