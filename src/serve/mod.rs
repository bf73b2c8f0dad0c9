//! How things stand, over HTTP: /metrics, /status, /healthz, /readyz. Reading alone; nothing can be asked to be done.
//!
//! A connection carries one request, takes `PATIENCE` at most, and no more than `AT_ONCE` are served at a time; the
//! rest wait with the kernel. All of it runs on a thread beside the one that makes passes.

mod ask;
mod listener;

use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::status::{Status, metrics};

pub use ask::ask;
pub use listener::{Bound, ServeError};

/// How many connections are served at a time.
const AT_ONCE: usize = 16;
/// How long one may take, from its first byte to the last.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the daemon's loop may take for a turn before it counts as stuck. It waits for nothing but events, so a
/// turn takes microseconds; reading a publication takes some ten milliseconds.
const LOOP_PATIENCE: Duration = Duration::from_secs(3);
/// How long nothing is accepted where the process has no file descriptor left.
const BREATH: Duration = Duration::from_secs(1);

/// What is asked about.
pub trait Asked {
    /// How things stand.
    fn status(&self) -> Status;
    /// Whether the daemon's loop turns within so much time.
    fn is_alive(&self, patience: Duration) -> impl Future<Output = bool>;
}

/// Answers for ever. Runs on a `LocalSet`.
pub async fn serve(bound: Rc<Bound>, asked: Rc<impl Asked + 'static>) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match bound.accept().await {
            Ok(stream) => {
                let asked = Rc::clone(&asked);
                tokio::task::spawn_local(async move {
                    let _place = place;
                    // Whoever goes away or is too slow has only itself to miss.
                    let _ = timeout(PATIENCE, converse(stream, asked)).await;
                });
            }
            Err(error) => {
                tracing::warn!(%error, "no connection can be accepted");
                tokio::time::sleep(BREATH).await;
            }
        }
    }
}

async fn converse(stream: impl AsyncRead + AsyncWrite + Unpin, asked: Rc<impl Asked>) -> hyper::Result<()> {
    let answer = service_fn(|request: Request<Incoming>| {
        let asked = Rc::clone(&asked);
        async move {
            let accept = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok());
            Ok::<_, Infallible>(answer(request.method(), request.uri().path(), accept, asked.as_ref()).await)
        }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .keep_alive(false)
        .max_buf_size(16 * 1024)
        .serve_connection(TokioIo::new(stream), answer)
        .await
}

/// The answer to one request. A body that came with it is not read.
async fn answer(method: &Method, path: &str, accept: Option<&str>, asked: &impl Asked) -> Response<Full<Bytes>> {
    if method != Method::GET && method != Method::HEAD {
        let mut refused = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered\n".to_owned());
        refused.headers_mut().insert(ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    match path {
        "/metrics" => {
            let form = metrics::Form::accepted(accept);
            told(StatusCode::OK, form.content_type(), metrics::render(&asked.status(), form))
        }
        "/status" => match serde_json::to_string_pretty(&asked.status()) {
            Ok(text) => told(StatusCode::OK, "application/json", text + "\n"),
            Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
        },
        "/healthz" if asked.is_alive(LOOP_PATIENCE).await => plain(StatusCode::OK, "ok\n".to_owned()),
        "/healthz" => {
            let text = format!("the loop has not turned for {} s\n", LOOP_PATIENCE.as_secs());
            plain(StatusCode::SERVICE_UNAVAILABLE, text)
        }
        "/readyz" => match asked.status().not_ready.as_slice() {
            [] => plain(StatusCode::OK, "ok\n".to_owned()),
            reasons => plain(StatusCode::SERVICE_UNAVAILABLE, reasons.join("\n") + "\n"),
        },
        "/" => plain(StatusCode::OK, "tagwall: /metrics /status /healthz /readyz\n".to_owned()),
        _ => plain(StatusCode::NOT_FOUND, "there are /metrics, /status, /healthz and /readyz\n".to_owned()),
    }
}

fn plain(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    told(status, "text/plain; charset=utf-8", text)
}

fn told(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, hyper::header::HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests;
