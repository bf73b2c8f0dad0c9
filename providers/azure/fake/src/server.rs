//! The server: a thread of its own, TLS, and the faults that concern connections.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::net::{Ipv4Addr, TcpListener as StdListener};
use std::thread::JoinHandle;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

use crate::Shared;
use crate::answer::Answer;
use crate::body::AnswerBody;
use crate::call::Call;
use crate::control;
use crate::fault::FaultKind;

#[derive(Debug)]
pub(crate) struct Server {
    port: u16,
    stop: Option<oneshot::Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start(tls: TlsAcceptor, world: Shared, control: bool) -> Self {
        let listener = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("the loopback has a free port");
        listener.set_nonblocking(true).expect("a listener can be made not to block");
        let port = listener.local_addr().expect("a bound listener has an address").port();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.expect("a runtime can be made");
            runtime.block_on(async move {
                let listener = TcpListener::from_std(listener).expect("the listener is a listener");
                tokio::select! {
                    () = listen(listener, tls, world, control) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { port, stop: Some(stop), thread: Some(thread) }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic in there has shown itself already.
            let _ = thread.join();
        }
    }
}

async fn listen(listener: TcpListener, tls: TlsAcceptor, world: Shared, control: bool) {
    loop {
        // Out of file descriptors, or a client that was gone at once: the next may fare better.
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (tls, world) = (tls.clone(), world.clone());
        tokio::spawn(async move { converse(stream, tls, world, control).await.ok() });
    }
}

/// TLS begins with the byte 22; anything else is taken for plain HTTP, as managed identities speak it.
async fn converse(stream: TcpStream, tls: TlsAcceptor, world: Shared, control: bool) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut first = [0];
    stream.peek(&mut first).await?;
    if first == [22] {
        serve(tls.accept(stream).await?, world, control, true).await;
    } else {
        serve(stream, world, control, false).await;
    }
    Ok(())
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + 'static, world: Shared, control: bool, secure: bool) {
    let service = service_fn(|request| {
        let world = world.clone();
        async move {
            let Some(call) = read(request, secure).await else { return Err(Cut) };
            if control && call.path.starts_with("/_control/") {
                return Ok(response(&control::answer(&mut world.lock(), &call), false));
            }
            answer(&world, &call).await
        }
    });
    // That a connection was cut shows at its other end.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// The connection is to be cut.
#[derive(Debug, PartialEq, Eq)]
struct Cut;

impl std::fmt::Display for Cut {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("the connection is to be cut")
    }
}

impl std::error::Error for Cut {}

async fn read(request: Request<Incoming>, secure: bool) -> Option<Call> {
    let (head, body) = request.into_parts();
    let headers = head
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
    let headers = headers.collect();
    Some(Call {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers,
        body: body.collect().await.ok()?.to_bytes().to_vec(),
        secure,
    })
}

async fn answer(world: &Shared, call: &Call) -> Result<Response<AnswerBody>, Cut> {
    let faults = world.lock().faults.strike(call);
    let has = |wanted: fn(&FaultKind) -> bool| faults.iter().any(wanted);
    for fault in &faults {
        if let FaultKind::Delay(milliseconds) = fault {
            tokio::time::sleep(Duration::from_millis(*milliseconds)).await;
        }
    }
    if has(|fault| matches!(fault, FaultKind::CutBefore | FaultKind::HangBefore)) {
        world.lock().drop_call(call, &faults);
        if has(|fault| matches!(fault, FaultKind::HangBefore)) {
            pending::<()>().await;
        }
        return Err(Cut);
    }
    let (cut, hang) =
        (has(|fault| matches!(fault, FaultKind::CutAfter)), has(|fault| matches!(fault, FaultKind::HangAfter)));
    let torn = has(|fault| matches!(fault, FaultKind::CutMiddle));
    let answer = world.lock().serve(call, &faults, !(cut || hang || torn));
    for fault in &faults {
        if let FaultKind::DelayAnswer(milliseconds) = fault {
            tokio::time::sleep(Duration::from_millis(*milliseconds)).await;
        }
    }
    if hang {
        pending::<()>().await;
    }
    if cut { Err(Cut) } else { Ok(response(&answer, torn)) }
}

fn response(answer: &Answer, torn: bool) -> Response<AnswerBody> {
    let mut response = Response::builder().status(answer.status);
    for (name, value) in &answer.headers {
        response = response.header(name, value);
    }
    // Python's client asks for a length also where there is no body; 204 has none.
    response.body(AnswerBody::new(answer.body.bytes(), torn)).expect("the fake's own headers are headers")
}
