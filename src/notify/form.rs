//! An event as each kind of receiver takes it. Pure.

use serde_json::{Value, json};

use super::Event;
use crate::config::telling::Form;

/// How much of one line is sent: messages are for people, and a card of Teams may have 28 KB in all.
const LINE: usize = 1000;
/// How many lines are sent.
const LINES: usize = 10;

/// The body of a POST.
pub(super) fn body(form: Form, event: &Event) -> String {
    match form {
        Form::Webhook => json!(event),
        Form::Slack => slack(event),
        Form::Teams => teams(event),
    }
    .to_string()
}

/// As an incoming webhook takes it. `text` is all that every imitation of Slack understands.
fn slack(event: &Event) -> Value {
    let lines: Vec<String> = [format!("*{}*", escaped(&headline(event)))]
        .into_iter()
        .chain(lines(event).map(|line| escaped(&line)))
        .collect();
    json!({ "text": lines.join("\n") })
}

/// As a workflow takes it that begins with "When a Teams webhook request is received": a message with a card. What
/// Office 365 connectors took (a `MessageCard`) is not taken any more.
fn teams(event: &Event) -> Value {
    let colour = match event.event {
        "refusal" | "failure" => "attention",
        "staleness" | "drift" => "warning",
        "recovery" => "good",
        _ => "default",
    };
    let title = json!({
        "type": "TextBlock", "text": headline(event), "weight": "bolder", "size": "medium", "color": colour, "wrap": true,
    });
    let text = lines(event).map(|line| json!({ "type": "TextBlock", "text": line, "wrap": true, "spacing": "small" }));
    let body: Vec<Value> = [title].into_iter().chain(text).collect();
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "body": body,
            },
        }],
    })
}

fn headline(event: &Event) -> String {
    let again = if event.again { "still: " } else { "" };
    shortened(&format!("tagwall {}: {again}{}", event.owner, event.title))
}

fn lines(event: &Event) -> impl Iterator<Item = String> {
    event.text.iter().take(LINES).map(|line| shortened(line))
}

/// One line, and not too long a one.
fn shortened(text: &str) -> String {
    let line = text.replace('\n', " ");
    match line.char_indices().nth(LINE) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// What Slack takes for markup.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
