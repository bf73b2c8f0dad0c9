//! The way to the other side: reqwest with rustls, the system's certificates and those of a file.
//!
//! One client for tokens and for Resource Manager, so that both trust the same. It follows no redirect, keeps the
//! Authorization header out of what others log, and tells a certificate that is not to be trusted from a connection
//! that may come up later.

use std::error::Error as StdError;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use azure_core::error::ErrorKind;
use azure_core::http::headers::{HeaderName, HeaderValue, Headers};
use azure_core::http::{AsyncRawResponse, Body, HttpClient, Request, Transport};
use reqwest::header;

use crate::ArmError;

/// A connection that is not there by then will not come.
const CONNECTING: Duration = Duration::from_secs(15);
/// Between two pieces of an answer.
const SILENCE: Duration = Duration::from_mins(1);
/// More than any list of service tags, or any network security group, by far.
const LARGEST_ANSWER: usize = 64 << 20;

#[derive(Debug)]
struct Reqwest(reqwest::Client);

/// Why there is no answer; found again in the chain of what the pipeline makes of it.
#[derive(Debug)]
pub(crate) struct NoAnswer {
    pub(crate) host: String,
    pub(crate) distrusted: bool,
    source: reqwest::Error,
}

impl NoAnswer {
    /// All that lies beneath, in one line.
    pub(crate) fn told(&self) -> String {
        causes(&self.source).map(ToString::to_string).collect::<Vec<_>>().join(": ")
    }
}

impl std::fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "no answer from {}", self.host)
    }
}

impl StdError for NoAnswer {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.source)
    }
}

/// Makes the way there.
pub(crate) fn transport(ca_file: Option<&Path>) -> Result<Transport, ArmError> {
    let mut builder = reqwest::Client::builder()
        .connect_timeout(CONNECTING)
        .read_timeout(SILENCE)
        .referer(false)
        .redirect(reqwest::redirect::Policy::none());
    if let Some(path) = ca_file {
        let failed =
            |source: Box<dyn StdError + Send + Sync>| ArmError::CaFile { path: path.display().to_string(), source };
        let pem = std::fs::read(path).map_err(|error| failed(error.into()))?;
        let found = reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| failed(error.into()))?;
        if found.is_empty() {
            return Err(failed("there is no certificate in it".into()));
        }
        builder = builder.tls_certs_merge(found);
    }
    let client = builder.build().map_err(|error| match ca_file {
        Some(path) => ArmError::CaFile { path: path.display().to_string(), source: error.into() },
        None => ArmError::Settings { what: format!("cannot make connections over TLS: {error}") },
    })?;
    Ok(Transport::new(std::sync::Arc::new(Reqwest(client))))
}

#[async_trait]
impl HttpClient for Reqwest {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let failed = |source: reqwest::Error| {
            let host = request.url().host_str().unwrap_or_default().to_owned();
            // The TLS library's verdict on the other side travels inside an I/O error of that kind.
            let distrusted = source.is_connect() && causes(&source).any(is_invalid_data);
            // Nothing of the kind is tried again by anything that lies between here and our own retries.
            azure_core::Error::new(ErrorKind::Other, NoAnswer { host, distrusted, source: source.without_url() })
        };
        let method = request.method().as_str().parse::<reqwest::Method>();
        let method = method.map_err(|error| azure_core::Error::new(ErrorKind::DataConversion, error))?;
        let mut sent = self.0.request(method, request.url().clone());
        for (name, value) in request.headers().iter() {
            let mut value = header::HeaderValue::from_str(value.as_str())
                .map_err(|error| azure_core::Error::new(ErrorKind::DataConversion, error))?;
            value.set_sensitive(name.as_str().eq_ignore_ascii_case("authorization"));
            sent = sent.header(name.as_str(), value);
        }
        sent = match request.body() {
            Body::Bytes(bytes) => sent.body(bytes.clone()),
            Body::SeekableStream(stream) => sent.body(reqwest::Body::wrap_stream(stream.clone())),
        };
        let mut answer = sent.send().await.map_err(failed)?;
        let (status, headers) = (answer.status().as_u16(), headers(answer.headers()));
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(failed)? {
            if body.len() + piece.len() > LARGEST_ANSWER {
                let message = format!("the answer is longer than {LARGEST_ANSWER} bytes");
                return Err(azure_core::Error::with_message(ErrorKind::DataConversion, message));
            }
            body.extend_from_slice(&piece);
        }
        Ok(AsyncRawResponse::from_bytes(status.into(), headers, body))
    }
}

/// What lies beneath an error, itself first.
pub(crate) fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}

fn is_invalid_data(error: &(dyn StdError + 'static)) -> bool {
    // One I/O error in another hides from `source`, which gives what lies beneath both.
    let within = |error: &std::io::Error| error.get_ref().is_some_and(|inner| is_invalid_data(inner));
    let told = |error: &std::io::Error| error.kind() == std::io::ErrorKind::InvalidData || within(error);
    error.downcast_ref().is_some_and(told)
}

fn headers(map: &header::HeaderMap) -> Headers {
    let mut headers = Headers::new();
    for (name, value) in map {
        if let Ok(value) = value.to_str() {
            headers.insert(HeaderName::from(name.as_str().to_owned()), HeaderValue::from(value.to_owned()));
        }
    }
    headers
}
