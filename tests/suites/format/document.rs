//! Reading `FORMAT.md`: its tables, as cells without markup.

use emberkv_core::Checksums;

const TEXT: &str = include_str!("../../../core/docs/FORMAT.md");

/// A table: rows of cells, the headings first.
pub(crate) type Table = Vec<Vec<String>>;

fn cells(line: &str) -> Vec<String> {
    let inner = line.trim().trim_start_matches('|').trim_end_matches('|');
    inner.split('|').map(|cell| cell.trim().to_owned()).collect()
}

/// The tables below a heading, up to the next heading of any level.
pub(crate) fn tables(heading: &str) -> Vec<Table> {
    let mut lines = TEXT
        .lines()
        .skip_while(|line| line.trim_start_matches('#').trim() != heading || !line.starts_with('#'))
        .skip(1)
        .take_while(|line| !line.starts_with('#'))
        .peekable();
    let (mut all, mut fenced) = (Vec::new(), false);
    while let Some(line) = lines.next() {
        fenced ^= line.starts_with("```");
        if fenced || !line.starts_with('|') {
            continue;
        }
        let mut table = vec![cells(line)];
        let ruler = lines.next().expect("a table has a line below its headings");
        assert!(ruler.starts_with("|---"), "below the headings of {heading}: {ruler}");
        while let Some(row) = lines.next_if(|line| line.starts_with('|')) {
            table.push(cells(row));
        }
        let columns = table[0].len();
        assert!(table.iter().all(|row| row.len() == columns), "uneven rows below {heading}");
        all.push(table);
    }
    assert!(!all.is_empty(), "FORMAT.md has no table below {heading}");
    all
}

/// The rows of the one table below a heading, without the column headings.
pub(crate) fn rows(heading: &str) -> Table {
    let mut all = tables(heading);
    assert_eq!(all.len(), 1, "one table below {heading}");
    all.remove(0).split_off(1)
}

/// Whether the document says this, word for word.
pub(crate) fn says(words: &str) -> bool {
    TEXT.split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .contains(&words.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// A number of the document: decimal, `0x..` or `2^n`.
pub(crate) fn number(cell: &str) -> Option<u64> {
    if let Some(hex) = cell.strip_prefix("0x") {
        return u64::from_str_radix(hex, 16).ok();
    }
    if let Some(power) = cell.strip_prefix("2^") {
        return Some(1 << power.parse::<u32>().ok()?);
    }
    cell.parse().ok()
}

/// The bytes in the first `` `..` `` of a cell.
pub(crate) fn quoted_bytes(cell: &str) -> Option<Vec<u8>> {
    let hex = cell.split('`').nth(1)?;
    hex.split(' ').map(|byte| u8::from_str_radix(byte, 16).ok()).collect()
}

/// What an encoded structure must hold: field names of the document and their bytes.
pub(crate) type Fields<'a> = Vec<(&'a str, Vec<u8>)>;

/// Checks an encoded structure against a table of offset, bytes, field and meaning. Every byte must be accounted for.
pub(crate) fn check_structure(
    rows: &Table,
    bytes: &[u8],
    fields: Fields<'_>,
    lengths: &[(&str, usize)],
) {
    let (mut at, mut fields) = (0, fields);
    for row in rows {
        let [offset, length, field, meaning] = row.as_slice() else {
            panic!("a structure has four columns: {row:?}");
        };
        assert_eq!(offset.parse().ok(), Some(at), "offset of {field}");
        let named = lengths.iter().find(|(name, _)| name == length).map(|&(_, bytes)| bytes);
        let length: usize = named.or_else(|| length.parse().ok()).expect("a length");
        let found = &bytes[at..at + length];
        at += length;
        if field == "zero" {
            assert!(found.iter().all(|&byte| byte == 0), "zeros at {offset}: {found:02x?}");
            continue;
        }
        if let Some(fixed) = quoted_bytes(meaning) {
            assert_eq!(found, fixed, "{field} at {offset}");
            continue;
        }
        let index = fields.iter().position(|(name, _)| name == field);
        let (_, expected) = fields.remove(index.unwrap_or_else(|| panic!("unknown field {field}")));
        assert_eq!(found, expected, "{field} at {offset}");
    }
    assert_eq!(at, bytes.len(), "the table ends with the structure");
    assert!(fields.is_empty(), "not in the document: {fields:?}");
}

/// Evaluates a row of the table of checksums: `bytes` are those of the structure, `values` what the other words mean.
pub(crate) fn checksum(name: &str, bytes: &[u8], values: &[(&str, Vec<u8>)]) -> u64 {
    let all = tables("Checksums");
    let row = all[0].iter().find(|row| row[0] == name);
    let row = row.unwrap_or_else(|| panic!("no checksum of {name}"));
    let sums = Checksums::PORTABLE;
    let wide = row[1] == "CRC-64";
    assert!(wide || row[1] == "CRC-32C", "function of {name}");
    let mut sum = 0;
    for word in row[2].split([',', ';']).map(str::trim).filter(|word| !word.is_empty()) {
        let piece = match (word.strip_prefix("bytes "), word.strip_prefix('"')) {
            (Some(range), _) => {
                let (from, to) = range.split_once("..").expect("a range");
                let place = |text: &str| text.parse::<usize>().expect("a place");
                bytes[place(from)..place(to)].to_vec()
            }
            (_, Some(tag)) => tag.trim_end_matches('"').as_bytes().to_vec(),
            _ if word == "0 u64" => vec![0; 8],
            _ => {
                let value = values.iter().find(|(name, _)| *name == word);
                value.unwrap_or_else(|| panic!("{name} covers {word}?")).1.clone()
            }
        };
        sum = if wide {
            (sums.crc64)(sum, &piece)
        } else {
            u64::from((sums.crc32c)(sum as u32, &piece))
        };
    }
    sum
}
