//! Somebody else's hand on EC2: requests written out, without the SDK and without what tagwall knows.

use std::fmt::Write as _;

use serde_json::{Value, json};
use tagwall_provider::{IpNet, PrefixSet};

use crate::rig::Rig;

/// Marks requests of this hand in the rig's log.
pub(crate) const HAND: &str = "Hand";

/// The region of tests that need one alone.
pub(crate) const REGION: &str = "eu-west-1";

/// Somebody with a key, in a region.
#[derive(Clone, Debug)]
pub(crate) struct Hand {
    pub(crate) rig: Rig,
    key: String,
    region: String,
}

impl Hand {
    pub(crate) fn new(rig: &Rig) -> Self {
        Self { rig: rig.clone(), key: "AKIAHAND".to_owned(), region: REGION.to_owned() }
    }

    pub(crate) fn in_region(&self, region: &str) -> Self {
        Self { region: region.to_owned(), ..self.clone() }
    }

    /// The same in another account.
    pub(crate) fn of_account(&self, account: &str) -> Self {
        let role = format!("arn:aws:iam::{account}:role/hand");
        let xml = self.call("sts", "AssumeRole", &[("RoleArn", &role), ("RoleSessionName", "hand")]);
        Self { key: element(&xml, "AccessKeyId").unwrap().to_owned(), ..self.clone() }
    }

    fn call(&self, service: &str, action: &str, parameters: &[(&str, &str)]) -> String {
        let version = if service == "sts" { "2011-06-15" } else { "2016-11-15" };
        let mut form = format!("Action={action}&Version={version}&{HAND}=true");
        for (name, value) in parameters {
            write!(form, "&{name}={}", escaped(value)).unwrap();
        }
        let headers = format!(
            "Content-Type: application/x-www-form-urlencoded\r\nAuthorization: AWS4-HMAC-SHA256 \
             Credential={}/20260101/{}/{service}/aws4_request, SignedHeaders=host, Signature=0\r\n",
            self.key, self.region
        );
        let (status, answer) = self.rig.http("/", &headers, Some(&form));
        assert_eq!(status, 200, "{action} {parameters:?}: {answer}");
        answer
    }

    pub(crate) fn ec2(&self, action: &str, parameters: &[(&str, &str)]) -> String {
        self.call("ec2", action, parameters)
    }

    /// Makes a security group and returns its id.
    pub(crate) fn make_group(&self, name: &str) -> String {
        let xml = self.ec2("CreateSecurityGroup", &[("GroupName", name), ("GroupDescription", name)]);
        element(&xml, "groupId").unwrap().to_owned()
    }

    /// Adds one rule for a port of TCP. A mark stands in its description, and in its tag.
    pub(crate) fn add_rule(&self, group: &str, prefix: IpNet, port: u16, description: &str, mark: Option<&str>) {
        let (kind, key) = if prefix.addr().is_ipv4() { ("IpRanges", "CidrIp") } else { ("Ipv6Ranges", "CidrIpv6") };
        let (port, prefix) = (port.to_string(), prefix.to_string());
        let range = format!("IpPermissions.1.{kind}.1.{key}");
        let text = format!("IpPermissions.1.{kind}.1.Description");
        let mut parameters = vec![
            ("GroupId", group),
            ("IpPermissions.1.IpProtocol", "tcp"),
            ("IpPermissions.1.FromPort", &port),
            ("IpPermissions.1.ToPort", &port),
            (&range, &prefix),
            (&text, mark.unwrap_or(description)),
        ];
        if let Some(mark) = mark {
            parameters.extend([
                ("TagSpecification.1.ResourceType", "security-group-rule"),
                ("TagSpecification.1.Tag.1.Key", "tagwall"),
                ("TagSpecification.1.Tag.1.Value", mark),
            ]);
        }
        self.ec2("AuthorizeSecurityGroupIngress", &parameters);
    }

    /// Lets the members of a group in.
    pub(crate) fn add_peer(&self, group: &str, peer: &str) {
        let parameters =
            [("GroupId", group), ("IpPermissions.1.IpProtocol", "-1"), ("IpPermissions.1.Groups.1.GroupId", peer)];
        self.ec2("AuthorizeSecurityGroupIngress", &parameters);
    }

    pub(crate) fn remove_rule(&self, rule: &Value) {
        let (group, id) = (text(rule, "groupId"), text(rule, "securityGroupRuleId"));
        self.ec2("RevokeSecurityGroupIngress", &[("GroupId", group), ("SecurityGroupRuleId.1", id)]);
    }

    pub(crate) fn untag(&self, rule: &Value) {
        let id = text(rule, "securityGroupRuleId");
        self.ec2("DeleteTags", &[("ResourceId.1", id), ("Tag.1.Key", "tagwall")]);
    }
}

/// Prefix lists.
impl Hand {
    /// Makes a prefix list of entries without a description and returns its id.
    pub(crate) fn make_list(&self, name: &str, family: &str, most: u64, entries: &[&str]) -> String {
        let most = most.to_string();
        let mut parameters = vec![("PrefixListName", name), ("AddressFamily", family), ("MaxEntries", &most)];
        let keys: Vec<String> = (1..=entries.len()).map(|number| format!("Entry.{number}.Cidr")).collect();
        parameters.extend(keys.iter().map(String::as_str).zip(entries.iter().copied()));
        let xml = self.ec2("CreateManagedPrefixList", &parameters);
        element(&xml, "prefixListId").unwrap().to_owned()
    }

    /// Lets in whom a list names.
    pub(crate) fn name_list(&self, group: &str, list: &str) {
        let parameters = [
            ("GroupId", group),
            ("IpPermissions.1.IpProtocol", "tcp"),
            ("IpPermissions.1.FromPort", "8443"),
            ("IpPermissions.1.ToPort", "8443"),
            ("IpPermissions.1.PrefixListIds.1.PrefixListId", list),
        ];
        self.ec2("AuthorizeSecurityGroupIngress", &parameters);
    }

    pub(crate) fn resize_list(&self, list: &Value, most: u64) {
        let parameters = [("PrefixListId", text(list, "prefixListId")), ("MaxEntries", &most.to_string())];
        self.ec2("ModifyManagedPrefixList", &parameters);
    }

    /// Enters a prefix in a list, or takes it out.
    pub(crate) fn change_list(&self, list: &Value, prefix: IpNet, description: Option<&str>, comes: bool) {
        let (id, version, prefix) = (text(list, "prefixListId"), list["version"].to_string(), prefix.to_string());
        let mut parameters = vec![("PrefixListId", id), ("CurrentVersion", &version)];
        if comes {
            parameters.push(("AddEntry.1.Cidr", &prefix));
            parameters.extend(description.map(|text| ("AddEntry.1.Description", text)));
        } else {
            parameters.push(("RemoveEntry.1.Cidr", &prefix));
        }
        self.ec2("ModifyManagedPrefixList", &parameters);
    }
}

/// The entries of a list, each as the log shows it.
pub(crate) fn entries_of(list: &Value) -> Vec<Value> {
    let entry = |(cidr, description): (&String, &Value)| json!({ "prefixListId": list["prefixListId"], "cidr": cidr, "description": description });
    list["entries"].as_object().unwrap().iter().map(entry).collect()
}

fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => escaped.push(byte.into()),
            _ => write!(escaped, "%{byte:02X}").unwrap(),
        }
    }
    escaped
}

fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(text, _)| text)
}

/// A text of the rig's.
pub(crate) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("no {key} in {value}"))
}

/// The prefix of a rule, where it is of one, or of an entry of a list.
pub(crate) fn prefix_of(rule: &Value) -> Option<IpNet> {
    let text = ["cidrIpv4", "cidrIpv6", "cidr"].into_iter().find_map(|key| rule[key].as_str())?;
    Some(text.parse().unwrap())
}

/// Whose a rule is: by its tag, and without one by its description.
pub(crate) fn mark_of(rule: &Value) -> Option<&str> {
    let mark = rule["tags"]["tagwall"].as_str().or_else(|| rule["description"].as_str())?;
    mark.starts_with("tagwall:").then_some(mark)
}

/// Whether a rule opens exactly this port of TCP; an entry of a list is of all that the list is named for.
pub(crate) fn is_of_port(rule: &Value, port: u16) -> bool {
    !rule["cidr"].is_null() || rule["ipProtocol"] == "tcp" && rule["fromPort"] == port && rule["toPort"] == port
}

/// Whom rules with this mark let in to a port.
pub(crate) fn admitted<'a>(rules: impl IntoIterator<Item = &'a Value>, mark: &str, port: u16) -> PrefixSet {
    let ours = rules.into_iter().filter(|rule| mark_of(rule) == Some(mark) && is_of_port(rule, port));
    ours.filter_map(prefix_of).collect()
}

pub(crate) fn prefix(text: &str) -> IpNet {
    text.parse().unwrap()
}

pub(crate) fn set(prefixes: &[&str]) -> PrefixSet {
    prefixes.iter().map(|text| prefix(text)).collect()
}
