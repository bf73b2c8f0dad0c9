//! `/_control/`: for shells, Python and end-to-end tests, which are not in this process.
//!
//! | call | does |
//! |---|---|
//! | `GET /_control/state`, `PUT` | all NSGs and the service tags |
//! | `POST /_control/edit` | an [`Edit`] by a third party |
//! | `POST /_control/fault`, `GET /_control/faults`, `DELETE` | adds a [`Fault`]; how many are left; forgets all |
//! | `GET /_control/behaviour`, `PUT` | [`Behaviour`]; fields that are not sent stay as they are |
//! | `POST /_control/advance?seconds=N` | moves the clock |
//! | `POST /_control/token?seconds=N` | gives a token of that lifetime |
//! | `GET /_control/exchanges`, `DELETE` | the log |
//! | `GET /_control/states?subscription=&resource_group=&name=` | every state of an NSG |

use std::time::Duration;

use serde_json::{Value, json};

use crate::answer::Answer;
use crate::behaviour::Behaviour;
use crate::call::Call;
use crate::edit::Edit;
use crate::fault::Fault;
use crate::network::NsgName;
use crate::world::World;

pub(crate) fn answer(world: &mut World, call: &Call) -> Answer {
    match run(world, call) {
        Ok(body) => Answer::json(200, body),
        Err(why) => Answer::json(400, json!({"error": why})),
    }
}

fn run(world: &mut World, call: &Call) -> Result<Value, String> {
    let name = call.path.trim_start_matches("/_control/");
    let text = |error: serde_json::Error| error.to_string();
    let body = || serde_json::from_slice::<Value>(&call.body).map_err(text);
    let seconds = || {
        let given = call.query_value("seconds").and_then(|seconds| seconds.parse().ok());
        given.map(Duration::from_secs).ok_or("seconds=N is needed")
    };
    let done = json!({});
    match (call.method.as_str(), name) {
        ("GET", "state") => Ok(world.network.save()),
        ("PUT", "state") => {
            world.network.load(body()?);
            Ok(done)
        }
        ("POST", "edit") => {
            serde_json::from_value::<Edit>(body()?).map_err(text)?.apply(&mut world.network);
            Ok(done)
        }
        ("POST", "fault") => {
            world.faults.push(serde_json::from_value::<Fault>(body()?).map_err(text)?);
            Ok(done)
        }
        ("GET", "faults") => Ok(json!({"left": world.faults.left()})),
        ("DELETE", "faults") => {
            world.faults.clear();
            Ok(done)
        }
        ("GET", "behaviour") => serde_json::to_value(world.behaviour()).map_err(text),
        ("PUT", "behaviour") => {
            let mut whole = serde_json::to_value(world.behaviour()).map_err(text)?;
            let changes = body()?;
            for (field, value) in changes.as_object().ok_or("an object is needed")? {
                whole[field] = value.clone();
            }
            world.set(serde_json::from_value::<Behaviour>(whole).map_err(text)?);
            Ok(done)
        }
        ("POST", "advance") => {
            world.clock.advance(seconds()?);
            Ok(done)
        }
        ("POST", "token") => Ok(json!({"access_token": world.issue_token(seconds()?, None)})),
        ("GET", "exchanges") => serde_json::to_value(&world.exchanges).map_err(text),
        ("DELETE", "exchanges") => {
            world.exchanges.clear();
            Ok(done)
        }
        ("GET", "states") => {
            let part = |name: &str| call.query_value(name).unwrap_or_default();
            let nsg = NsgName::new(&part("subscription"), &part("resource_group"), &part("name"));
            serde_json::to_value(world.network.states(&nsg)).map_err(text)
        }
        (method, name) => Err(format!("there is no {method} {name}; see the documentation of control.rs")),
    }
}
