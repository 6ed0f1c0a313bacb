//! From a seed to everything that will happen.

use std::fmt;
use std::time::Duration;

use cvd_stream::exchange::Act;
use cvd_stream::snapshot::Market;
use cvd_stream::units::Symbol;
use fastrand::Rng;

use super::chaos::Weather;

/// Trades of a schedule, all symbols together.
const TRADES: u64 = 2_000;
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// Everything that is decided before a run.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) market: Market,
    pub(crate) symbols: Vec<Symbol>,
    pub(crate) settings: Settings,
    pub(crate) weather: Weather,
    pub(crate) reader: Reader,
    /// Whether REST may lose trades for good, or not come back before the deadline.
    pub(crate) lossy: bool,
    /// What the exchange does while the weather lasts.
    pub(crate) acts: Vec<Act>,
    /// What it does when everything is calm again.
    pub(crate) finish: Vec<Act>,
}

/// Settings of the monitor.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) queue: usize,
    pub(crate) hold: usize,
    pub(crate) heartbeat: Duration,
    pub(crate) backoff_max: Duration,
    pub(crate) repair_deadline: Duration,
    pub(crate) stats_interval: Duration,
}

/// How slow the reader of the output is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader {
    /// One chunk in so many is followed by a pause; 0 for none.
    pub(crate) pause_one_in: u32,
    /// In milliseconds, at most.
    pub(crate) pause_ms: u64,
}

impl Plan {
    /// The plan of a seed: always the same.
    pub(crate) fn of(seed: u64) -> Self {
        let mut dice = Rng::with_seed(seed);
        let dice = &mut dice;
        let market = Market::ALL[dice.usize(0..3)];
        let names = match market {
            Market::CoinM => ["BTCUSD_PERP", "ETHUSD_PERP", "XRPUSD_PERP"],
            Market::UsdM | Market::Spot => ["BTCUSDT", "ETHUSDT", "XRPUSDT"],
        };
        let symbols: Vec<_> =
            names[..dice.usize(1..=3)].iter().map(|name| Symbol::new(name).unwrap()).collect();
        let lossy = dice.u8(0..4) == 0;
        let settings = Settings::of(dice, lossy);
        let weather = Weather::of(dice);
        let reader = Reader::of(dice);
        let mut writer = Writer { dice, symbols: &symbols, lossy, restarts: 0, acts: Vec::new() };
        writer.write();
        // A new numbering is known by its trades: nobody asks REST whether there is one.
        let may_lose_tail = !lossy && writer.restarts == 0;
        let acts = writer.acts;
        let finish = finish(dice, &symbols, may_lose_tail);
        Self { seed, market, symbols, settings, weather, reader, lossy, acts, finish }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { market, symbols, settings, weather, reader, lossy, .. } = self;
        let names: Vec<_> = symbols.iter().map(Symbol::as_str).collect();
        writeln!(f, "{market} {names:?}, lossy: {lossy}\n{settings:?}\n{weather:?}\n{reader:?}")?;
        for (part, acts) in [("script", &self.acts), ("finish", &self.finish)] {
            for (number, act) in acts.iter().enumerate() {
                writeln!(f, "{part} {number}: {act:?}")?;
            }
        }
        Ok(())
    }
}

impl Settings {
    fn of(dice: &mut Rng, lossy: bool) -> Self {
        let queue = match dice.u8(0..20) {
            0..12 => dice.usize(1..=8),
            12..17 => dice.usize(9..=64),
            _ => 1_024,
        };
        let hold = match dice.u8(0..4) {
            0 => dice.usize(1..=16),
            1 => dice.usize(17..=256),
            _ => 65_536,
        };
        Self {
            queue,
            hold,
            heartbeat: Duration::from_secs(pick(dice, &[5, 15, 60])),
            backoff_max: Duration::from_secs(pick(dice, &[1, 5, 30])),
            repair_deadline: if lossy { Duration::from_secs(dice.u64(1..=40)) } else { DAY },
            stats_interval: Duration::from_secs(pick(dice, &[1, 10, 60])),
        }
    }
}

impl Weather {
    fn of(dice: &mut Rng) -> Self {
        let fine = dice.u8(0..4) == 0;
        let chunk = pick(dice, &[64, 1_000, 4_096]);
        Self {
            refuse_one_in: pick(dice, &[0, 4, 10]),
            breaks_after: if fine { 0 } else { pick(dice, &[6_000, 30_000, 200_000]) },
            late_one_in: if fine { 0 } else { pick(dice, &[0, 10, 50]) },
            // No slower than 3 kB/s: a ping behind a full pipe would come too late to be answered in time.
            late_ms: pick(dice, &[50, 500, 10_000]).min(chunk as u64 * 3),
            chunk,
        }
    }
}

impl Reader {
    fn of(dice: &mut Rng) -> Self {
        Self { pause_one_in: pick(dice, &[0, 5, 50]), pause_ms: pick(dice, &[100, 3_000, 60_000]) }
    }
}

fn pick<T: Copy>(dice: &mut Rng, from: &[T]) -> T {
    from[dice.usize(0..from.len())]
}

/// Healthy again, and the last trades: every symbol's very last one can be had, over the stream or over REST.
fn finish(dice: &mut Rng, symbols: &[Symbol], may_lose_tail: bool) -> Vec<Act> {
    let mut acts = vec![
        Act::LagRest(0),
        Act::LagRestTime(Duration::ZERO),
        Act::SlowRest(Duration::ZERO),
        Act::SlowBytes { per_second: 0 },
        Act::CutRest(0),
        Act::RefuseRest { status: 429, retry_after: None, times: 0 },
    ];
    for symbol in symbols {
        let last = match (may_lose_tail, dice.u8(0..4)) {
            // A lost tail: nothing comes after it that would show the hole.
            (true, 0) => Act::SkipIds(dice.u64(1..=20)),
            _ => Act::Trades(dice.u64(5..=20)),
        };
        acts.push(last.of(symbol.clone()));
    }
    acts
}

/// Writes the script.
struct Writer<'a> {
    dice: &'a mut Rng,
    symbols: &'a [Symbol],
    lossy: bool,
    restarts: u32,
    acts: Vec<Act>,
}

impl Writer<'_> {
    fn write(&mut self) {
        let may_restart = self.dice.u8(0..5) == 0;
        // Something to begin with, before the first fault.
        for symbol in self.symbols {
            self.acts.push(Act::Trades(self.dice.u64(1..=10)).of(symbol.clone()));
        }
        let mut left = TRADES;
        while left > 0 {
            let made = self.trades(left);
            left -= made;
            for _ in 0..self.dice.u8(0..3) {
                self.fault();
            }
            if may_restart && self.restarts < 2 && left > 300 && self.dice.u8(0..30) == 0 {
                left -= self.restart();
            }
        }
    }

    /// Some trades, in one way or another; how many were made.
    fn trades(&mut self, left: u64) -> u64 {
        let most = pick(self.dice, &[3, 20, 60, 150]);
        let n = self.dice.u64(1..=most).min(left);
        let (act, n) = match self.dice.u8(0..20) {
            0..11 => (Act::Trades(n), n),
            11..14 => (Act::TradesPaced { n, per_second: pick(self.dice, &[5, 50, 500]) }, n),
            14 => (Act::Corrupt(n.min(5)), n.min(5)),
            15 => (Act::ZeroQty(n.min(5)), n.min(5)),
            16 | 17 => (Act::SkipIds(n), n),
            _ => (Act::Reorder(n.min(60) as usize), n.min(60)),
        };
        let act = self.maybe_of_one_symbol(act);
        self.acts.push(act);
        n
    }

    fn maybe_of_one_symbol(&mut self, act: Act) -> Act {
        match self.dice.u8(0..4) {
            0 => act.of(self.symbols[self.dice.usize(0..self.symbols.len())].clone()),
            _ => act,
        }
    }

    fn fault(&mut self) {
        let act = match self.dice.u8(0..44) {
            0..3 => self.ending(Act::Drop),
            3..6 => self.ending(Act::Reset),
            6..8 => {
                let code = pick(self.dice, &[1000, 1001, 1006, 1008, 1011]);
                self.ending(Act::Close { code, reason: "so it goes".into() })
            }
            8 => self.ending(Act::HalfOpen),
            9 => self.ending(Act::Mute),
            10..13 => Act::Stall(Duration::from_millis(pick(self.dice, &[30, 3_000, 30_000, 100_000]))),
            13..16 => Act::Repeat(self.dice.usize(1..=300)),
            16..18 => Act::Conflict(self.dice.usize(1..=5)),
            18 => Act::Garbage(vec![0xC3, 0x28, b'{']),
            19 => Act::Frame("{\"e\":\"aggTrade\",\"a\":".into()),
            20 => Act::Binary(vec![0; 40]),
            // Later on, and of the busiest symbol: the very first id of all is believed whatever it is.
            21 if self.acts.len() > 60 => {
                let id = pick(self.dice, &[i64::MAX, i64::MAX / 2, 900_000_000_000_000, 7_000_000_000, 5]);
                Act::Implausible(id).of(self.symbols[0].clone())
            }
            22 => Act::SlowBytes { per_second: pick(self.dice, &[0, 500, 20_000]) },
            23..26 => Act::LagRest(pick(self.dice, &[0, 0, 5, 300])),
            26..29 => Act::LagRestTime(Duration::from_millis(pick(self.dice, &[0, 0, 700, 20_000]))),
            29..32 => Act::SlowRest(Duration::from_millis(pick(self.dice, &[0, 0, 300, 4_000, 30_000]))),
            32..35 => Act::CutRest(self.dice.u32(1..=3)),
            35..40 => self.refuse_rest(),
            _ if self.lossy => Act::LoseFromRest(pick(self.dice, &[1, 5, 40])),
            _ => Act::SkipIds(self.dice.u64(1..=30)),
        };
        self.acts.push(act);
    }

    /// Some of what ends a connection is followed by trouble with the next one, or by trades that nobody hears.
    fn ending(&mut self, act: Act) -> Act {
        self.acts.push(act);
        for _ in 0..self.dice.u8(0..3) {
            let next = match self.dice.u8(0..6) {
                0 => Act::AcceptThenClose,
                1 => Act::AckWithoutData,
                2 => Act::StallHandshake,
                _ => Act::Refuse {
                    status: pick(self.dice, &[403, 418, 429, 500, 502, 503]),
                    retry_after: pick(self.dice, &[None, Some("1"), Some("30"), Some("-1")])
                        .map(String::from),
                    times: self.dice.u32(1..=3),
                },
            };
            self.acts.push(next);
        }
        let unheard = Act::SkipIds(self.dice.u64(1..=40));
        self.maybe_of_one_symbol(unheard)
    }

    fn refuse_rest(&mut self) -> Act {
        let retry_after = pick(self.dice, &[None, None, Some("1"), Some("45"), Some("0"), Some("soon")]);
        let status = pick(self.dice, &[429, 429, 418, 500, 503]);
        // Each ban without a number is twice as long as the last.
        let times = if status == 418 { 1 } else { self.dice.u32(1..=4) };
        Act::RefuseRest { status, retry_after: retry_after.map(String::from), times }
    }

    /// The ids begin anew, and go on for long enough to be believed; how many trades were made.
    fn restart(&mut self) -> u64 {
        self.restarts += 1;
        let first = if self.restarts == 1 { 1_000 } else { 80_000_000_000 };
        // A relisting takes a while, so that the times tell the numberings apart.
        self.acts.push(Act::Stall(Duration::from_secs(2)));
        self.acts.push(Act::RestartIds(first));
        for symbol in self.symbols {
            self.acts.push(Act::Trades(50).of(symbol.clone()));
        }
        50 * self.symbols.len() as u64
    }
}
