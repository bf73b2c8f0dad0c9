//! What is held of the real publications, and why that is right.
//!
//! The figures were worked out a second time by a program of a few lines over the same files, which knows nothing of
//! this one. AzureActiveDirectory of the public cloud has not been held since 2020-09.

/// What is expected to be held: the publication's date and number, the list (`*` where it is the publication as a
/// whole), the limit, the finding, and why that is right.
pub(super) type Held = (&'static str, &'static str, &'static str, &'static str, &'static str);

pub(super) const PUBLIC: &[Held] = &[
    (
        "20190722_cn82",
        "actiongroup",
        "missing-tag",
        "list `actiongroup`: the publication has no tag `ActionGroup`",
        "the tag is younger: who asks for it has to be told, not closed to everybody",
    ),
    (
        "20200224_cn97",
        "actiongroup",
        "missing-tag",
        "list `actiongroup`: the publication has no tag `ActionGroup`",
        "the tag is younger still",
    ),
    (
        "20200224_cn97",
        "azureactivedirectory",
        "loss",
        "list `azureactivedirectory`: 0.0 % of the IPv4 addresses (15) and 15.8 % of the prefixes (15 of 95) would go, the limit is 10 %",
        "seven months after the first: 15 single addresses left in one step; by addresses alone nobody would see it",
    ),
    (
        "20200511_cn89",
        "*",
        "older-publication",
        "the publication has change number 89, the last one accepted had 102",
        "Microsoft's number fell; what cannot be told from a stale cache is asked about",
    ),
    (
        "20200827_cn97",
        "*",
        "older-publication",
        "the publication has change number 97, the last one accepted had 103",
        "Microsoft's number fell for the second and last time",
    ),
    (
        "20200921_cn108",
        "actiongroup",
        "growth",
        "list `actiongroup`: the IPv6 addresses would grow by 2400.0 % (384 more than 16), the limit is 100 %",
        "IPv6 went from 2 prefixes to 50: twenty-five times as many addresses",
    ),
    (
        "20200921_cn108",
        "azuremonitor",
        "growth",
        "list `azuremonitor`: the IPv6 addresses would grow by 415.5 % (8,980 more than 2,161), the limit is 100 %",
        "IPv6 went from 84 prefixes to 294",
    ),
    (
        "20201019_cn115",
        "azuremonitor",
        "loss",
        "list `azuremonitor`: 26.6 % of the IPv6 addresses (2,960) and 40.8 % of the prefixes (120 of 294) would go, the limit is 10 %",
        "120 of the prefixes that came the month before went again",
    ),
    (
        "20210301_cn137",
        "azuremonitor",
        "growth",
        "list `azuremonitor`: the IPv6 addresses would grow by 160.2 % (14,276 more than 8,909), the limit is 100 %",
        "IPv6 went from 211 prefixes to 360",
    ),
    (
        "20210621_cn153",
        "azurecloud",
        "loss",
        "list `azurecloud`: 23.9 % of the IPv6 addresses (about 2^88.0) and 0.8 % of the prefixes (3 of 388) would go, the limit is 10 %",
        "three prefixes of 388, and 2603:1050:300::/40 among them is a quarter of all addresses: why addresses are counted",
    ),
    (
        "20230403_cn248",
        "actiongroup",
        "loss",
        "list `actiongroup`: 42.5 % of the IPv4 addresses (190) and 71.5 % of the prefixes (186 of 260) would go, the limit is 10 %",
        "the step of 2023-03-27: 186 single addresses gave way to few ranges, a break for whoever receives webhooks",
    ),
    (
        "20240610_cn310",
        "azurecloud",
        "loss",
        "list `azurecloud`: 19.4 % of the IPv6 addresses (about 2^88.0) and 0.2 % of the prefixes (2 of 1014) would go, the limit is 10 %",
        "2603:1050:300::/40 went once more: a fifth of all addresses in two prefixes",
    ),
    (
        "20240624_cn312",
        "azuremonitor",
        "loss",
        "list `azuremonitor`: 17.2 % of the IPv4 addresses (3,168) and 4.2 % of the prefixes (59 of 1390) would go, the limit is 10 %",
        "a sixth of the addresses in a twenty-fourth of the prefixes",
    ),
];

pub(super) const US_GOVERNMENT: &[Held] = &[
    (
        "20191216_cn72",
        "actiongroup",
        "missing-tag",
        "list `actiongroup`: the publication has no tag `ActionGroup`",
        "the tag is younger",
    ),
    (
        "20191216_cn72",
        "azurefrontdoor-backend",
        "missing-tag",
        "list `azurefrontdoor-backend`: the publication has no tag `AzureFrontDoor.Backend`",
        "the tag is younger",
    ),
    (
        "20201116_cn122",
        "azuremonitor",
        "growth",
        "list `azuremonitor`: the IPv4 addresses would grow by 183.5 % (290 more than 158), the limit is 100 %",
        "eleven months in one step: 22 prefixes became 58",
    ),
    (
        "20201116_cn122",
        "storage",
        "loss",
        "list `storage`: 2.7 % of the IPv4 addresses (96) and 15.2 % of the prefixes (5 of 33) would go, the limit is 10 %",
        "eleven months in one step: five of 33 prefixes left",
    ),
    (
        "20201116_cn122",
        "storage",
        "growth",
        "list `storage`: the IPv4 addresses would grow by 171.4 % (6,144 more than 3,584), the limit is 100 %",
        "eleven months in one step",
    ),
    (
        "20210301_cn137",
        "azuremonitor",
        "growth",
        "list `azuremonitor`: the IPv6 addresses would grow by 203.8 % (1,696 more than 832), the limit is 100 %",
        "IPv6 went from 14 prefixes to 31",
    ),
    (
        "20220103_cn183",
        "actiongroup",
        "growth",
        "list `actiongroup`: the IPv4 addresses would grow by 460.0 % (46 more than 10), the limit is 100 %",
        "four prefixes became 50",
    ),
    (
        "20230410_cn249",
        "actiongroup",
        "loss",
        "list `actiongroup`: 76.7 % of the IPv4 addresses (46) and 88.5 % of the prefixes (46 of 52) would go, the limit is 10 %",
        "the 46 single addresses that had come went again, as in the public cloud a week before",
    ),
    (
        "20240108_cn288",
        "actiongroup",
        "growth",
        "list `actiongroup`: the IPv4 addresses would grow by 142.9 % (20 more than 14), the limit is 100 %",
        "six prefixes became eleven",
    ),
    (
        "20250203_cn344",
        "azureactivedirectory",
        "growth",
        "list `azureactivedirectory`: the IPv4 addresses would grow by 243.8 % (4,096 more than 1,680), the limit is 100 %",
        "one /20 came: more addresses than all before it, so somebody should look at it",
    ),
    (
        "20250324_cn349",
        "azurecloud",
        "loss",
        "list `azurecloud`: 3.7 % of the IPv4 addresses (36,081) and 11.0 % of the prefixes (14 of 127) would go, the limit is 10 %",
        "fourteen of 127 prefixes lost addresses",
    ),
    (
        "20250324_cn349",
        "azurefrontdoor-backend",
        "loss",
        "list `azurefrontdoor-backend`: 5.6 % of the IPv4 addresses (8) and 11.9 % of the prefixes (8 of 67) would go, the limit is 10 %",
        "eight single addresses of 67 prefixes left",
    ),
];

pub(super) const CHINA: &[Held] = &[
    (
        "20201116_cn121",
        "azuremonitor",
        "growth",
        "list `azuremonitor`: the IPv4 addresses would grow by 122.5 % (174 more than 142), the limit is 100 %",
        "23 prefixes became 40 in half a year",
    ),
    (
        "20210322_cn139",
        "azuremonitor",
        "growth",
        "list `azuremonitor`: the IPv6 addresses would grow by 150.0 % (768 more than 512), the limit is 100 %",
        "four prefixes became ten",
    ),
    (
        "20230710_cn261",
        "azureactivedirectory",
        "loss",
        "list `azureactivedirectory`: 1.1 % of the IPv4 addresses (12) and 26.7 % of the prefixes (12 of 45) would go, the limit is 10 %",
        "45 prefixes shrank to 33: twelve single addresses left",
    ),
];
