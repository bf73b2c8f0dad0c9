//! tagwall keeps firewalls open to the prefixes of Azure service tags, and to nobody else.

pub mod source;
