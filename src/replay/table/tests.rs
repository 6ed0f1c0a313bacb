//! Rows read by hand against rows read the careful way.

use std::io::Read;

use super::*;

/// Gives text in pieces of any size.
struct Pieces {
    text: Vec<u8>,
    at: usize,
    random: fastrand::Rng,
    most: usize,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = &self.text[self.at..];
        let length = self.random.usize(1..=self.most).min(rest.len()).min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        self.at += length;
        Ok(length)
    }
}

/// Rows as the exchange writes them, and now and then anything else.
fn text(random: &mut fastrand::Rng, spot: bool) -> Vec<u8> {
    let mut text = Vec::new();
    let oddity = random.u32(2..60);
    let (wholes, decimals) = (random.u32(1..9), random.u32(0..9));
    let mut id = random.u64(..) >> random.u32(1..64);
    for _ in 0..random.usize(1..200) {
        // Now and then a jump, which changes the higher digits only.
        let jump = if random.u32(..oddity) == 0 { 100_000_000 * random.u64(..30) } else { 0 };
        id = id.wrapping_add(1 + jump);
        let number = |random: &mut fastrand::Rng, digits: u32| random.u64(..10u64.pow(digits.min(19)));
        let decimal = |random: &mut fastrand::Rng, trims: bool| {
            let wholes = if random.u32(..oddity) == 0 { random.u32(1..12) } else { wholes };
            let decimals = if trims { random.u32(0..10) } else { decimals };
            let whole = number(random, wholes).to_string();
            let decimals: String = (0..decimals).map(|_| random.digit(10)).collect();
            if decimals.is_empty() { whole } else { format!("{whole}.{decimals}") }
        };
        let trims = random.u32(..oddity) == 0;
        let mut cells = [
            id.to_string(),
            decimal(random, false),
            decimal(random, trims),
            (id / 2).to_string(),
            (id / 2 + random.u64(..3)).to_string(),
            (1_714_521_600_000 + id % 100_000 + 7 * jump).to_string(),
            random.bool().to_string(),
        ]
        .to_vec();
        cells.extend(spot.then(|| ["true", "True", "False"][random.usize(..3)].to_owned()));
        if random.u32(..oddity) == 0 {
            let odd = [
                "", "-1", "007", " 1", "1e5", "NaN", "+1", "1.", ".5", "TRUE", "0", "True", "\"7\"", "ü",
                "\0",
            ];
            let odd = odd[random.usize(..odd.len())].to_owned();
            let at = random.usize(..cells.len());
            match random.u32(..4) {
                0 => drop(cells.remove(at)),
                1 => cells.insert(at, odd),
                2 => cells[at] += &odd,
                _ => cells[at] = odd,
            }
        }
        let mut line = cells.join(",").into_bytes();
        if random.u32(..oddity * 2) == 0 {
            let at = random.usize(..line.len());
            line[at] = random.u8(..);
        }
        text.extend(line);
        text.extend_from_slice(
            [&b"\n"[..], b"\r\n", b"\n\n"][if random.u32(..oddity) == 0 { random.usize(..3) } else { 0 }],
        );
    }
    if random.bool() {
        text.pop();
    }
    text
}

/// Everything a table gives: trades, and damaged lines between them.
fn all(mut table: Table, text: &[u8], random: &fastrand::Rng, most: usize) -> (Vec<String>, u64, u64) {
    let pieces = Pieces { text: text.to_vec(), at: 0, random: random.clone(), most };
    let (mut lines, mut found, mut bytes) = (Lines::new(Box::new(pieces)), Vec::new(), 0);
    loop {
        let mut block = Vec::new();
        let end = table.fill(&mut lines, &mut block, 64, &mut bytes).unwrap();
        found.extend(block.iter().map(|trade| format!("{trade:?}")));
        match end {
            BlockEnd::Full => {}
            BlockEnd::Damaged(damage) => found.push(format!("{damage:?}")),
            BlockEnd::LastRow => return (found, bytes, lines.number()),
        }
    }
}

#[test]
fn rows_read_by_hand_are_the_rows_that_the_careful_way_reads() {
    let mut random = fastrand::Rng::with_seed(5);
    let mut by_hand = 0;
    for case in 0..400 {
        let spot = random.bool();
        let text = text(&mut random, spot);
        let symbol = Symbol::new("BTCUSDT").unwrap();
        let table = || Table::new(Columns::without_header(spot), Market::UsdM, symbol.clone());
        let careful = Table { scanner: None, ..table() };
        let most = [7, 300, 100_000][case % 3];
        let expected = all(careful, &text, &random, most);
        assert_eq!(all(table(), &text, &random, most), expected, "case {case}");

        let mut block = Vec::new();
        Scanner::new(spot).rows(&text, &mut block, usize::MAX);
        by_hand += block.len();
    }
    assert!(by_hand > 2_000, "the literal shape is what most rows have: {by_hand}");
}
