//! An AWS endpoint on 127.0.0.1 that knows three operations, and may keep silent.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// How an endpoint answers writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Manner {
    /// At once.
    #[default]
    Answers,
    /// Never; the connection stays open.
    Silent,
    /// At once; another endpoint than that of the others.
    Apart,
}

/// The endpoint. Ends with its runtime.
#[derive(Debug)]
pub struct Endpoint {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicU64>,
}

impl Endpoint {
    /// Starts one. An answer may hold `said`, as a service may say anything.
    ///
    /// # Panics
    /// Where no port is free.
    pub async fn start(manner: Manner, said: &'static str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (requests, connections) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<AtomicU64>::default());
        let (kept, count) = (requests.clone(), connections.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(serve(stream, manner, said, kept.clone()));
            }
        });
        Self { address, requests, connections }
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Takes the names of the operations that were asked for, in order.
    pub fn take_requests(&self) -> Vec<String> {
        std::mem::take(&mut self.requests.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Connections so far.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }
}

/// Serves one connection; ends when the other side does, or says what is no HTTP.
async fn serve(mut stream: TcpStream, manner: Manner, said: &'static str, requests: Arc<Mutex<Vec<String>>>) {
    let mut buffer = Vec::new();
    while let Some(request) = read_request(&mut stream, &mut buffer).await {
        let operation = operation(&request);
        requests.lock().unwrap_or_else(PoisonError::into_inner).push(operation.clone());
        let (kind, body) = match operation.as_str() {
            "GetCallerIdentity" => ("text/xml", caller_identity(said)),
            "StartInstances" | "CancelCommand" if manner == Manner::Silent => {
                // Until the client gives up.
                drop(stream.read(&mut [0; 1]).await);
                return;
            }
            "StartInstances" => ("text/xml", start_instances()),
            "CancelCommand" => ("application/x-amz-json-1.1", "{}".to_owned()),
            _ => ("text/plain", String::new()),
        };
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\nx-amzn-requestid: 11111111-2222\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        if stream.write_all(format!("{head}{body}").as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
            let length = head
                .lines()
                .filter_map(|line| line.split_once(':'))
                .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
                .and_then(|(_, value)| value.trim().parse::<usize>().ok())
                .unwrap_or(0);
            let whole = end + 4 + length;
            if buffer.len() >= whole {
                let request = String::from_utf8_lossy(&buffer[..whole]).into_owned();
                buffer.drain(..whole);
                return Some(request);
            }
        }
        let mut piece = [0; 8 * 1024];
        match stream.read(&mut piece).await {
            Ok(0) | Err(_) => return None,
            Ok(read) => buffer.extend_from_slice(&piece[..read]),
        }
    }
}

/// `Action=` of the Query protocol, `x-amz-target` of the JSON protocol, or the request line.
fn operation(request: &str) -> String {
    let (head, body) = request.split_once("\r\n\r\n").unwrap_or((request, ""));
    if let Some(action) = body.split('&').find_map(|pair| pair.strip_prefix("Action=")) {
        return action.to_owned();
    }
    let target = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("x-amz-target"));
    if let Some((_, target)) = target {
        return target.rsplit('.').next().unwrap_or(target).trim().to_owned();
    }
    head.lines().next().unwrap_or_default().to_owned()
}

fn caller_identity(said: &str) -> String {
    format!(
        "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
         <UserId>AIDA</UserId><Account>111122223333</Account><Arn>arn:aws:iam::111122223333:user/{said}</Arn>\
         </GetCallerIdentityResult></GetCallerIdentityResponse>"
    )
}

fn start_instances() -> String {
    "<StartInstancesResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><instancesSet><item>\
     <instanceId>i-0123456789abcdef0</instanceId><currentState><code>0</code><name>pending</name></currentState>\
     <previousState><code>80</code><name>stopped</name></previousState></item></instancesSet></StartInstancesResponse>"
        .to_owned()
}
