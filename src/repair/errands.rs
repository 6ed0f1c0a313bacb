//! What REST is asked besides trades: the time and the listings. Pure: when each is due.

use std::time::Duration;

use super::RestError;
use super::budget::Kind;
use super::hole::{after, nanos};
use crate::snapshot::{Market, Stamp};

/// The time is asked for this often at the start, a second apart …
const FIRST_TIMES: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// … and then this often.
const TIME_EVERY: Duration = Duration::from_secs(60);
/// The listings are asked for at the start and then this often …
const LISTINGS_EVERY: Duration = Duration::from_secs(3_600);
/// … or when a silence could be explained by them, if they are older than this.
const LISTINGS_OLD: Duration = Duration::from_secs(600);
/// After a failure the listings are asked for again; twice as long after each, up to [`LISTINGS_OLD`].
const LISTINGS_RETRY: Duration = Duration::from_secs(10);

/// A question about something else than trades.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Errand {
    /// The exchange's time.
    Time,
    /// What a market lists.
    Listings(Market),
}

impl Errand {
    pub(super) const fn kind(self) -> Kind {
        match self {
            Self::Time => Kind::Time,
            Self::Listings(_) => Kind::Listings,
        }
    }
}

/// When the time and the listings of each market are due.
#[derive(Debug)]
pub(super) struct Errands {
    times: u32,
    /// `None` where others ask for it.
    time_at: Option<u64>,
    listings: Vec<Listings>,
}

#[derive(Debug)]
struct Listings {
    market: Market,
    due_at: u64,
    /// When they came last.
    listed_at: Option<u64>,
    failures: u32,
}

impl Errands {
    /// Everything is due at once.
    pub(super) fn new(markets: impl IntoIterator<Item = Market>) -> Self {
        let listings = |market| Listings { market, due_at: 0, listed_at: None, failures: 0 };
        Self { times: 0, time_at: Some(0), listings: markets.into_iter().map(listings).collect() }
    }

    /// Others ask for the time.
    pub(super) fn without_time(&mut self) {
        self.time_at = None;
    }

    /// What to ask now. The time first: it is small, and tells what belongs to this connection.
    pub(super) fn due(&self, now: Stamp) -> Option<Errand> {
        if self.time_at.is_some_and(|at| now.mono_ns >= at) {
            return Some(Errand::Time);
        }
        let due = self.listings.iter().filter(|listings| now.mono_ns >= listings.due_at);
        due.min_by_key(|listings| listings.due_at).map(|listings| Errand::Listings(listings.market))
    }

    /// Our clock was set: what was known of it is void, and is asked for as at the start.
    pub(super) fn clock_stepped(&mut self, now: Stamp) {
        self.times = 0;
        self.time_at = self.time_at.map(|at| at.min(now.mono_ns));
    }

    /// Something of a market is silent that its listings might explain.
    pub(super) fn is_silent(&mut self, market: Market, now: Stamp) {
        for listings in self.listings.iter_mut().filter(|listings| listings.market == market) {
            if let Some(at) = listings.listed_at {
                let old = at.saturating_add(nanos(LISTINGS_OLD));
                listings.due_at = listings.due_at.min(old.max(now.mono_ns));
            }
        }
    }

    /// What came of a question.
    pub(super) fn answered(&mut self, errand: Errand, error: Option<&RestError>, now: Stamp) {
        let refused = matches!(error, Some(RestError::Refused { .. } | RestError::TooOldForIds));
        match errand {
            Errand::Time => {
                self.times = self.times.saturating_add(1);
                let pause = match error {
                    _ if refused => LISTINGS_EVERY,
                    None if self.times < FIRST_TIMES => FIRST_PAUSE,
                    _ => TIME_EVERY,
                };
                self.time_at = self.time_at.map(|_| after(now, pause));
            }
            Errand::Listings(market) => {
                for listings in self.listings.iter_mut().filter(|listings| listings.market == market) {
                    listings.answered(error, refused, now);
                }
            }
        }
    }
}

impl Listings {
    fn answered(&mut self, error: Option<&RestError>, refused: bool, now: Stamp) {
        let pause = match error {
            None => {
                self.failures = 0;
                self.listed_at = Some(now.mono_ns);
                LISTINGS_EVERY
            }
            Some(_) if refused => LISTINGS_EVERY,
            Some(_) => {
                let pause = LISTINGS_RETRY * (1 << self.failures.min(6));
                self.failures = self.failures.saturating_add(1);
                pause.min(LISTINGS_OLD)
            }
        };
        self.due_at = after(now, pause);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Answer, GiveUpReason, Hole, Notice, Planner, Step, WeightBudget};
    use super::*;
    use crate::units::{IdRange, Symbol, UnixMillis};

    fn at(seconds: u64) -> Stamp {
        Stamp { wall_ns: 0, mono_ns: seconds * 1_000_000_000 }
    }

    /// Asks what is due, second by second, and tells when.
    fn asked(
        errands: &mut Errands,
        seconds: std::ops::Range<u64>,
        error: Option<&RestError>,
    ) -> (Vec<u64>, Vec<u64>) {
        let (mut times, mut listings) = (Vec::new(), Vec::new());
        for second in seconds {
            while let Some(errand) = errands.due(at(second)) {
                if errand == Errand::Time {
                    times.push(second)
                } else {
                    listings.push(second)
                }
                errands.answered(errand, error, at(second));
            }
        }
        (times, listings)
    }

    #[test]
    fn the_time_is_asked_three_times_and_then_once_a_minute_and_the_listings_once_an_hour() {
        let (times, listings) = asked(&mut Errands::new([Market::UsdM]), 0..7_200, None);
        assert_eq!(times[..6], [0, 1, 2, 62, 122, 182]);
        assert_eq!(listings, [0, 3_600]);
    }

    #[test]
    fn after_a_step_of_the_clock_the_time_is_asked_as_at_the_start() {
        let mut errands = Errands::new([Market::UsdM]);
        asked(&mut errands, 0..100, None);
        errands.clock_stepped(at(100));
        assert_eq!(asked(&mut errands, 100..200, None).0, [100, 101, 102, 162]);
    }

    #[test]
    fn what_fails_in_passing_is_asked_again_ever_more_rarely_and_what_is_refused_hardly_at_all() {
        let passing = RestError::Passing("away".into());
        let (times, listings) = asked(&mut Errands::new([Market::UsdM]), 0..1_300, Some(&passing));
        assert_eq!(times[..3], [0, 60, 120]);
        assert_eq!(listings, [0, 10, 30, 70, 150, 310, 630, 1_230]);
        let refused = RestError::Refused { status: 451, code: None, message: String::new() };
        assert_eq!(
            asked(&mut Errands::new([Market::UsdM]), 0..7_200, Some(&refused)),
            (vec![0, 3_600], vec![0, 3_600])
        );
    }

    #[test]
    fn a_silence_makes_old_listings_be_asked_for_again_and_young_ones_not() {
        let mut errands = Errands::new([Market::UsdM]);
        asked(&mut errands, 0..100, None);
        errands.is_silent(Market::UsdM, at(100));
        let (_, listings) = asked(&mut errands, 100..2_000, None);
        assert_eq!(listings, [600]);
        errands.is_silent(Market::UsdM, at(2_000));
        assert_eq!(asked(&mut errands, 2_000..2_100, None).1, [2_000]);
    }

    #[test]
    fn each_market_has_listings_of_its_own() {
        let mut errands = Errands::new([Market::UsdM, Market::CoinM]);
        errands.without_time();
        let mut asked = Vec::new();
        for second in 0..4_000 {
            while let Some(errand) = errands.due(at(second)) {
                asked.push((second, errand));
                errands.answered(errand, None, at(second));
            }
            if second == 2_000 {
                errands.is_silent(Market::CoinM, at(second));
            }
        }
        let listings = Errand::Listings;
        let (usdm, coinm) = (listings(Market::UsdM), listings(Market::CoinM));
        assert_eq!(asked, [(0, usdm), (0, coinm), (2_001, coinm), (3_600, usdm)]);
    }

    /// A planner in which the first ids of a symbol are missing, if so.
    fn planner(missing: bool) -> Planner {
        let mut planner = Planner::new(WeightBudget::of(Market::UsdM), Duration::from_secs(60));
        let hole = Hole { ids: IdRange::new(1, 9), after: UnixMillis(0) };
        let holes: &[Hole] = if missing { &[hole] } else { &[] };
        planner.want(0, &Symbol::new("BTCUSDT").expect("a symbol"), holes, at(0));
        planner
    }

    fn told(planner: &mut Planner) -> Vec<Notice> {
        std::iter::from_fn(|| planner.take_notice()).collect()
    }

    #[test]
    fn one_question_is_out_at_a_time_whatever_it_asks_for_and_all_of_them_count() {
        let mut planner = planner(true);
        assert!(planner.errand(Kind::Time, at(0)));
        assert!(!planner.errand(Kind::Listings, at(0)), "one is out");
        assert_eq!(planner.next(at(0)), Step::Wait(None), "the hole waits for it");
        planner.errand_answered(Ok(Some(77)), at(1));
        assert_eq!(planner.used_weight(at(1)), 77);
        assert!(matches!(planner.next(at(1)), Step::Ask(_)));
        assert!(!planner.errand(Kind::Time, at(1)), "a page is out");
        assert_eq!((planner.rest_calls(), planner.repair_calls()), (2, 1));
    }

    #[test]
    fn a_ban_that_an_errand_hears_of_holds_for_everything() {
        let mut planner = planner(true);
        assert!(planner.errand(Kind::Time, at(0)));
        let banned = RestError::TooManyRequests {
            status: 429,
            retry_after: Some(Duration::from_secs(30)),
            banned_until: None,
            used_weight: None,
            message: String::new(),
        };
        planner.errand_answered(Err(banned), at(1));
        assert!(matches!(told(&mut planner)[..], [Notice::Banned { status: 429, .. }]));
        assert_eq!(planner.next(at(2)), Step::Wait(Some(at(31).mono_ns)));
        assert!(!planner.errand(Kind::Time, at(30)));
        assert!(matches!(planner.next(at(31)), Step::Ask(_)));
    }

    #[test]
    fn a_place_that_is_not_served_is_told_once_and_asked_no_more_and_other_refusals_say_nothing_of_trades() {
        let refused = |status| RestError::Refused { status, code: None, message: String::new() };
        let mut planner = planner(true);
        assert!(planner.errand(Kind::Listings, at(0)));
        planner.errand_answered(Err(refused(404)), at(0));
        assert_eq!(told(&mut planner), []);
        assert!(planner.errand(Kind::Time, at(0)));
        planner.errand_answered(Err(refused(451)), at(0));
        assert!(matches!(told(&mut planner)[..], [Notice::Refused { symbol: None, status: 451, .. }]));
        assert!(!planner.errand(Kind::Time, at(599)));
        let Step::Reply(reply) = planner.next(at(1)) else { panic!("the hole is given up") };
        assert!(matches!(reply.answer, Answer::GaveUp { reason: GiveUpReason::Refused, .. }));
        assert!(planner.errand(Kind::Time, at(600)));
    }

    #[test]
    fn what_fails_in_passing_changes_nothing_for_trades() {
        let mut planner = planner(false);
        assert!(planner.errand(Kind::Listings, at(0)));
        planner.errand_answered(Err(RestError::Passing("away".into())), at(1));
        assert_eq!((told(&mut planner), planner.next(at(1))), (vec![], Step::Wait(None)));
    }
}
