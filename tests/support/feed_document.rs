//! Documents in Microsoft's form, with prefixes kept for documentation.

/// A document of the public cloud with these tags and prefixes.
pub(crate) fn document(change_number: u64, tags: &[(&str, &[&str])]) -> String {
    document_of("Public", change_number, tags)
}

/// A document of any cloud, laid out as Microsoft does: CRLF, two spaces, no final newline.
pub(crate) fn document_of(cloud: &str, change_number: u64, tags: &[(&str, &[&str])]) -> String {
    let tags: Vec<String> = tags.iter().map(|(name, prefixes)| tag(name, prefixes)).collect();
    let document = format!(
        "{{\n  \"changeNumber\": {change_number},\n  \"cloud\": \"{cloud}\",\n  \"values\": [\n{}\n  ]\n}}",
        tags.join(",\n")
    );
    document.replace('\n', "\r\n")
}

/// One tag of a document; a name with a dot is a regional one.
fn tag(name: &str, prefixes: &[&str]) -> String {
    let (service, region) = name.split_once('.').unwrap_or((name, ""));
    let region = region.to_lowercase();
    let prefixes: Vec<String> = prefixes.iter().map(|prefix| format!("          \"{prefix}\"")).collect();
    let prefixes = prefixes.join(",\n");
    format!(
        r#"    {{
      "name": "{name}",
      "id": "{name}",
      "properties": {{
        "changeNumber": 1,
        "region": "{region}",
        "regionId": 0,
        "platform": "Azure",
        "systemService": "{service}",
        "addressPrefixes": [
{prefixes}
        ],
        "networkFeatures": null
      }}
    }}"#
    )
}

/// A small document with some of everything.
pub(crate) fn small() -> String {
    document(
        376,
        &[
            ("AzureActiveDirectory", &["192.0.2.0/25", "198.51.100.64/26", "2001:db8:1::/48"]),
            ("Storage", &["203.0.113.0/24"]),
            ("Storage.WestEurope", &["203.0.113.128/25", "2001:db8:2:100::/56"]),
        ],
    )
}
