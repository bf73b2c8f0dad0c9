//! State as a file keeps it.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::group::Group;
use crate::network::{Network, NsgName};
use crate::rule::Rule;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    #[serde(default)]
    nsgs: Vec<SavedNsg>,
    service_tags: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedNsg {
    subscription: String,
    resource_group: String,
    name: String,
    location: Option<String>,
    tags: Option<Value>,
    #[serde(default)]
    properties: Map<String, Value>,
    #[serde(default)]
    rules: Vec<Rule>,
}

impl Network {
    pub(crate) fn save(&self) -> Value {
        let nsgs: Vec<Value> = self.groups.values().map(Group::state).collect();
        json!({"nsgs": nsgs, "service_tags": self.tags.json()})
    }

    pub(crate) fn load(&mut self, state: Value) {
        let state: Saved = serde_json::from_value(state).expect("the state is of the form that `state` gives");
        for saved in state.nsgs {
            let nsg = NsgName::new(&saved.subscription, &saved.resource_group, &saved.name);
            let rules: Vec<Arc<Rule>> = saved.rules.into_iter().map(Arc::new).collect();
            self.expect_valid(&nsg, &rules);
            self.make(&nsg, saved.location.as_deref().unwrap_or("westeurope"));
            self.write(&nsg, "Succeeded", |group| {
                group.now.rules = rules;
                group.tags = saved.tags;
                group.properties = saved.properties;
            });
        }
        if let Some(document) = state.service_tags {
            self.put_service_tags(document);
        }
    }
}
