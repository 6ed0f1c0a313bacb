//! Rows on their way from the processor to the thread that writes them.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use tokio::sync::mpsc;

use super::{Table, TableError};
use crate::bars::{Bar, BarSpec, ClosedBar};
use crate::cvd::{CvdConfig, Reading};
use crate::report::OutputClosed;
use crate::snapshot::{Coverage, Market, Snapshot, Stamp, TradeSource};
use crate::trade::AggTrade;
use crate::units::Symbol;

/// Rows that move together: handing over each one by itself would cost more than writing it.
pub(super) const ROWS: usize = 4_096;
/// Batches on their way.
pub(super) const BATCHES: usize = 2;

/// A row that owns what it shows; the symbol is that of its lane.
#[derive(Debug, Clone, Copy)]
pub(super) enum Row {
    Trade(TradeRow),
    Bar(BarRow),
}

#[derive(Debug, Clone, Copy)]
pub(super) struct TradeRow {
    lane: usize,
    ordinal: u64,
    trade: AggTrade,
    source: TradeSource,
    received: Option<Stamp>,
    reading: Reading,
    coverage: Coverage,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct BarRow {
    lane: usize,
    spec: BarSpec,
    bar: Bar,
}

/// Rows, and what has to be known before some of them.
#[derive(Debug, Default)]
pub(super) struct Batch {
    rows: Vec<Row>,
    /// Each before the row of this number.
    news: VecDeque<(usize, News)>,
}

#[derive(Debug)]
enum News {
    /// Whose a lane is.
    Lane(usize, Market, Symbol),
    /// What the numbers are made with.
    Settings(Market, CvdConfig),
}

/// Takes rows and hands them to the thread that writes them.
#[derive(Debug)]
pub struct RowWriter {
    /// The rows are bars, not trades.
    bars: bool,
    path: PathBuf,
    batch: Batch,
    known: Vec<bool>,
    /// The rest goes, however little.
    last: bool,
    batches: mpsc::Sender<Batch>,
    used: mpsc::Receiver<Batch>,
}

impl RowWriter {
    pub(super) fn new(
        path: PathBuf,
        bars: bool,
        batches: mpsc::Sender<Batch>,
        used: mpsc::Receiver<Batch>,
    ) -> Self {
        Self { bars, path, batch: Batch::default(), known: Vec::new(), last: false, batches, used }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes a trade, if trades are the rows.
    #[inline]
    pub fn trade(&mut self, snapshot: &Snapshot<'_>) {
        if self.bars {
            return;
        }
        let Snapshot { lane, market, symbol, ordinal, trade, source, received, reading, coverage } =
            *snapshot;
        self.know(lane, market, symbol);
        let (trade, coverage) = (*trade, *coverage);
        let row = TradeRow { lane, ordinal, trade, source, received, reading, coverage };
        self.batch.rows.push(Row::Trade(row));
    }

    /// Takes a bar, if bars are the rows.
    pub fn bar(&mut self, closed: &ClosedBar<'_>) {
        if self.bars {
            let ClosedBar { lane, market, symbol, spec, bar, .. } = *closed;
            self.know(lane, market, symbol);
            self.batch.rows.push(Row::Bar(BarRow { lane, spec, bar: *bar }));
        }
    }

    /// Lanes are others from here on, and numbers are made with these settings: another recording begins.
    pub fn begin(&mut self, market: Market, calculator: CvdConfig) {
        self.known.clear();
        self.tell(News::Settings(market, calculator));
    }

    /// Whether waiting for the end of the burst would be too much.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.batch.rows.len() >= ROWS
    }

    /// Whether there are rows to hand over and the thread is behind.
    pub fn is_waiting(&self) -> bool {
        (self.is_full() || self.last) && self.batches.capacity() == 0
    }

    /// Nothing more will come: the next flush hands over what there is.
    pub fn last(&mut self) {
        self.last = true;
    }

    /// Hands the rows over if they are enough, waiting while the thread is behind.
    ///
    /// # Errors
    /// [`OutputClosed::File`] if the file cannot be written; why, [`RowThread::finish`](super::RowThread::finish) tells.
    ///
    /// # Cancel safety
    /// The rows stay where they are until there is room for them.
    pub async fn flush(&mut self) -> Result<(), OutputClosed> {
        if !self.is_full() && !self.last {
            return if self.batches.is_closed() { Err(OutputClosed::File) } else { Ok(()) };
        }
        let permit = self.batches.reserve().await.map_err(|_closed| OutputClosed::File)?;
        let fresh = self.used.try_recv().unwrap_or_default();
        permit.send(std::mem::replace(&mut self.batch, fresh));
        Ok(())
    }

    #[inline]
    fn know(&mut self, lane: usize, market: Market, symbol: &Symbol) {
        if self.known.get(lane) != Some(&true) {
            if self.known.len() <= lane {
                self.known.resize(lane + 1, false);
            }
            self.known[lane] = true;
            self.tell(News::Lane(lane, market, symbol.clone()));
        }
    }

    fn tell(&mut self, news: News) {
        self.batch.news.push_back((self.batch.rows.len(), news));
    }
}

/// Whose the rows are, as far as the thread was told.
#[derive(Debug, Default)]
pub(super) struct Lanes(Vec<Option<(Market, Symbol)>>);

impl Lanes {
    /// Writes the rows of a batch and empties it.
    pub(super) fn write(&mut self, batch: &mut Batch, into: &mut dyn Table) -> Result<(), TableError> {
        for (at, row) in batch.rows.drain(..).enumerate() {
            while batch.news.front().is_some_and(|(before, _)| *before <= at) {
                batch.news.pop_front().into_iter().for_each(|(_, news)| self.learn(news, into));
            }
            let (Row::Trade(TradeRow { lane, .. }) | Row::Bar(BarRow { lane, .. })) = row;
            let (market, symbol) =
                self.0[lane].as_ref().expect("known, because its first row came with its name");
            let market = *market;
            match &row {
                Row::Trade(TradeRow { ordinal, trade, source, received, reading, coverage, .. }) => {
                    into.trade(&Snapshot {
                        lane,
                        market,
                        symbol,
                        ordinal: *ordinal,
                        trade,
                        source: *source,
                        received: *received,
                        reading: *reading,
                        coverage,
                    })?;
                }
                Row::Bar(BarRow { spec, bar, .. }) => {
                    let (closed_by, received) = (None, None);
                    into.bar(&ClosedBar { lane, market, symbol, spec: *spec, bar, closed_by, received })?;
                }
            }
        }
        batch.news.drain(..).for_each(|(_, news)| self.learn(news, into));
        // One trade may have brought a hundred thousand empty bars.
        batch.rows.shrink_to(2 * ROWS);
        Ok(())
    }

    fn learn(&mut self, news: News, into: &mut dyn Table) {
        match news {
            News::Settings(market, calculator) => into.made_with(market, calculator),
            News::Lane(lane, market, symbol) => {
                if self.0.len() <= lane {
                    self.0.resize(lane + 1, None);
                }
                self.0[lane] = Some((market, symbol));
                into.rename(lane);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bars::BarBuilder;
    use crate::cvd::Cvd;
    use crate::trade::Aggressor;
    use crate::units::{AggTradeId, Price, Qty, UnixMillis};

    fn bar() -> Bar {
        let trade = AggTrade {
            id: AggTradeId(1),
            price: Price::from_units(1),
            qty: Qty::from_units(1),
            qty_without_rpi: None,
            first_trade_id: 1,
            last_trade_id: 1,
            traded_at: UnixMillis(1),
            event_at: None,
            aggressor: Aggressor::Buyer,
        };
        let reading = Cvd::new(CvdConfig::default()).unwrap().apply(&trade).unwrap();
        let mut builder = BarBuilder::new(BarSpec::Ticks(9), false);
        builder.apply(&trade, &reading, 1, &mut 0, |_| {});
        builder.end().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn rows_wait_for_a_slow_thread_and_say_that_they_do() {
        let (batches, mut written) = mpsc::channel(BATCHES);
        let (_recycle, used) = mpsc::channel(BATCHES);
        let mut writer = RowWriter::new("x.csv".into(), true, batches, used);
        let (symbol, bar) = (Symbol::new("X").unwrap(), bar());
        let (market, spec) = (Market::UsdM, BarSpec::Ticks(9));
        let closed =
            ClosedBar { lane: 0, market, symbol: &symbol, spec, bar: &bar, closed_by: None, received: None };
        for _ in 0..BATCHES {
            (0..ROWS).for_each(|_| writer.bar(&closed));
            assert!(!writer.is_waiting());
            writer.flush().await.unwrap();
        }
        // Few rows do not move.
        writer.bar(&closed);
        writer.flush().await.unwrap();
        assert!(!writer.is_full() && !writer.is_waiting());
        writer.last();
        assert!(writer.is_waiting());
        let hours = std::time::Duration::from_secs(10_000);
        assert!(tokio::time::timeout(hours, writer.flush()).await.is_err());
        let first = written.recv().await.unwrap();
        assert_eq!((first.news.len(), first.rows.len()), (1, ROWS));
        writer.flush().await.unwrap();
        let second = written.recv().await.unwrap();
        assert_eq!((second.news.len(), second.rows.len()), (0, ROWS));
        assert_eq!(written.recv().await.unwrap().rows.len(), 1);
        drop(written);
        assert_eq!(writer.flush().await, Err(OutputClosed::File));
    }

    /// Whose each row was, and what was said between them.
    #[derive(Default)]
    struct Told(Vec<String>);

    impl Table for Told {
        fn trade(&mut self, _: &Snapshot<'_>) -> Result<(), TableError> {
            unreachable!("the rows are bars")
        }

        fn bar(&mut self, bar: &ClosedBar<'_>) -> Result<(), TableError> {
            self.0.push(format!("{} {}", bar.lane, bar.symbol));
            Ok(())
        }

        fn rename(&mut self, lane: usize) {
            self.0.push(format!("another {lane}"));
        }

        fn made_with(&mut self, market: Market, calculator: CvdConfig) {
            self.0.push(format!("{market} {}", calculator.z_window));
        }

        fn finish(self: Box<Self>) -> Result<std::fs::File, TableError> {
            unreachable!("nobody finishes it")
        }
    }

    #[tokio::test]
    async fn lanes_that_are_others_from_some_row_on_leave_the_rows_before_alone() {
        let (batches, mut written) = mpsc::channel(BATCHES);
        let (_recycle, used) = mpsc::channel(BATCHES);
        let mut writer = RowWriter::new("x.csv".into(), true, batches, used);
        let (bar, symbols) = (bar(), ["A", "B"].map(|symbol| Symbol::new(symbol).unwrap()));
        let (market, spec) = (Market::Spot, BarSpec::Ticks(9));
        let row = |writer: &mut RowWriter, lane, symbol| {
            writer.bar(&ClosedBar { lane, market, symbol, spec, bar: &bar, closed_by: None, received: None });
        };
        row(&mut writer, 0, &symbols[0]);
        row(&mut writer, 0, &symbols[0]);
        writer.begin(Market::CoinM, CvdConfig::default());
        row(&mut writer, 0, &symbols[1]);
        row(&mut writer, 1, &symbols[0]);
        writer.begin(Market::Spot, CvdConfig::default());
        writer.last();
        writer.flush().await.unwrap();
        let (mut told, mut lanes) = (Told::default(), Lanes::default());
        lanes.write(&mut written.recv().await.unwrap(), &mut told).unwrap();
        let expected =
            ["another 0", "0 A", "0 A", "coinm 300", "another 0", "0 B", "another 1", "1 A", "spot 300"];
        assert_eq!(told.0, expected);
    }
}
