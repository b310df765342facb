//! Sizes as people write them: `4096`, `64K`, `4MiB`. All units are powers of 1024.

/// Reads a size in bytes.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    const HELP: &str = "write a number of bytes such as 4096, 64KiB, 4MiB or 1G";
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kib" => 10,
        "m" | "mib" => 20,
        "g" | "gib" => 30,
        "t" | "tib" => 40,
        _ => return Err(format!("unknown unit '{}': {HELP}", unit.trim())),
    };
    let number: u64 = number.parse().map_err(|_| HELP.to_owned())?;
    number.checked_mul(1 << shift).ok_or_else(|| "more than 16 EiB".to_owned())
}

/// A size for a person: exact where it is a whole number of a unit, else with one decimal.
pub(crate) fn human(bytes: u64) -> String {
    let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    for (shift, name) in units {
        let unit = 1_u64 << shift;
        if bytes >= unit {
            if bytes.is_multiple_of(unit) {
                return format!("{} {name}", bytes >> shift);
            }
            // Tenths of the unit, in whole numbers: no rounding up into the next unit.
            let tenths = u128::from(bytes) * 10 / u128::from(unit);
            return format!("{}.{} {name}", tenths / 10, tenths % 10);
        }
    }
    format!("{bytes} bytes")
}

#[cfg(test)]
mod tests {
    use super::{human, parse};

    #[test]
    fn every_unit_is_read_with_and_without_its_long_form() {
        assert_eq!(parse("4096"), Ok(4096));
        assert_eq!(parse("64K"), Ok(65_536));
        assert_eq!(parse("64KiB"), Ok(65_536));
        assert_eq!(parse("4 mib"), Ok(4 << 20));
        assert_eq!(parse("1G"), Ok(1 << 30));
        assert_eq!(parse("2TiB"), Ok(2 << 40));
    }

    #[test]
    fn what_is_no_size_is_refused_with_the_form_expected() {
        for text in ["", "MiB", "-1", "4 furlongs", "4MB", "99999999999TiB", "1.5G"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_shown_in_the_largest_unit_that_fits() {
        assert_eq!(human(0), "0 bytes");
        assert_eq!(human(1023), "1023 bytes");
        assert_eq!(human(4 << 20), "4 MiB");
        assert_eq!(human((3 << 30) / 2), "1.5 GiB");
    }
}
