//! What can be found out without changing anything: which lists are there, what they hold, and what is allowed.

use aws_sdk_ec2::types::{AddPrefixListEntry, ResourceType};
use tagwall_provider::{Family, ProviderError};

use super::{ListName, PrefixLists, read, write};
use crate::client::Connection;
use crate::groups::write::{tag, tagged};
use crate::leave::Leave;
use crate::prefix_list::{Form, PrefixList};

impl PrefixLists {
    /// Reads the lists and tries the writing calls as dry runs. What it finds is told line by line: what each list holds
    /// and has room for, and what is allowed.
    ///
    /// # Errors
    /// As [`tagwall_provider::Provider::observe`], and [`ProviderError::Denied`] that names each missing action.
    pub(super) async fn ask(&self) -> Result<Vec<String>, ProviderError> {
        let connection = self.connection().await?;
        let forms = self.forms(&connection, &read::all(&connection).await?).await?;
        let (mut lines, mut leave) = (Vec::new(), Leave::default());
        for family in Family::ALL {
            match forms.get(family) {
                Form::None => {
                    lines.push(format!("no list of {family} is named: a tag with {family} prefixes is refused"));
                }
                Form::There(list) => {
                    lines.push(self.holding(list, &write::users(&connection, &list.id).await?));
                    self.may_modify(&connection, family, list, &mut leave).await?;
                    if list.former.is_some() {
                        let asked = connection.ec2.create_tags().dry_run(true).resources(&list.id);
                        let action = "ec2:CreateTags";
                        let answered = connection.call(action, asked.tags(tag(&self.target.mark)).send()).await;
                        leave.heard(action, &list.id, answered)?;
                    }
                    if matches!(self.lists.get(family), ListName::Name(_)) {
                        let asked = connection.ec2.delete_managed_prefix_list().dry_run(true).prefix_list_id(&list.id);
                        let action = "ec2:DeleteManagedPrefixList";
                        leave.heard(action, &list.id, connection.call(action, asked.send()).await)?;
                    }
                }
                Form::Occupied { name, by } => lines.push(format!(
                    "no list of {family}: {} has the name `{name}`; name it by id, or give the target's another name",
                    by.join(" and ")
                )),
                Form::ToCreate(name) => {
                    let most = self.target.most_entries;
                    lines.push(format!(
                        "`{name}`: to be made for {family} when it is needed; it may grow to {most} entries"
                    ));
                    let asked = connection
                        .ec2
                        .create_managed_prefix_list()
                        .dry_run(true)
                        .prefix_list_name(name)
                        .address_family(family.to_string())
                        .max_entries(1)
                        .tag_specifications(tagged(ResourceType::PrefixList, &self.target.mark));
                    let action = "ec2:CreateManagedPrefixList";
                    leave.heard(action, name, connection.call(action, asked.send()).await)?;
                }
            }
        }
        lines.extend(leave.told()?);
        Ok(lines)
    }

    async fn may_modify(
        &self,
        connection: &Connection,
        family: Family,
        list: &PrefixList,
        leave: &mut Leave,
    ) -> Result<(), ProviderError> {
        // Documentation space, which no entry names that tagwall writes.
        let prefix = match family {
            Family::V4 => "192.0.2.0/24",
            Family::V6 => "2001:db8::/32",
        };
        let entry = AddPrefixListEntry::builder().cidr(prefix).description(self.target.mark.to_string()).build();
        let asked = connection.ec2.modify_managed_prefix_list().dry_run(true).prefix_list_id(&list.id);
        let asked = asked.current_version(list.version).add_entries(entry);
        let action = "ec2:ModifyManagedPrefixList";
        leave.heard(action, &list.id, connection.call(action, asked.send()).await)
    }

    fn holding(&self, list: &PrefixList, users: &[String]) -> String {
        let owns = |(_, description): &&(_, Option<String>)| self.target.owns(list, description.as_ref());
        let (ours, most) = (list.entries.iter().filter(owns).count(), list.max_entries);
        let former = list.former.as_ref().map(|mark| format!(", to be taken over from {mark}")).unwrap_or_default();
        let use_of_it = if users.is_empty() {
            "no rule names it yet, so it opens nothing".to_owned()
        } else {
            format!("named by {}, and counts as {most} rules in each security group of these", write::listing(users))
        };
        format!(
            "{}{former}: {ours} entries of ours and {} of others, MaxEntries {most}, may grow to {}; {use_of_it}",
            list.id,
            list.entries.len() - ours,
            self.target.most_entries
        )
    }
}
