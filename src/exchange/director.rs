//! Plays the script: makes trades, enters them in the ledger, cues the connections.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until};

use super::busy::{Busy, Running};
use super::connection::Shared;
use super::hub::{Batch, Cue, Hub, Welcome};
use super::ledger::Ledger;
use super::market::{Listing, MAX_LATENCY_MS, MarketModel};
use super::pace::Pace;
use super::rest_script::RestScript;
use super::script::{Act, AtEnd};
use super::wire;
use crate::trade::AggTrade;
use crate::units::{AggTradeId, Price, Qty, Symbol, UnixMillis};

/// Trades per batch: about 50 KB on the wire.
const BATCH: u64 = 256;
/// Trades remembered for [`Act::Repeat`], and the most that [`Act::Reorder`] turns round.
const REMEMBERED: usize = 4_096;
/// How often paced trades go out.
const PACE: Duration = Duration::from_millis(10);

/// An act played by hand, and who waits for its end.
pub(super) struct Play {
    pub(super) act: Act,
    pub(super) done: oneshot::Sender<()>,
}

/// The one who plays the script.
pub(super) struct Director {
    pub(super) shared: Shared,
    pub(super) market: MarketModel,
    pub(super) ledger: Ledger,
    pub(super) hub: Hub,
    pub(super) rest: RestScript,
    pub(super) plays: mpsc::Receiver<Play>,
    /// Whether trades happen now, by the exchange's clock, rather than at the model's own times.
    pub(super) steered: bool,
    /// There are no sockets.
    pub(super) is_in_memory: bool,
    pub(super) seed: u64,
    remembered: VecDeque<(usize, AggTrade)>,
}

/// What is special about trades that are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    /// Cut on the wire.
    Corrupt,
    /// Void, as the exchange leaves duplicates of its own.
    Voided,
}

/// Whom an act concerns.
#[derive(Debug, Clone, Copy, Default)]
struct Aim {
    connection: Option<u64>,
    listing: Option<usize>,
}

impl Director {
    pub(super) fn new(
        shared: Shared,
        market: MarketModel,
        ledger: Ledger,
        hub: Hub,
        rest: RestScript,
        plays: mpsc::Receiver<Play>,
    ) -> Self {
        Self {
            shared,
            market,
            ledger,
            hub,
            rest,
            plays,
            steered: false,
            is_in_memory: false,
            seed: 0,
            remembered: VecDeque::new(),
        }
    }

    /// Arms the handshakes a script begins with, so that they hold from the very first connection.
    pub(super) fn open(&self, script: &mut VecDeque<Act>) {
        while script.front().is_some_and(Act::is_for_a_handshake) {
            if let Some(act) = script.pop_front() {
                self.arm(&act);
                self.over();
            }
        }
    }

    /// Plays the script, then what comes at its end; never ends by itself.
    pub(super) async fn run(mut self, mut acts: VecDeque<Act>, at_end: AtEnd) {
        while let Some(act) = acts.pop_front() {
            if act.ends_connections() {
                self.open(&mut acts);
            }
            self.play(&act, Aim::default()).await;
            self.over();
        }
        self.shared.counters.count(|stats| stats.script_finished = true);
        match at_end {
            AtEnd::Hold => {}
            AtEnd::Close => {
                let close = Act::Close { code: 1000, reason: String::new() };
                self.play(&close, Aim::default()).await;
            }
            AtEnd::Market { per_second } => return self.trade_for_ever(per_second).await,
            AtEnd::Bursts { per_second } if self.is_in_memory => {
                return self.trade_for_ever(per_second).await;
            }
            AtEnd::Bursts { per_second } => return self.burst_for_ever(per_second).await,
            AtEnd::SlowMarket { every } => return self.trade_seldom(every.max(PACE)).await,
        }
        while let Some(play) = self.plays.recv().await {
            self.play_by_hand(play).await;
        }
        std::future::pending().await
    }

    async fn play_by_hand(&mut self, Play { act, done }: Play) {
        self.play(&act, Aim::default()).await;
        self.over();
        // Whoever asked may have stopped waiting.
        done.send(()).ok();
    }

    fn over(&self) {
        self.shared.counters.count(|stats| stats.acts_played += 1);
    }

    async fn play(&mut self, act: &Act, mut aim: Aim) {
        let mut act = act;
        loop {
            match act {
                Act::On(connection, inner) => (aim.connection, act) = (Some(*connection), inner),
                Act::Of(symbol, inner) => match self.market.index_of(symbol) {
                    Some(listing) => (aim.listing, act) = (Some(listing), inner),
                    None => return,
                },
                _ => break,
            }
        }
        // Acts that do nothing to an open connection need not wait for one, and return.
        match act {
            Act::Trades(n) => self.trade(*n, aim, Kind::Plain).await,
            Act::TradesPaced { n, per_second } => self.trade_paced(*n, *per_second, aim).await,
            Act::Bursts { n, per_second } if self.is_in_memory => {
                self.trade_paced(*n, *per_second, aim).await
            }
            Act::Bursts { .. } if self.market.is_idle() => return,
            Act::Bursts { n, per_second } => {
                drop(self.hub.receivers(None).await);
                let pace = self.pace(*per_second);
                let mut running = self.begin_bursts(pace, *n).await;
                let busy = running.over().await;
                self.end_bursts(busy);
            }
            Act::List(listing) => return self.list(listing).await,
            Act::Delist(symbol) => return self.delist(symbol).await,
            Act::Status(symbol, status) => {
                if let Some(index) = self.market.index_of(symbol) {
                    self.shared.listings.set_status(index, status);
                }
                return;
            }
            Act::SkipIds(n) => return self.skip(*n, aim),
            Act::Repeat(n) => self.repeat(*n, aim).await,
            Act::Reorder(n) => self.reorder(*n, aim).await,
            Act::Corrupt(n) => self.trade(*n, aim, Kind::Corrupt).await,
            Act::ZeroQty(n) => self.trade(*n, aim, Kind::Voided).await,
            Act::Conflict(n) => self.conflict(*n, aim).await,
            Act::Implausible(id) => self.implausible(*id, aim).await,
            Act::RestartIds(first) => return self.restart_ids(*first, aim),
            Act::Frame(text) => self.message(wire::TEXT, text.as_bytes(), aim).await,
            Act::Binary(bytes) => self.message(wire::BINARY, bytes, aim).await,
            Act::Garbage(bytes) => self.message(wire::TEXT, bytes, aim).await,
            Act::Raw(bytes) => {
                let bytes: Arc<[u8]> = bytes.as_slice().into();
                let lines = self.hub.receivers(aim.connection).await;
                cue(&lines, || Cue::Raw(bytes.clone())).await;
            }
            Act::Stall(pause) => return sleep(*pause).await,
            Act::Mute => self.tell(aim, || Cue::Mute).await,
            Act::Close { code, reason } => {
                let reason: Arc<str> = reason.as_str().into();
                self.tell(aim, || Cue::Close(*code, reason.clone())).await;
            }
            Act::Drop => self.tell(aim, || Cue::Drop).await,
            Act::Reset => self.tell(aim, || Cue::Reset).await,
            Act::HalfOpen => self.tell(aim, || Cue::HalfOpen).await,
            Act::SlowBytes { per_second } => self.tell(aim, || Cue::Slow(*per_second)).await,
            Act::Refuse { .. }
            | Act::AcceptThenClose
            | Act::AckWithoutData
            | Act::StallHandshake
            | Act::Misanswer { .. } => return self.arm(act),
            Act::WaitForConnection(n) => {
                let mut stats = self.shared.counters.watch();
                return drop(stats.wait_for(|stats| stats.connections >= *n).await);
            }
            Act::WaitForSymbols => {
                let listed = self.shared.listings.listed();
                return self.hub.carried(&listed).await;
            }
            Act::Until(signal) => return signal.notified().await,
            Act::RefuseRest { status, retry_after, times } => {
                return self.rest.refuse(*status, retry_after.as_deref(), *times);
            }
            Act::CutRest(times) => return self.rest.cut(*times),
            Act::LagRest(ids) => return self.rest.lock().shade.ids = *ids,
            Act::LagRestTime(time) => return self.rest.lock().shade.time = *time,
            Act::SlowRest(slowness) => return self.rest.lock().slowness = *slowness,
            Act::LoseFromRest(n) => return self.lose_from_rest(*n, aim),
            Act::On(..) | Act::Of(..) => {}
        }
        self.settle(aim).await;
    }

    /// Waits until everything cued is written or its connection gone.
    async fn settle(&self, aim: Aim) {
        let mut marks = Vec::new();
        for line in self.hub.lines(aim.connection) {
            let (mark, marked) = oneshot::channel();
            if line.send(Cue::Mark(mark)).await.is_ok() {
                marks.push(marked);
            }
        }
        for marked in marks {
            // An error is a connection that ended, which settles it as well.
            drop(marked.await);
        }
    }

    async fn tell(&self, aim: Aim, what: impl Fn() -> Cue) {
        cue(&self.hub.lines(aim.connection), what).await;
    }

    async fn message(&self, opcode: u8, payload: &[u8], aim: Aim) {
        let payload: Arc<[u8]> = payload.into();
        let lines = self.hub.receivers(aim.connection).await;
        cue(&lines, || Cue::Message(opcode, payload.clone())).await;
    }

    async fn trade(&mut self, n: u64, aim: Aim, kind: Kind) {
        let mut left = n;
        while left > 0 {
            let lines = self.hub.receivers(aim.connection).await;
            let mut trades = self.make(left.min(BATCH), aim);
            if trades.is_empty() {
                return;
            }
            left -= trades.len() as u64;
            if kind == Kind::Voided {
                trades.iter_mut().for_each(|(_, trade)| void(trade));
            }
            self.publish(&lines, trades, kind).await;
        }
    }

    async fn trade_paced(&mut self, n: u64, per_second: u32, aim: Aim) {
        let lines = self.hub.receivers(aim.connection).await;
        drop(lines);
        let start = Instant::now();
        let mut made = 0;
        while made < n {
            let due = due(start, per_second).min(n);
            while made < due {
                let lines = self.hub.receivers(aim.connection).await;
                let trades = self.make((due - made).min(BATCH), aim);
                if trades.is_empty() {
                    return;
                }
                made += trades.len() as u64;
                self.publish(&lines, trades, Kind::Plain).await;
            }
            sleep(PACE).await;
        }
    }

    /// The market goes on whether or not anybody listens; acts can be played by hand meanwhile.
    async fn trade_for_ever(mut self, per_second: u32) {
        let mut start = Instant::now();
        let mut made = 0;
        loop {
            tokio::select! {
                biased;
                Some(play) = self.plays.recv() => {
                    let pause = Instant::now();
                    self.play_by_hand(play).await;
                    start += pause.elapsed();
                }
                () = sleep_until(Instant::now() + PACE) => {}
            }
            let due = due(start, per_second);
            while made < due {
                let n = (due - made).min(BATCH);
                let trades = self.make(n, Aim::default());
                made += n;
                self.publish(&self.hub.receiving(), trades, Kind::Plain).await;
            }
        }
    }

    /// The market of [`AtEnd::Bursts`], which makes way for acts that are played by hand.
    async fn burst_for_ever(mut self, per_second: u32) {
        let mut pace = self.pace(per_second);
        loop {
            let mut running = self.begin_bursts(pace, u64::MAX).await;
            let mut played = None;
            let busy = tokio::select! {
                biased;
                busy = running.over() => busy,
                Some(play) = self.plays.recv() => {
                    played = Some(play);
                    running.pause();
                    running.over().await
                }
            };
            pace = busy.pace.clone();
            pace.begin_again();
            self.end_bursts(busy);
            if let Some(play) = played {
                self.play_by_hand(play).await;
            }
        }
    }

    fn pace(&self, per_second: u32) -> Pace {
        Pace::new(self.seed, per_second)
    }

    /// Hands the market over to a thread of its own, and the sockets with it.
    async fn begin_bursts(&mut self, pace: Pace, left: u64) -> Running {
        let lines = self.hub.lend();
        cue(&lines, || Cue::Lend).await;
        self.settle(Aim::default()).await;
        let market = self.market.clone();
        let (shared, ledger, hub) = (self.shared.clone(), self.ledger.clone(), self.hub.clone());
        let busy = Busy { market, pace, shared, ledger, hub, steered: self.steered, left };
        busy.start().expect("the system gives a thread, because an exchange is not asked for many")
    }

    fn end_bursts(&mut self, busy: Busy) {
        self.market = busy.market;
    }

    async fn list(&mut self, listing: &Listing) {
        let index = self.market.list(listing);
        self.shared.listings.list(listing.clone());
        self.ledger.list(&listing.symbol);
        self.rest.begin_epoch(index);
        self.tell(Aim::default(), || Cue::Relisted).await;
        self.settle(Aim::default()).await;
    }

    async fn delist(&mut self, symbol: &Symbol) {
        let Some(index) = self.market.index_of(symbol) else { return };
        self.market.delist(index);
        self.shared.listings.delist(index);
        self.tell(Aim::default(), || Cue::Relisted).await;
        self.settle(Aim::default()).await;
    }

    async fn trade_seldom(mut self, every: Duration) {
        let mut next = Instant::now() + every;
        loop {
            tokio::select! {
                biased;
                Some(play) = self.plays.recv() => self.play_by_hand(play).await,
                () = sleep_until(next) => {
                    next += every;
                    let trades = self.make(1, Aim::default());
                    self.publish(&self.hub.receiving(), trades, Kind::Plain).await;
                }
            }
        }
    }

    /// None where nothing is listed.
    fn make(&mut self, n: u64, aim: Aim) -> Vec<(usize, AggTrade)> {
        if aim.listing.is_none() && self.market.is_idle() {
            return Vec::new();
        }
        if self.steered {
            // So long ago that no event claims to be from the future.
            self.market.advance_to(UnixMillis(self.shared.clock.now().0 - MAX_LATENCY_MS));
        }
        let one = |market: &mut MarketModel| match aim.listing {
            Some(index) => (index, market.trade_of(index)),
            None => market.trade(),
        };
        (0..n).map(|_| one(&mut self.market)).collect()
    }

    async fn publish(&mut self, lines: &[mpsc::Sender<Cue>], trades: Vec<(usize, AggTrade)>, kind: Kind) {
        let corrupt = kind == Kind::Corrupt;
        self.ledger.record(&trades, !lines.is_empty() && !corrupt);
        let batch = self.batch(&trades, corrupt);
        for trade in trades {
            if self.remembered.len() == REMEMBERED {
                self.remembered.pop_front();
            }
            self.remembered.push_back(trade);
        }
        cue(lines, || Cue::Trades(batch.clone())).await;
    }

    fn batch(&self, trades: &[(usize, AggTrade)], corrupt: bool) -> Arc<Batch> {
        let mut batch =
            Batch { json: Vec::with_capacity(trades.len() * 200), ends: Vec::with_capacity(trades.len()) };
        let listings = self.shared.listings.read();
        for (index, trade) in trades {
            let start = batch.json.len();
            wire::push_event(&mut batch.json, self.shared.rules.market, &listings[*index].listing, trade);
            if corrupt {
                // Inside the numbers: no character of several bytes is cut there.
                batch.json.truncate(start + 30);
            }
            batch.ends.push((*index, batch.json.len()));
        }
        Arc::new(batch)
    }

    fn skip(&mut self, n: u64, aim: Aim) {
        let mut left = n;
        while left > 0 {
            let trades = self.make(left.min(BATCH), aim);
            if trades.is_empty() {
                return;
            }
            left -= trades.len() as u64;
            self.ledger.record(&trades, false);
        }
    }

    async fn repeat(&mut self, n: usize, aim: Aim) {
        let lines = self.hub.receivers(aim.connection).await;
        self.send(&lines, &self.last_made(n, aim)).await;
    }

    async fn conflict(&mut self, n: usize, aim: Aim) {
        let lines = self.hub.receivers(aim.connection).await;
        let mut trades = self.last_made(n, aim);
        // What is void stays void.
        trades.retain(|(_, trade)| trade.qty.units() > 0);
        for (index, trade) in &mut trades {
            let lot = self.shared.listings.read()[*index].listing.lot;
            trade.qty = Qty::from_units(trade.qty.units() + lot.units());
        }
        self.send(&lines, &trades).await;
    }

    async fn implausible(&mut self, id: i64, aim: Aim) {
        let lines = self.hub.receivers(aim.connection).await;
        // Like the trade that is to come next, which goes on existing.
        let mut market = self.market.clone();
        let (index, trade) = match aim.listing {
            Some(index) => (index, market.trade_of(index)),
            None => market.trade(),
        };
        self.send(&lines, &[(index, AggTrade { id: AggTradeId(id), ..trade })]).await;
    }

    /// The last so many trades that were sent, oldest first.
    fn last_made(&self, n: usize, aim: Aim) -> Vec<(usize, AggTrade)> {
        let matching =
            self.remembered.iter().filter(|(index, _)| aim.listing.is_none_or(|only| only == *index));
        let mut trades: Vec<_> = matching.rev().take(n).copied().collect();
        trades.reverse();
        trades
    }

    /// Sends trades that the ledger knows already, or never will.
    async fn send(&self, lines: &[mpsc::Sender<Cue>], trades: &[(usize, AggTrade)]) {
        for trades in trades.chunks(BATCH as usize) {
            let batch = self.batch(trades, false);
            cue(lines, || Cue::Trades(batch.clone())).await;
        }
    }

    fn lose_from_rest(&self, n: u64, aim: Aim) {
        for index in self.concerned(aim) {
            if let Some(ids) = self.ledger.last_ids(index, n) {
                self.rest.lose(index, ids);
            }
        }
    }

    /// The listings that an act concerns.
    fn concerned(&self, aim: Aim) -> impl Iterator<Item = usize> + use<> {
        (0..self.market.len()).filter(move |index| aim.listing.is_none_or(|only| only == *index))
    }

    async fn reorder(&mut self, n: usize, aim: Aim) {
        let lines = self.hub.receivers(aim.connection).await;
        let mut trades = self.make(n.min(REMEMBERED) as u64, aim);
        self.ledger.record(&trades, !lines.is_empty());
        trades.reverse();
        self.send(&lines, &trades).await;
    }

    fn restart_ids(&mut self, first: i64, aim: Aim) {
        for index in self.concerned(aim) {
            self.market.restart_ids(index, first);
            self.ledger.begin_epoch(index);
            self.rest.begin_epoch(index);
        }
    }

    fn arm(&self, act: &Act) {
        let (welcome, times) = match act {
            Act::Refuse { status, retry_after, times } => {
                (Welcome::Refuse { status: *status, retry_after: retry_after.clone() }, *times)
            }
            Act::AcceptThenClose => (Welcome::ThenClose, 1),
            Act::AckWithoutData => (Welcome::Mute, 1),
            Act::StallHandshake => (Welcome::Stall, 1),
            Act::Misanswer { how, times } => return self.shared.misanswers.arm(how, *times),
            _ => return,
        };
        self.hub.arm(&welcome, times);
    }
}

/// Hands a cue to every connection, waiting for room; one that is gone is passed over.
async fn cue(lines: &[mpsc::Sender<Cue>], what: impl Fn() -> Cue) {
    for line in lines {
        drop(line.send(what()).await);
    }
}

/// What is left of a trade that the exchange takes back: its id.
fn void(trade: &mut AggTrade) {
    (trade.price, trade.qty) = (Price::from_units(0), Qty::from_units(0));
    trade.qty_without_rpi = trade.qty_without_rpi.map(|_| Qty::from_units(0));
    (trade.first_trade_id, trade.last_trade_id) = (-1, -1);
}

fn due(start: Instant, per_second: u32) -> u64 {
    let due = start.elapsed().as_micros() * u128::from(per_second.max(1)) / 1_000_000;
    u64::try_from(due).unwrap_or(u64::MAX)
}
