//! A stand-in for STS that knows one user and one role with an external id.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;

/// The role that can be assumed.
pub const ROLE: &str = "arn:aws:iam::444455556666:role/outrigger";
/// The external id that its trust policy asks for.
pub const EXTERNAL_ID: &str = "9f2c41d0";
const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// Serves for as long as the test process lives.
pub struct Sts {
    address: String,
}

impl Sts {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                std::thread::spawn(move || serve(stream));
            }
        });
        Self { address }
    }

    /// Lets a command work with keys in the environment, and ask here.
    pub fn prepare(&self, command: &mut Command) {
        command
            .env("AWS_ENDPOINT_URL_STS", &self.address)
            .env("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
            .env("AWS_REGION", "eu-west-1")
            .env("AWS_EC2_METADATA_DISABLED", "true");
    }
}

fn serve(stream: TcpStream) {
    let mut writer = stream.try_clone().expect("a second handle");
    let mut reader = BufReader::new(stream);
    while let Some(request) = read(&mut reader) {
        let (status, body) = answer(&request);
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: text/xml\r\nx-amzn-requestid: r-1\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        if writer.write_all(format!("{head}{body}").as_bytes()).is_err() {
            return;
        }
    }
}

/// Head and body of a request, in one text.
fn read(reader: &mut BufReader<TcpStream>) -> Option<String> {
    let mut text = String::new();
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line == "\r\n" {
            break;
        }
        text.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    text.push_str(&String::from_utf8(body).ok()?);
    Some(text)
}

fn answer(request: &str) -> (&'static str, String) {
    if request.contains("Action=GetCallerIdentity") {
        let (account, arn) = if request.contains("Credential=ASIA") {
            ("444455556666", "arn:aws:sts::444455556666:assumed-role/outrigger/outrigger-validate")
        } else {
            ("111122223333", "arn:aws:iam::111122223333:user/outrigger")
        };
        let body = format!(
            "<GetCallerIdentityResponse xmlns=\"{NAMESPACE}\"><GetCallerIdentityResult><Arn>{arn}</Arn>\
             <UserId>AIDA</UserId><Account>{account}</Account></GetCallerIdentityResult></GetCallerIdentityResponse>"
        );
        return ("200 OK", body);
    }
    if request.contains("Action=AssumeRole") && request.contains(&format!("ExternalId={EXTERNAL_ID}")) {
        let body = format!(
            "<AssumeRoleResponse xmlns=\"{NAMESPACE}\"><AssumeRoleResult><AssumedRoleUser><AssumedRoleId>AROA:x\
             </AssumedRoleId><Arn>arn:aws:sts::444455556666:assumed-role/outrigger/x</Arn></AssumedRoleUser>\
             <Credentials><AccessKeyId>ASIAIOSFODNN7EXAMPLE</AccessKeyId><SecretAccessKey>temporary-secret-key\
             </SecretAccessKey><SessionToken>temporary-token</SessionToken><Expiration>2099-01-01T00:00:00Z\
             </Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"
        );
        return ("200 OK", body);
    }
    let body = format!(
        "<ErrorResponse xmlns=\"{NAMESPACE}\"><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>User \
         arn:aws:iam::111122223333:user/outrigger is not authorized to perform: sts:AssumeRole on resource: {ROLE}\
         </Message></Error></ErrorResponse>"
    );
    ("403 Forbidden", body)
}
