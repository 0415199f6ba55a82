use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Mutex;

use outrigger_door::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::address::check;
use super::*;

/// Names with addresses; every connection ends at 127.0.0.1.
struct Names(BTreeMap<&'static str, Vec<IpAddr>>);

impl Lookup for Names {
    fn lookup<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        let found = self.0.get(name).cloned().ok_or_else(|| io::Error::other("no such name"));
        Box::pin(async move { found })
    }

    fn dial(&self, _: IpAddr) -> IpAddr {
        Ipv4Addr::LOCALHOST.into()
    }
}

/// A server that gives one answer to everybody and keeps what it was asked.
struct Server {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start(answer: Vec<u8>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut buffer = vec![0; 2 * LONGEST_REQUEST];
                let mut length = 0;
                loop {
                    let read = stream.read(&mut buffer[length..]).await.unwrap_or(0);
                    length += read;
                    let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                    let body = text.split_once("\r\n\r\n").map(|(head, body)| {
                        let size = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
                        body.len() >= size.unwrap_or(0)
                    });
                    if read == 0 || body == Some(true) {
                        keep.lock().unwrap().push(text);
                        break;
                    }
                }
                if !answer.is_empty() {
                    let _ = stream.write_all(&answer).await;
                } else {
                    std::future::pending::<()>().await;
                }
            }
        });
        Self { port, asked }
    }

    fn http(&self, names: &[(&'static str, &[&str])]) -> GuestHttp {
        let lookup = names
            .iter()
            .map(|(name, addresses)| (*name, addresses.iter().map(|address| address.parse().unwrap()).collect()))
            .collect();
        let origins = names.iter().map(|(name, _)| format!("http://{name}:{}", self.port).parse().unwrap()).collect();
        let policy = HttpPolicy { origins, networks: vec!["10.20.0.0/16".parse().unwrap()] };
        GuestHttp::with_lookup(policy, Arc::new(Names(lookup)), Duration::from_secs(2))
    }

    fn url(&self, host: &str, path: &str) -> String {
        format!("http://{host}:{}{path}", self.port)
    }
}

fn request(method: &str, url: &str) -> GuestRequest {
    GuestRequest {
        method: method.into(),
        url: url.into(),
        headers: Vec::new(),
        secret_headers: Vec::new(),
        body: Vec::new(),
    }
}

const HELLO: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nx-test: yes\r\nconnection: close\r\n\r\nhello";

#[test]
fn addresses_are_told_apart() {
    let allowed = ["10.20.0.0/16".parse().unwrap(), "fd12:3456::/32".parse().unwrap()];
    let everything = ["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()];
    for address in [
        "0.0.0.0",
        "0.1.2.3",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.169.254",
        "169.254.170.2",
        "169.254.0.1",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fd00:ec2::254",
        "fd00:ec2::1",
        "fe80::1",
        "febf::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::ffff:0:127.0.0.1",
        "::127.0.0.1",
        "::169.254.169.254",
        "64:ff9b::169.254.169.254",
        "64:ff9b::7f00:1",
        "64:ff9b:1::a9fe:a9fe",
        "2002:7f00:1::",
        "2002:a9fe:a9fe::1",
        "2001:0:1234::5601:5601",
        "2a00::5efe:127.0.0.1",
        "fe80::5efe:10.0.0.1",
    ] {
        let refusal = check(address.parse().unwrap(), &everything).expect_err(address);
        assert!(!refusal.can_be_allowed, "{address}");
    }
    for address in [
        "10.0.0.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "100.64.0.1",
        "192.0.2.1",
        "198.18.0.1",
        "fd12:3457::1",
        "fc00::1",
        "fec0::1",
        "2001:db8::1",
        "::ffff:10.0.0.1",
        "2002:a00:1::",
        "64:ff9b::10.0.0.1",
        "4000::1",
        "100::1",
    ] {
        assert!(check(address.parse().unwrap(), &allowed).expect_err(address).can_be_allowed, "{address}");
    }
    for address in [
        "10.20.30.40",
        "::ffff:10.20.0.1",
        "fd12:3456::7",
        "8.8.8.8",
        "1.1.1.1",
        "172.15.0.1",
        "172.32.0.1",
        "2606:4700::1111",
        "64:ff9b::8.8.8.8",
        "2002:808:808::1",
        "52.94.236.248",
        "100.63.255.255",
        "100.128.0.1",
    ] {
        assert_eq!(check(address.parse().unwrap(), &allowed), Ok(()), "{address}");
    }
}

#[test]
fn networks_are_read_strictly() {
    for text in ["10.0.0.0", "10.0.0.0/33", "::/129", "10.0.0/8", "a/8", "10.0.0.0/-1", ""] {
        assert!(text.parse::<Network>().is_err(), "{text}");
    }
}

#[test]
fn origins_are_read_strictly() {
    for (text, expected) in [
        ("https://Hooks.Example.com", "https://hooks.example.com"),
        ("https://a.example:443/", "https://a.example"),
        ("http://a.example:8080", "http://a.example:8080"),
        ("https://[2606:4700::1]:8443", "https://[2606:4700::1]:8443"),
    ] {
        assert_eq!(text.parse::<Origin>().unwrap().to_string(), expected);
    }
    for text in [
        "a.example",
        "ftp://a.example",
        "https://",
        "https://a.example/path",
        "https://a.example?x",
        "https://u@a.example",
        "https://*.example",
        "https://a..example",
        "https://a.example:0",
        "file:///etc/passwd",
    ] {
        assert!(text.parse::<Origin>().is_err(), "{text}");
    }
}

#[tokio::test]
async fn urls_that_can_be_read_in_two_ways_are_refused() {
    let server = Server::start(HELLO.to_vec()).await;
    let http = server.http(&[("good.example", &["8.8.8.8"])]);
    for (url, reason) in [
        ("http://u:p@good.example/", Reason::InvalidInput),
        ("http://@good.example/", Reason::InvalidInput),
        ("http://good.example@evil.example/", Reason::InvalidInput),
        ("http://2130706433/", Reason::InvalidInput),
        ("http://0x7f000001/", Reason::InvalidInput),
        ("http://0x7f.0.0.1/", Reason::InvalidInput),
        ("http://0177.0.0.1/", Reason::InvalidInput),
        ("http://127.1/", Reason::InvalidInput),
        ("http://0/", Reason::InvalidInput),
        ("http://good.example./", Reason::InvalidInput),
        ("http://127.0.0.1./", Reason::InvalidInput),
        ("http://gööd.example/", Reason::InvalidInput),
        ("http://ｇood.example/", Reason::InvalidInput),
        ("http://127。0。0。1/", Reason::InvalidInput),
        ("http://①②⑦.0.0.1/", Reason::InvalidInput),
        ("http://good%2eexample/", Reason::InvalidInput),
        ("http://[::ffff:127.0.0.1]/", Reason::InvalidInput),
        ("http://[0:0:0:0:0:0:0:1]/", Reason::InvalidInput),
        ("http:\\\\good.example/", Reason::InvalidInput),
        ("http://good.example\\@evil.example/", Reason::InvalidInput),
        ("http:good.example/", Reason::InvalidInput),
        ("http:///good.example/", Reason::InvalidInput),
        ("http://good.example /", Reason::InvalidInput),
        ("http://good.ex\tample/", Reason::InvalidInput),
        ("http://good.example/\r\nx: y", Reason::InvalidInput),
        ("gopher://good.example/", Reason::InvalidInput),
        ("file:///etc/passwd", Reason::InvalidInput),
        ("/relative", Reason::InvalidInput),
        ("", Reason::InvalidInput),
        ("http://good.example/", Reason::AccessDenied),
        ("https://good.example/", Reason::AccessDenied),
        ("http://other.example/", Reason::AccessDenied),
        ("http://169.254.169.254/latest/meta-data/", Reason::AccessDenied),
        ("http://localhost/", Reason::AccessDenied),
        ("http://[::1]/", Reason::AccessDenied),
    ] {
        let failure = http.send(request("GET", url)).await.expect_err(url);
        assert_eq!(failure.reason, reason, "{url}: {failure}");
    }
    assert!(server.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_listed_name_that_leads_inside_is_refused() {
    let server = Server::start(HELLO.to_vec()).await;
    let http = server.http(&[
        ("meta.example", &["169.254.169.254"]),
        ("loop.example", &["127.0.0.1", "::1"]),
        ("mapped.example", &["::ffff:169.254.169.254"]),
        ("lan.example", &["192.168.0.1"]),
        ("lan-allowed.example", &["10.20.0.5"]),
        ("mixed.example", &["127.0.0.1", "8.8.8.8"]),
        ("nowhere.example", &[]),
    ]);
    for (host, words) in [
        ("meta.example", "never reachable"),
        ("loop.example", "loopback"),
        ("mapped.example", "never reachable"),
        ("lan.example", "add its network"),
    ] {
        let failure = http.send(request("GET", &server.url(host, "/"))).await.expect_err(host);
        assert_eq!(failure.reason, Reason::AccessDenied, "{failure}");
        assert!(failure.message.contains(words), "{failure}");
    }
    let failure = http.send(request("GET", &server.url("nowhere.example", "/"))).await.unwrap_err();
    assert_eq!(failure.reason, Reason::Connection, "{failure}");
    assert!(server.asked.lock().unwrap().is_empty());
    for host in ["lan-allowed.example", "mixed.example"] {
        assert_eq!(http.send(request("GET", &server.url(host, "/"))).await.unwrap().status, 200, "{host}");
    }
}

#[tokio::test]
async fn an_address_that_is_listed_as_an_origin_is_still_checked() {
    let origins = ["http://127.0.0.1:9", "http://[::1]:9", "http://169.254.169.254"];
    let policy = HttpPolicy {
        origins: origins.iter().map(|origin| origin.parse().unwrap()).collect(),
        networks: vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()],
    };
    let http = GuestHttp::new(policy);
    for origin in origins {
        let failure = http.send(request("GET", origin)).await.unwrap_err();
        assert_eq!(failure.reason, Reason::AccessDenied, "{failure}");
        assert!(failure.message.contains("never reachable"), "{failure}");
    }
}

#[tokio::test]
async fn a_request_arrives_as_it_was_made() {
    let server = Server::start(HELLO.to_vec()).await;
    let http = server.http(&[("good.example", &["8.8.8.8"])]);
    let mut post = request("POST", &server.url("good.example", "/a%2fb?c=d#fragment"));
    post.headers.push(("content-type".into(), "text/plain".into()));
    post.secret_headers.push(SecretHeader {
        name: "authorization".into(),
        prefix: "Bearer ".into(),
        secret: Secret::new("s3cr3t".into()),
    });
    post.body = b"payload".to_vec();
    assert!(!format!("{post:?}").contains("s3cr3t"));
    let response = http.send(post).await.unwrap();
    assert_eq!((response.status, response.body.as_slice()), (200, b"hello".as_slice()));
    assert!(response.headers.contains(&("x-test".into(), "yes".into())));
    let asked = server.asked.lock().unwrap().pop().unwrap();
    assert!(asked.starts_with("POST /a%2fb?c=d HTTP/1.1\r\n"), "{asked}");
    for part in ["content-type: text/plain", "authorization: Bearer s3cr3t", "host: good.example:", "\r\n\r\npayload"] {
        assert!(asked.contains(part), "{part} in {asked}");
    }
}

#[tokio::test]
async fn requests_have_limits() {
    let server = Server::start(HELLO.to_vec()).await;
    let http = server.http(&[("good.example", &["8.8.8.8"])]);
    let url = server.url("good.example", "/");
    let header = |name: &str, value: &str| {
        let mut request = request("GET", &url);
        request.headers.push((name.into(), value.into()));
        request
    };
    let mut long = request("POST", &url);
    long.body = vec![0; LONGEST_REQUEST + 1];
    let mut get = request("GET", &url);
    get.body = b"x".to_vec();
    for refused in [
        long,
        get,
        request("TRACE", &url),
        request("CONNECT", &url),
        request("get", &url),
        header("host", "evil.example"),
        header("Transfer-Encoding", "chunked"),
        header("content-length", "3"),
        header("a b", "c"),
        header("a", "b\r\nc: d"),
        header("a", &"x".repeat(LONGEST_HEADERS)),
        request("GET", &format!("{url}{}", "x".repeat(9_000))),
    ] {
        assert_eq!(http.send(refused.clone()).await.unwrap_err().reason, Reason::InvalidInput, "{}", refused.method);
    }
    assert!(server.asked.lock().unwrap().is_empty());
    let mut most = request("POST", &url);
    most.body = vec![b'x'; LONGEST_REQUEST];
    assert_eq!(http.send(most).await.unwrap().status, 200);
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let answer = b"HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n".to_vec();
    let server = Server::start(answer).await;
    let http = server.http(&[("good.example", &["8.8.8.8"])]);
    let response = http.send(request("GET", &server.url("good.example", "/"))).await.unwrap();
    assert_eq!(response.status, 302);
    assert_eq!(server.asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_long_answer_is_a_failure() {
    for (length, fits) in [(LONGEST_RESPONSE, true), (LONGEST_RESPONSE + 1, false)] {
        let mut answer =
            format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n").into_bytes();
        answer.resize(answer.len() + length, b'x');
        let server = Server::start(answer).await;
        let http = server.http(&[("good.example", &["8.8.8.8"])]);
        let answer = http.send(request("GET", &server.url("good.example", "/"))).await;
        match answer {
            Ok(response) => assert!(fits && response.body.len() == length),
            Err(failure) => assert!(!fits && failure.reason == Reason::Remote, "{failure}"),
        }
    }
}

#[tokio::test]
async fn silence_and_broken_answers_are_connection_failures() {
    let broken = b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\nconnection: close\r\n\r\nhalf".to_vec();
    for answer in [Vec::new(), b"nonsense\r\n\r\n".to_vec(), broken] {
        let server = Server::start(answer).await;
        let http = server.http(&[("good.example", &["8.8.8.8"])]);
        let failure = http.send(request("GET", &server.url("good.example", "/"))).await.unwrap_err();
        assert_eq!(failure.reason, Reason::Connection, "{failure}");
        assert!(failure.retryable);
    }
}
