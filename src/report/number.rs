//! Numbers as people read them.

use std::fmt::Display;

use tagwall_provider::AddressCount;

/// A number with commas between its thousands.
pub fn thousands(number: impl Display + Copy) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count of addresses: in full up to a few billions, as a power of two beyond, where digits say nothing.
pub fn addresses(count: AddressCount) -> String {
    let exponent = count.as_f64().log2();
    if exponent <= 34.0 {
        return thousands(count);
    }
    if exponent.fract() == 0.0 { format!("2^{exponent:.0}") } else { format!("about 2^{exponent:.1}") }
}

/// `1 address`, `2^80 addresses`.
pub fn counted_addresses(count: AddressCount) -> String {
    format!("{} {}", addresses(count), if count == AddressCount::new(1) { "address" } else { "addresses" })
}

/// `1 prefix`, `2 prefixes`.
pub fn counted(number: usize, singular: &str, plural: &str) -> String {
    format!("{} {}", thousands(number), if number == 1 { singular } else { plural })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        let check = |number: u64, expect| assert_eq!(thousands(number), expect);
        check(0, "0");
        check(999, "999");
        check(1_000, "1,000");
        check(56_820, "56,820");
        check(1_234_567, "1,234,567");
    }

    #[test]
    fn great_counts_are_powers_of_two() {
        let check = |count: u128, expect| assert_eq!(addresses(AddressCount::new(count)), expect);
        check(0, "0");
        check(1 << 32, "4,294,967,296");
        check(1 << 80, "2^80");
        check(3 << 80, "about 2^81.6");
    }
}
