//! What truly happened: every trade the exchange made, whether or not the wire carried it.

use std::collections::{HashMap, VecDeque};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::time::Instant;

use super::market::Listing;
use super::rest_script::Shade;
use crate::trade::AggTrade;
use crate::units::{AggTradeId, QtyDelta, Symbol, UnixMillis};

/// Every trade the exchange made, per symbol. Cheap to clone; the clones see one ledger.
///
/// It keeps the newest trades up to its capacity; sums and counts stay exact beyond it. A symbol that is not
/// listed has no trades and a CVD of zero.
#[derive(Debug, Clone)]
pub struct Ledger {
    books: Arc<Mutex<Books>>,
}

#[derive(Debug)]
struct Books {
    index: HashMap<Symbol, usize>,
    books: Vec<Book>,
    capacity: usize,
}

#[derive(Debug, Default)]
struct Book {
    trades: VecDeque<AggTrade>,
    /// Where the present run of ids begins in `trades`; REST knows nothing older.
    epoch: usize,
    /// When the newest trades were made: each entry stands for all up to its id.
    made_at: VecDeque<(Instant, AggTradeId)>,
    cvd: QtyDelta,
    made: u64,
    sent: u64,
}

/// Moments remembered per symbol.
const MOMENTS: usize = 65_536;

impl Ledger {
    pub(super) fn new(listings: &[Listing], capacity: usize) -> Self {
        let index = listings.iter().enumerate().map(|(at, listing)| (listing.symbol.clone(), at)).collect();
        let books = listings.iter().map(|_| Book::default()).collect();
        Self { books: Arc::new(Mutex::new(Books { index, books, capacity: capacity.max(1) })) }
    }

    /// The exact CVD of all trades made.
    pub fn cvd(&self, symbol: &Symbol) -> QtyDelta {
        self.look(symbol, |book| book.cvd).unwrap_or_default()
    }

    /// The trades made, oldest first; at most the ledger's capacity.
    pub fn trades(&self, symbol: &Symbol) -> Vec<AggTrade> {
        self.look(symbol, |book| book.trades.iter().copied().collect()).unwrap_or_default()
    }

    /// How many trades were made.
    pub fn made(&self, symbol: &Symbol) -> u64 {
        self.look(symbol, |book| book.made).unwrap_or_default()
    }

    /// How many different trades were handed to at least one connection. What the network then did with them
    /// is another matter.
    pub fn sent(&self, symbol: &Symbol) -> u64 {
        self.look(symbol, |book| book.sent).unwrap_or_default()
    }

    /// The oldest id kept.
    pub fn first_id(&self, symbol: &Symbol) -> Option<AggTradeId> {
        self.look(symbol, |book| book.trades.front().map(|trade| trade.id)).flatten()
    }

    /// The newest id.
    pub fn last_id(&self, symbol: &Symbol) -> Option<AggTradeId> {
        self.look(symbol, |book| book.trades.back().map(|trade| trade.id)).flatten()
    }

    /// When the newest trade of any symbol happened.
    pub fn last_traded_at(&self) -> Option<UnixMillis> {
        let books = self.lock();
        books.books.iter().filter_map(|book| book.trades.back()).map(|trade| trade.traded_at).max()
    }

    /// One more symbol, or one that had trades already: its ids begin anew.
    pub(super) fn list(&self, symbol: &Symbol) {
        let at = {
            let mut books = self.lock();
            let Books { index, books, .. } = &mut *books;
            *index.entry(symbol.clone()).or_insert_with(|| {
                books.push(Book::default());
                books.len() - 1
            })
        };
        self.begin_epoch(at);
    }

    pub(super) fn record(&self, trades: &[(usize, AggTrade)], sent: bool) {
        let now = Instant::now();
        let mut books = self.lock();
        let capacity = books.capacity;
        for (index, trade) in trades {
            let book = &mut books.books[*index];
            match book.made_at.back_mut() {
                Some((moment, upto)) if *moment == now => *upto = trade.id,
                _ => book.made_at.push_back((now, trade.id)),
            }
            if book.made_at.len() > MOMENTS {
                book.made_at.pop_front();
            }
            if book.trades.len() == capacity {
                book.trades.pop_front();
                book.epoch = book.epoch.saturating_sub(1);
            }
            book.trades.push_back(*trade);
            book.cvd = book.cvd.checked_add(trade.delta()).unwrap_or(book.cvd);
            book.made += 1;
            book.sent += u64::from(sent);
        }
    }

    /// A new run of ids begins; what was before stays in the sums but not in REST.
    pub(super) fn begin_epoch(&self, index: usize) {
        let book = &mut self.lock().books[index];
        book.epoch = book.trades.len();
        book.made_at.clear();
    }

    /// The last so many ids of the present epoch, if there are any.
    pub(super) fn last_ids(&self, index: usize, n: u64) -> Option<RangeInclusive<i64>> {
        let books = self.lock();
        let book = &books.books[index];
        let mut epoch = book.trades.range(book.epoch..);
        let (first, last) = (epoch.next()?.id.0, book.trades.back()?.id.0);
        let n = i64::try_from(n).ok().filter(|n| *n > 0)?;
        Some(last.saturating_sub(n - 1).max(first)..=last)
    }

    /// The newest id that is not in the shade.
    pub(super) fn newest_visible(&self, index: usize, shade: Shade) -> Option<AggTradeId> {
        let books = self.lock();
        let book = &books.books[index];
        let AggTradeId(newest) = book.trades.back()?.id;
        let by_ids = newest.saturating_sub(i64::try_from(shade.ids).unwrap_or(i64::MAX));
        if shade.time.is_zero() {
            return Some(AggTradeId(by_ids));
        }
        let seen = book.made_at.iter().rev().find(|(moment, _)| moment.elapsed() >= shade.time);
        seen.map(|(_, id)| AggTradeId(id.0.min(by_ids)))
    }

    /// Up to `limit` visible trades from `from` on, oldest first, found without walking the whole book.
    pub(super) fn page(
        &self,
        symbol: &Symbol,
        from: From,
        upto: Upto,
        limit: usize,
        visible: impl Fn(AggTradeId) -> bool,
    ) -> Vec<AggTrade> {
        self.look(symbol, |book| {
            let (head, tail) = (book.epoch, book.trades.len());
            let cut = |keep: &dyn Fn(&AggTrade) -> bool| {
                // Ids and times ascend within one epoch, so both ends are found by halving.
                let (mut low, mut high) = (head, tail);
                while low < high {
                    let middle = low + (high - low) / 2;
                    if keep(&book.trades[middle]) { low = middle + 1 } else { high = middle }
                }
                low
            };
            let end = match upto {
                Upto::End => tail,
                Upto::Time(end) => cut(&|trade| trade.traded_at <= end),
            }
            .min(tail);
            let start = match from {
                From::Id(id) => cut(&|trade| trade.id < id),
                From::Time(start) => cut(&|trade| trade.traded_at < start),
                From::Newest => head,
            };
            let window = book.trades.range(start..end.max(start)).filter(|trade| visible(trade.id)).copied();
            if matches!(from, From::Newest) {
                let mut newest: Vec<_> = window.rev().take(limit).collect();
                newest.reverse();
                return newest;
            }
            window.take(limit).collect()
        })
        .unwrap_or_default()
    }

    fn look<R>(&self, symbol: &Symbol, read: impl FnOnce(&Book) -> R) -> Option<R> {
        let books = self.lock();
        let at = *books.index.get(symbol)?;
        Some(read(&books.books[at]))
    }

    fn lock(&self) -> MutexGuard<'_, Books> {
        self.books.lock().expect("no thread panics with the ledger in hand, because nothing in it can")
    }
}

/// Where a page begins.
#[derive(Debug, Clone, Copy)]
pub(super) enum From {
    /// At this id or the next one there is.
    Id(AggTradeId),
    /// At this time, inclusive.
    Time(UnixMillis),
    /// So that the page holds the newest.
    Newest,
}

/// Where a page ends at the latest.
#[derive(Debug, Clone, Copy)]
pub(super) enum Upto {
    /// At the newest trade.
    End,
    /// At this time, inclusive.
    Time(UnixMillis),
}

#[cfg(test)]
mod tests {
    use super::super::market::MarketModel;
    use super::*;

    fn btc() -> Symbol {
        Symbol::new("BTCUSDT").unwrap()
    }

    fn ledger_of(n: usize, capacity: usize) -> (Ledger, Vec<AggTrade>) {
        let listings = [Listing::new(btc())];
        let mut market = MarketModel::new(&listings, 7, UnixMillis(1_000));
        let trades: Vec<_> = (0..n).map(|_| market.trade()).collect();
        let ledger = Ledger::new(&listings, capacity);
        ledger.record(&trades, true);
        (ledger, trades.into_iter().map(|(_, trade)| trade).collect())
    }

    #[test]
    fn the_sum_stays_exact_when_old_trades_are_forgotten() {
        let (ledger, trades) = ledger_of(1_000, 100);
        let sum: i128 = trades.iter().map(|trade| trade.delta().units()).sum();
        assert_eq!(ledger.cvd(&btc()), QtyDelta::from_units(sum));
        assert_eq!((ledger.made(&btc()), ledger.sent(&btc())), (1_000, 1_000));
        assert_eq!(ledger.trades(&btc()), trades[900..]);
        assert_eq!(ledger.first_id(&btc()), Some(trades[900].id));
    }

    #[test]
    fn a_page_equals_a_filter_over_all_trades() {
        let (ledger, trades) = ledger_of(500, 1_000);
        for at in [0, 1, 250, 499] {
            let (id, time) = (trades[at].id, trades[at].traded_at);
            let by_id: Vec<_> = trades.iter().filter(|trade| trade.id >= id).take(50).copied().collect();
            assert_eq!(ledger.page(&btc(), From::Id(id), Upto::End, 50, |_| true), by_id);
            let end = UnixMillis(time.0 + 700);
            let within = |trade: &&AggTrade| trade.traded_at >= time && trade.traded_at <= end;
            let by_time: Vec<_> = trades.iter().filter(within).take(50).copied().collect();
            assert_eq!(ledger.page(&btc(), From::Time(time), Upto::Time(end), 50, |_| true), by_time);
        }
        assert_eq!(ledger.page(&btc(), From::Newest, Upto::End, 3, |_| true), trades[497..]);
        let other = Symbol::new("ETHUSDT").unwrap();
        assert!(ledger.page(&other, From::Newest, Upto::End, 3, |_| true).is_empty());
    }

    #[test]
    fn a_new_run_of_ids_hides_the_old_one_from_pages_only() {
        let (ledger, trades) = ledger_of(10, 1_000);
        ledger.begin_epoch(0);
        assert!(ledger.page(&btc(), From::Newest, Upto::End, 3, |_| true).is_empty());
        assert_eq!(ledger.trades(&btc()), trades);
    }
}
