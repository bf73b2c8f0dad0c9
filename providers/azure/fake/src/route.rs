//! Which resource a path names, and what permission a call takes.

use crate::call::Call;
use crate::network::NsgName;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// A resource group itself.
    ResourceGroup {
        subscription: String,
        name: String,
    },
    /// The end of a resource group's removal.
    Removal {
        subscription: String,
    },
    /// All NSGs of a subscription or a resource group.
    Groups {
        subscription: String,
        resource_group: Option<String>,
    },
    Group {
        nsg: Name,
    },
    Rules {
        nsg: Name,
    },
    Rule {
        nsg: Name,
        rule: String,
    },
    DefaultRules {
        nsg: Name,
    },
    /// What the caller may do with an NSG.
    Permissions {
        nsg: Name,
    },
    DefaultRule {
        nsg: Name,
        rule: String,
    },
    ServiceTags {
        subscription: String,
    },
    ServiceTagDetails {
        subscription: String,
    },
    Operation {
        subscription: String,
        id: String,
    },
    OperationResult {
        subscription: String,
        id: String,
    },
}

/// The parts of an NSG's name, comparable as they are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name(String, String, String);

impl Name {
    pub(crate) fn nsg(&self) -> NsgName {
        NsgName::new(&self.0, &self.1, &self.2)
    }
}

impl Route {
    /// None for what this fake does not know. Fixed words are matched in any case, as ARM does.
    pub(crate) fn parse(path: &str) -> Option<Self> {
        let parts: Vec<String> = path.strip_prefix('/')?.split('/').map(decoded).collect();
        // Odd places hold names, but for what follows `providers`.
        let word = |index: usize| parts.get(index).map(|part| part.to_lowercase()).unwrap_or_default();
        let text = |index: usize| parts.get(index).filter(|part| !part.is_empty()).cloned();
        if word(0) != "subscriptions" {
            return None;
        }
        let subscription = text(1)?;
        if word(2) == "operationresults" && parts.len() == 4 {
            return Some(Self::Removal { subscription });
        }
        let (resource_group, at) = if word(2) == "resourcegroups" { (Some(text(3)?), 4) } else { (None, 2) };
        if let (Some(name), true) = (&resource_group, parts.len() == at) {
            return Some(Self::ResourceGroup { subscription, name: name.clone() });
        }
        if word(at) != "providers" || word(at + 1) != "microsoft.network" {
            return None;
        }
        let rest = parts.len() - at - 2;
        match (word(at + 2).as_str(), rest) {
            ("networksecuritygroups", 1) => Some(Self::Groups { subscription, resource_group }),
            ("networksecuritygroups", 5)
                if (word(at + 4).as_str(), word(at + 5).as_str(), word(at + 6).as_str())
                    == ("providers", "microsoft.authorization", "permissions") =>
            {
                Some(Self::Permissions { nsg: Name(subscription, resource_group?, text(at + 3)?) })
            }
            ("networksecuritygroups", 2..=4) => {
                let nsg = Name(subscription, resource_group?, text(at + 3)?);
                let (kind, rule) = (word(at + 4), text(at + 5));
                match (kind.as_str(), rest) {
                    (_, 2) => Some(Self::Group { nsg }),
                    ("securityrules", 3) => Some(Self::Rules { nsg }),
                    ("securityrules", 4) => Some(Self::Rule { nsg, rule: rule? }),
                    ("defaultsecurityrules", 3) => Some(Self::DefaultRules { nsg }),
                    ("defaultsecurityrules", 4) => Some(Self::DefaultRule { nsg, rule: rule? }),
                    _ => None,
                }
            }
            ("locations", 3..=4) if resource_group.is_none() => match (word(at + 4).as_str(), text(at + 5)) {
                ("servicetags", None) => Some(Self::ServiceTags { subscription }),
                ("servicetagdetails", None) => Some(Self::ServiceTagDetails { subscription }),
                ("operations", Some(id)) => Some(Self::Operation { subscription, id }),
                ("operationresults", Some(id)) => Some(Self::OperationResult { subscription, id }),
                _ => None,
            },
            _ => None,
        }
    }

    pub(crate) fn subscription(&self) -> &str {
        match self {
            Self::ResourceGroup { subscription, .. }
            | Self::Removal { subscription }
            | Self::Groups { subscription, .. }
            | Self::ServiceTags { subscription }
            | Self::ServiceTagDetails { subscription }
            | Self::Operation { subscription, .. }
            | Self::OperationResult { subscription, .. } => subscription,
            Self::Group { nsg }
            | Self::Rules { nsg }
            | Self::Rule { nsg, .. }
            | Self::DefaultRules { nsg }
            | Self::Permissions { nsg }
            | Self::DefaultRule { nsg, .. } => &nsg.0,
        }
    }

    /// The permission that a role must hold.
    pub(crate) fn action(&self, call: &Call) -> String {
        let verb = match call.method.as_str() {
            "GET" | "HEAD" => "read",
            "DELETE" => "delete",
            _ => "write",
        };
        let kind = match self {
            Self::ResourceGroup { .. } => "Microsoft.Resources/subscriptions/resourceGroups",
            Self::Removal { .. } => "Microsoft.Resources/subscriptions/operationresults",
            Self::Groups { .. } | Self::Group { .. } => "Microsoft.Network/networkSecurityGroups",
            Self::Rules { .. } | Self::Rule { .. } => "Microsoft.Network/networkSecurityGroups/securityRules",
            Self::DefaultRules { .. } | Self::DefaultRule { .. } => {
                "Microsoft.Network/networkSecurityGroups/defaultSecurityRules"
            }
            Self::Permissions { .. } => "Microsoft.Authorization/permissions",
            Self::ServiceTags { .. } => "Microsoft.Network/locations/serviceTags",
            Self::ServiceTagDetails { .. } => "Microsoft.Network/locations/serviceTagDetails",
            Self::Operation { .. } => "Microsoft.Network/locations/operations",
            Self::OperationResult { .. } => "Microsoft.Network/locations/operationResults",
        };
        format!("{kind}/{verb}")
    }
}

/// Whether a role's action covers one that is needed; `*` stands for any text.
pub(crate) fn covers(held: &str, needed: &str) -> bool {
    let (held, needed) = (held.to_lowercase(), needed.to_lowercase());
    let mut pieces = held.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = needed.strip_prefix(first) else { return false };
    let mut exact = true;
    for piece in pieces {
        exact = piece.is_empty();
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.is_empty() || (exact && held.ends_with('*'))
}

fn decoded(part: &str) -> String {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let hex = tail
            .get(..2)
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        if let (b'%', Some(value)) = (byte, hex) {
            bytes.push(value);
            rest = &tail[2..];
        } else {
            bytes.push(byte);
            rest = tail;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, expect: Option<&str>) {
        let call = Call {
            method: "PUT".to_owned(),
            path: path.to_owned(),
            query: String::new(),
            headers: Vec::new(),
            body: Vec::new(),
            secure: true,
        };
        assert_eq!(Route::parse(path).map(|route| route.action(&call)).as_deref(), expect, "{path}");
    }

    #[test]
    fn paths_name_resources() {
        let nsg = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/networkSecurityGroups";
        check(nsg, Some("Microsoft.Network/networkSecurityGroups/write"));
        check(&format!("{nsg}/n").to_lowercase(), Some("Microsoft.Network/networkSecurityGroups/write"));
        check(&format!("{nsg}/n/securityRules/r"), Some("Microsoft.Network/networkSecurityGroups/securityRules/write"));
        let location = "/subscriptions/s/providers/Microsoft.Network/locations/westeurope";
        check(
            &format!("{nsg}/n/providers/Microsoft.Authorization/permissions"),
            Some("Microsoft.Authorization/permissions/write"),
        );
        check(&format!("{location}/operations/1"), Some("Microsoft.Network/locations/operations/write"));
        check(&format!("{location}/serviceTags"), Some("Microsoft.Network/locations/serviceTags/write"));
    }

    #[test]
    fn other_paths_name_nothing() {
        for path in
            ["/", "/subscriptions", "/subscriptions/s", "/providers/Microsoft.Network", "/subscriptions/s/providers"]
        {
            check(path, None);
        }
        let nsg = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/networkSecurityGroups";
        for tail in ["/n/securityRules/r/x", "/n/rules", "/n/securityRules/", "/"] {
            check(&format!("{nsg}{tail}"), None);
        }
        check("/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/v", None);
    }

    #[test]
    fn roles_cover_actions() {
        for (held, needed, expect) in [
            ("*", "a/b/read", true),
            ("*/read", "a/b/read", true),
            ("*/read", "a/b/write", false),
            ("a/*", "a/b/read", true),
            ("A/B/Read", "a/b/read", true),
            ("a/b/rea", "a/b/read", false),
            ("a/*/write", "a/b/read", false),
        ] {
            assert_eq!(covers(held, needed), expect, "{held} {needed}");
        }
    }
}
