//! What can be found out without changing anything: that the groups are there, what they hold, and what is allowed.

use tagwall_provider::{Observed, ProviderError};

use super::write::{permissions, tag};
use super::{SecurityGroups, read};
use crate::batches::Permission;
use crate::leave::Leave;
use crate::placement::count_entries;

/// How many groups a network interface takes unless AWS was asked for more.
const GROUPS_OF_AN_INTERFACE: usize = 5;

/// Of no group: where nothing of ours stands yet, something has to be named.
const NO_RULE: &str = "sgr-00000000000000000";

impl SecurityGroups {
    /// Reads the groups and tries every writing call as a dry run. What it finds is told line by line: what each group
    /// holds and has room for, and what is allowed.
    ///
    /// # Errors
    /// As [`tagwall_provider::Provider::observe`], and [`ProviderError::Denied`] that names each missing action.
    pub(super) async fn ask(&self) -> Result<Vec<String>, ProviderError> {
        let connection = self.connection().await?;
        let groups = read::groups(&connection, &self.groups).await?;
        let observed = self.observed(&groups, &[]);
        let mut leave = Leave::default();
        let ports = self.target.ports.first().copied();
        for group in &groups {
            let mut ours = group.rules.iter().filter(|rule| rule.mark().as_ref() == Some(&self.target.mark));
            let rule = ours.next().map_or_else(|| NO_RULE.to_owned(), |rule| rule.id.0.to_string());
            if let Some(ports) = ports {
                // Documentation space, which no rule admits that tagwall writes.
                let prefix = tagwall_provider::Ipv4Net::new_assert(std::net::Ipv4Addr::new(192, 0, 2, 0), 24).into();
                let asked = connection.ec2.authorize_security_group_ingress().dry_run(true).group_id(&group.id);
                let asked = asked
                    .set_ip_permissions(Some(permissions(&[Permission { ports, prefix }], &self.target.mark)?))
                    .tag_specifications(super::write::tagged(
                        aws_sdk_ec2::types::ResourceType::SecurityGroupRule,
                        &self.target.mark,
                    ));
                let action = "ec2:AuthorizeSecurityGroupIngress";
                leave.heard(action, &group.id, connection.call(action, asked.send()).await)?;
            }
            let asked = connection.ec2.revoke_security_group_ingress().dry_run(true).group_id(&group.id);
            let action = "ec2:RevokeSecurityGroupIngress";
            let answered = connection.call(action, asked.security_group_rule_ids(&rule).send()).await;
            leave.heard(action, &group.id, answered)?;
            let asked = connection.ec2.create_tags().dry_run(true).resources(rule).tags(tag(&self.target.mark));
            let action = "ec2:CreateTags";
            leave.heard(action, &group.id, connection.call(action, asked.send()).await)?;
        }
        let mut lines = self.holdings(&observed);
        if groups.len() > GROUPS_OF_AN_INTERFACE {
            lines.push(format!(
                "{} groups: a network interface takes {GROUPS_OF_AN_INTERFACE} of them unless AWS raised that, up to 16",
                groups.len()
            ));
        }
        lines.extend(leave.told()?);
        Ok(lines)
    }

    fn holdings(&self, observed: &Observed) -> Vec<String> {
        let holding = |room: &tagwall_provider::Room| {
            let ours = count_entries(observed.entries.iter().filter(|entry| entry.slot == room.slot));
            let free = |free: Option<u64>| free.map_or_else(|| "any number".to_owned(), |free| free.to_string());
            format!(
                "{}: {}+{} prefixes of ours, room for {}+{} more (IPv4+IPv6, a quota of {} rules)",
                room.name,
                ours.v4,
                ours.v6,
                free(room.free.v4),
                free(room.free.v6),
                self.target.quota
            )
        };
        observed.rooms.iter().map(holding).collect()
    }
}
