//! Certificate authorities of one's own, and files that are none.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_credential_types::Credentials;
use aws_sdk_sts::config::{BehaviorVersion, IdentityCache, Region};
use outrigger_credential_providers::{HttpSetupError, Proxy, http_client};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tls").join(name)
}

const ANSWER: &str = "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
    <Arn>arn:aws:iam::111122223333:user/ada</Arn><UserId>AIDA</UserId><Account>111122223333</Account>\
    </GetCallerIdentityResult></GetCallerIdentityResponse>";

fn config() -> Arc<ServerConfig> {
    let certificate = CertificateDer::from_pem_file(file("server.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(file("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(builder.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap())
}

/// STS over TLS with a certificate that the test authority signed: every connection gets one answer.
fn sts_over_tls() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let config = config();
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let config = Arc::clone(&config);
            std::thread::spawn(move || answer(config, socket));
        }
    });
    address
}

/// A client that does not trust the certificate ends the connection here, which is no failure of the server.
fn answer(config: Arc<ServerConfig>, socket: TcpStream) -> std::io::Result<()> {
    let connection = ServerConnection::new(config).map_err(std::io::Error::other)?;
    let mut stream = StreamOwned::new(connection, socket);
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    while !request.ends_with(b"Version=2011-06-15") {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            count => request.extend_from_slice(&buffer[..count]),
        }
    }
    write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{ANSWER}", ANSWER.len())?;
    stream.conn.send_close_notify();
    stream.flush()
}

async fn account(bundle: Option<&Path>, url: &str) -> Result<String, String> {
    let config = aws_sdk_sts::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(http_client(bundle, Proxy::Off).unwrap())
        .region(Region::new("us-east-1"))
        .endpoint_url(url)
        .identity_cache(IdentityCache::no_cache())
        .retry_config(aws_sdk_sts::config::retry::RetryConfig::disabled())
        .credentials_provider(Credentials::new("AKIA", "x", None, None, "test"))
        .build();
    match aws_sdk_sts::Client::from_conf(config).get_caller_identity().send().await {
        Ok(output) => Ok(output.account().unwrap_or_default().to_owned()),
        Err(error) => Err(format!("{:?}", error)),
    }
}

#[tokio::test]
async fn a_ca_bundle_makes_its_authorities_trusted() {
    let url = sts_over_tls();
    let refused = account(None, &url).await.unwrap_err();
    assert!(refused.contains("UnknownIssuer"), "{refused}");
    assert_eq!(account(Some(&file("ca.pem")), &url).await.unwrap(), "111122223333");
}

#[test]
fn a_file_that_is_no_bundle_is_refused_before_it_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let none = folder.path().join("none.pem");
    assert!(matches!(http_client(Some(&none), Proxy::Off), Err(HttpSetupError::Unreadable { .. })));
    std::fs::write(&none, "no certificate here\n").unwrap();
    assert!(matches!(http_client(Some(&none), Proxy::Off), Err(HttpSetupError::Empty { .. })));
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    std::fs::write(&none, broken).unwrap();
    let message = http_client(Some(&none), Proxy::Off).unwrap_err().to_string();
    assert!(message.contains("certificate 1 cannot be used"), "{message}");
}
