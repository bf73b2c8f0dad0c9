//! Every action of AWS that tagwall uses. The policies in `packaging/aws` allow exactly these.
//!
//! Asking who one is (`sts:GetCallerIdentity`) takes no permission, and `sts:AssumeRole` is granted for roles that only
//! the operator knows: neither is listed.

/// What a plan takes. The read-only policy allows these alone.
pub const READING: &[&str] = &[
    "ec2:DescribeManagedPrefixLists",
    "ec2:DescribeSecurityGroupRules",
    "ec2:DescribeSecurityGroups",
    "ec2:GetManagedPrefixListAssociations",
    "ec2:GetManagedPrefixListEntries",
];

/// What a change takes besides.
pub const WRITING: &[&str] = &[
    "ec2:AuthorizeSecurityGroupIngress",
    "ec2:CreateManagedPrefixList",
    // With authorise and with making a list, for rules that lost their tag, and for what a renamed target left.
    "ec2:CreateTags",
    // Withdrawing a list that tagwall made.
    "ec2:DeleteManagedPrefixList",
    "ec2:ModifyManagedPrefixList",
    "ec2:RevokeSecurityGroupIngress",
];
