//! What is answered: status, headers, body.

use serde_json::{Value, json};

#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Content,
}

#[derive(Clone, Debug)]
pub(crate) enum Content {
    Nothing,
    Json(Value),
    Html(String),
}

impl Content {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Nothing => Vec::new(),
            Self::Json(value) => value.to_string().into_bytes(),
            Self::Html(text) => text.clone().into_bytes(),
        }
    }

    pub(crate) fn logged(&self) -> Option<Value> {
        match self {
            Self::Nothing => None,
            Self::Json(value) => Some(value.clone()),
            Self::Html(text) => Some(Value::String(text.clone())),
        }
    }
}

impl Answer {
    pub(crate) fn json(status: u16, body: Value) -> Self {
        let kind = ("Content-Type".to_owned(), "application/json; charset=utf-8".to_owned());
        Self { status, headers: vec![kind], body: Content::Json(body) }
    }

    pub(crate) fn nothing(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Content::Nothing }
    }

    /// What gateways answer in front of ARM.
    pub(crate) fn html(status: u16, text: &str) -> Self {
        let kind = ("Content-Type".to_owned(), "text/html".to_owned());
        Self { status, headers: vec![kind], body: Content::Html(text.to_owned()) }
    }

    /// `{"error":{code,message}}`, with an empty list of details where the network provider adds one.
    pub(crate) fn error(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self::json(status, json!({"error": {"code": code, "message": message.into()}}))
    }

    /// An error of the network provider behind ARM.
    pub(crate) fn refused(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self::json(status, json!({"error": {"code": code, "message": message.into(), "details": []}}))
    }

    /// An error of ARM's own gateway.
    pub(crate) fn gateway_error(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self::error(status, code, message).with("x-ms-failure-cause", "gateway")
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn retry_after(self, seconds: Option<u64>) -> Self {
        match seconds {
            Some(seconds) => self.with("Retry-After", seconds.to_string()),
            None => self,
        }
    }
}
