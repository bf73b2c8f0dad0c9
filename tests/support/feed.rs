//! A web server on the loopback that answers as it is told, over TLS with its own authority or in the clear.
//!
//! It runs in a thread of its own, so that tests may block. It writes HTTP/1.1 by hand: half answers, endless ones
//! and cut connections are what it is for.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use tagwall::source::{Kind, Settings};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use url::Url;

/// Where Microsoft's download page stands, on any host.
pub(crate) const PAGE: &str = "/en-us/download/details.aspx?id=56519";

/// The page behind it.
pub(crate) const CONFIRMATION: &str = "/en-us/download/confirmation.aspx?id=56519";

/// A running server. It stops when dropped.
pub(crate) struct Feed {
    address: SocketAddr,
    tls: bool,
    shared: Arc<Shared>,
    directory: tempfile::TempDir,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    replies: Mutex<HashMap<String, VecDeque<Reply>>>,
    requests: Mutex<Vec<Request>>,
}

/// A request that came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Path and query.
    pub(crate) path: String,
    /// What was sent with it.
    pub(crate) body: Vec<u8>,
    headers: Vec<(String, String)>,
}

impl Request {
    /// The value of a header, if it was sent.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Body,
}

#[derive(Clone, Debug)]
enum Body {
    Whole(Vec<u8>),
    /// All of it is promised, so much is sent, then the connection is cut.
    Cut(Vec<u8>, usize),
    /// So much is sent, then nothing more comes, without an end.
    Stall(Vec<u8>, usize),
    /// A byte at a time, with that pause between two.
    Drip(Vec<u8>, Duration),
    /// The same piece without end.
    Endless(Vec<u8>),
    /// The connection is closed without a word.
    Nothing,
}

impl Reply {
    fn new(status: u16, body: Body) -> Self {
        Self { status, headers: Vec::new(), body }
    }

    /// Status 200 and a body.
    pub(crate) fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self::new(200, Body::Whole(body.into()))
    }

    /// Another status.
    pub(crate) fn status(status: u16) -> Self {
        Self::new(status, Body::Whole(format!("<html><title>{status}</title></html>").into_bytes()))
    }

    /// A redirect.
    pub(crate) fn redirect(to: &str) -> Self {
        Self::status(302).header("Location", to)
    }

    /// Promises the body and closes the connection after so many bytes.
    pub(crate) fn cut(body: impl Into<Vec<u8>>, after: usize) -> Self {
        Self::new(200, Body::Cut(body.into(), after))
    }

    /// Sends so many bytes and then nothing more.
    pub(crate) fn stall(body: impl Into<Vec<u8>>, after: usize) -> Self {
        Self::new(200, Body::Stall(body.into(), after))
    }

    /// Sends a byte at a time.
    pub(crate) fn drip(body: impl Into<Vec<u8>>, pause: Duration) -> Self {
        Self::new(200, Body::Drip(body.into(), pause))
    }

    /// Sends the same piece over and over.
    pub(crate) fn endless(piece: impl Into<Vec<u8>>) -> Self {
        Self::new(200, Body::Endless(piece.into()))
    }

    /// Closes the connection without an answer.
    pub(crate) fn nothing() -> Self {
        Self::new(200, Body::Nothing)
    }

    /// Adds a header.
    #[must_use]
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

impl Feed {
    /// A server with TLS.
    pub(crate) fn start() -> Self {
        Self::with(true)
    }

    /// A server without.
    pub(crate) fn plain() -> Self {
        Self::with(false)
    }

    fn with(tls: bool) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let acceptor = tls.then(|| acceptor(&directory.path().join("ca.pem")));
        let shared = Arc::new(Shared::default());
        let (stop, stopped) = oneshot::channel();
        let (started, address) = std::sync::mpsc::channel();
        let serving = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                started.send(listener.local_addr().unwrap()).unwrap();
                tokio::select! {
                    () = serve(listener, acceptor, serving) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { address: address.recv().unwrap(), tls, shared, directory, stop: Some(stop), thread: Some(thread) }
    }

    /// The server's authority, a PEM file.
    pub(crate) fn ca(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// `localhost` and its port.
    pub(crate) fn host(&self) -> String {
        format!("localhost:{}", self.address.port())
    }

    /// The same server under a name that tests do not pin.
    pub(crate) fn other_host(&self) -> String {
        self.address.to_string()
    }

    /// The address of a path on it.
    pub(crate) fn url(&self, path: &str) -> Url {
        let scheme = if self.tls { "https" } else { "http" };
        Url::parse(&format!("{scheme}://{}{path}", self.host())).unwrap()
    }

    /// Answers a path (with its query) this way, every time, after the answers given before; the last one is repeated.
    pub(crate) fn on(&self, path: &str, reply: Reply) -> &Self {
        self.shared.replies.lock().unwrap().entry(path.to_owned()).or_default().push_back(reply);
        self
    }

    /// Answers a path this way from now on, whatever was to be answered.
    pub(crate) fn only_on(&self, path: &str, reply: Reply) {
        self.shared.replies.lock().unwrap().insert(path.to_owned(), VecDeque::from([reply]));
    }

    /// Forgets what was to be answered and what was asked.
    pub(crate) fn reset(&self) {
        self.shared.replies.lock().unwrap().clear();
        self.shared.requests.lock().unwrap().clear();
    }

    /// Every request so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// The paths of every request so far.
    pub(crate) fn paths(&self) -> Vec<String> {
        self.requests().into_iter().map(|request| request.path).collect()
    }

    /// Settings that fetch from this server, as impatient as tests are.
    pub(crate) fn settings(&self, kind: Kind) -> Settings {
        Settings {
            kind,
            extra_ca: self.tls.then(|| self.ca()),
            hosts: vec![self.host()],
            page: Some(self.url(PAGE)),
            attempts: 3,
            retry_delay: Duration::from_millis(1),
            ..Settings::default()
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic in there has shown itself in the test already.
            let _ = thread.join();
        }
    }
}

fn acceptor(ca_file: &Path) -> TlsAcceptor {
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    let certificate = authority.self_signed(&authority_key).unwrap();
    std::fs::write(ca_file, certificate.pem()).unwrap();

    let key = KeyPair::generate().unwrap();
    let mut server = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    server.use_authority_key_identifier_extension = true;
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let server = server.signed_by(&key, &Issuer::new(authority, authority_key)).unwrap();
    let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![server.der().clone()], key);
    TlsAcceptor::from(Arc::new(config.unwrap()))
}

async fn serve(listener: TcpListener, acceptor: Option<TlsAcceptor>, shared: Arc<Shared>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (acceptor, shared) = (acceptor.clone(), Arc::clone(&shared));
        // A client that goes away in the middle is no failure of the server's.
        tokio::spawn(async move { converse(stream, acceptor, &shared).await.ok() });
    }
}

async fn converse(stream: TcpStream, acceptor: Option<TlsAcceptor>, shared: &Shared) -> std::io::Result<()> {
    match acceptor {
        Some(acceptor) => answer(acceptor.accept(stream).await?, shared).await,
        None => answer(stream, shared).await,
    }
}

async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, shared: &Shared) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let mut request = request(&String::from_utf8_lossy(&head));
    let length = request.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    request.body = vec![0; length];
    stream.read_exact(&mut request.body).await?;
    let reply = shared.reply_to(&request.path);
    shared.requests.lock().unwrap().push(request);

    let mut lines = vec![format!("HTTP/1.1 {} Whatever", reply.status), "Connection: close".to_owned()];
    lines.extend(reply.headers.iter().map(|(name, value)| format!("{name}: {value}")));
    if let Body::Whole(body) | Body::Cut(body, _) | Body::Stall(body, _) | Body::Drip(body, _) = &reply.body {
        lines.push(format!("Content-Length: {}", body.len()));
    }
    let head = lines.join("\r\n") + "\r\n\r\n";
    if !matches!(reply.body, Body::Nothing) {
        stream.write_all(head.as_bytes()).await?;
    }
    match reply.body {
        Body::Whole(body) => stream.write_all(&body).await?,
        Body::Cut(body, after) => stream.write_all(&body[..after]).await?,
        Body::Stall(body, after) => {
            stream.write_all(&body[..after]).await?;
            stream.flush().await?;
            std::future::pending::<()>().await;
        }
        Body::Drip(body, pause) => {
            for byte in body {
                stream.write_all(&[byte]).await?;
                stream.flush().await?;
                tokio::time::sleep(pause).await;
            }
        }
        Body::Endless(piece) => loop {
            stream.write_all(&piece).await?;
        },
        Body::Nothing => {}
    }
    stream.shutdown().await
}

fn request(head: &str) -> Request {
    let mut lines = head.lines();
    let path = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
    let headers = lines.filter_map(|line| line.split_once(": "));
    Request {
        path: path.to_owned(),
        body: Vec::new(),
        headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
    }
}

impl Shared {
    fn reply_to(&self, path: &str) -> Reply {
        let mut replies = self.replies.lock().unwrap();
        match replies.get_mut(path) {
            Some(queue) if queue.len() > 1 => queue.pop_front().unwrap(),
            Some(queue) => queue.front().unwrap().clone(),
            None => Reply::status(404),
        }
    }
}
