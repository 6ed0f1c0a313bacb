//! What a rule can look at.

use super::measure::Measure;

/// What a rule looks at: `on` in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The Z-score of CVD.
    Z,
    /// How much CVD has changed within the window.
    CvdChange,
    /// The trade of the greatest worth of the last second.
    LargeTrade,
    /// How long the oldest open hole in the ids has been waited for, in seconds.
    Gap,
    /// Trades that were given up within the window.
    Missing,
    /// How long no trades have arrived over a connection without REST confirming that nobody trades, in seconds.
    Stale,
    /// The 95th percentile of the time on the network within the window, in seconds.
    Latency,
    /// Connections that were lost and made again within the window.
    Reconnects,
    /// The share of the window's messages that the queue had to drop, 0 to 1.
    QueueDropped,
    /// Messages of the window that could not be read.
    ParseErrors,
    /// Trades of the window that arrived before they were sent, by the two clocks.
    NegativeLatency,
}

/// What a rule watches one of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// Every symbol.
    Symbols,
    /// The connections of every shard.
    Shards,
    /// The run as a whole.
    Run,
}

/// Which type the numbers of a kind have.
#[cfg(feature = "cli")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Number,
    Count,
    Quantity,
    Worth,
}

impl Kind {
    /// All of them, in the order of the documentation.
    pub const ALL: [Self; 11] = [
        Self::Z,
        Self::CvdChange,
        Self::LargeTrade,
        Self::Gap,
        Self::Missing,
        Self::Stale,
        Self::Latency,
        Self::Reconnects,
        Self::QueueDropped,
        Self::ParseErrors,
        Self::NegativeLatency,
    ];

    /// The word in the configuration and in records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Z => "z",
            Self::CvdChange => "cvd_change",
            Self::LargeTrade => "large_trade",
            Self::Gap => "gap",
            Self::Missing => "missing",
            Self::Stale => "stale",
            Self::Latency => "latency",
            Self::Reconnects => "reconnects",
            Self::QueueDropped => "queue_dropped",
            Self::ParseErrors => "parse_errors",
            Self::NegativeLatency => "negative_latency",
        }
    }

    /// What there is one of for each rule of this kind to watch.
    pub const fn about(self) -> About {
        match self {
            Self::Z | Self::CvdChange | Self::LargeTrade | Self::Gap | Self::Missing => About::Symbols,
            Self::Stale => About::Shards,
            Self::Latency
            | Self::Reconnects
            | Self::QueueDropped
            | Self::ParseErrors
            | Self::NegativeLatency => About::Run,
        }
    }

    /// What its values and thresholds count: `sd` (standard deviations), `quantity` (base units, on COIN-M contracts),
    /// `quote` (quote units, on COIN-M dollars), `trades`, `seconds`, `reconnects`, `share` or `messages`.
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Z => "sd",
            Self::CvdChange => "quantity",
            Self::LargeTrade => "quote",
            Self::Gap | Self::Stale | Self::Latency => "seconds",
            Self::Missing | Self::NegativeLatency => "trades",
            Self::Reconnects => "reconnects",
            Self::QueueDropped => "share",
            Self::ParseErrors => "messages",
        }
    }

    #[cfg(feature = "cli")]
    pub(super) const fn numbers(self) -> Unit {
        match self {
            Self::Z | Self::Gap | Self::Stale | Self::Latency | Self::QueueDropped => Unit::Number,
            Self::CvdChange => Unit::Quantity,
            Self::LargeTrade => Unit::Worth,
            Self::Missing | Self::Reconnects | Self::ParseErrors | Self::NegativeLatency => Unit::Count,
        }
    }

    /// It happens and is over: it never lasts, so it never resolves.
    pub const fn is_momentary(self) -> bool {
        matches!(self, Self::LargeTrade)
    }

    /// It is a duration, so that its `for` is the threshold.
    pub const fn is_duration(self) -> bool {
        matches!(self, Self::Gap | Self::Stale)
    }

    /// It looks back over a window.
    pub const fn has_window(self) -> bool {
        !matches!(self, Self::Z | Self::LargeTrade | Self::Gap | Self::Stale)
    }

    /// Values may be on either side of zero, so that `below` and `beyond` mean something.
    pub const fn has_two_sides(self) -> bool {
        matches!(self, Self::Z | Self::CvdChange)
    }

    /// The threshold of a rule that names none, and the window with it in seconds: the original monitor's where it had
    /// one.
    pub(super) const fn usual(self) -> (Option<Measure>, u64) {
        match self {
            Self::Z | Self::LargeTrade | Self::Gap | Self::Stale => (None, 0),
            Self::CvdChange => (None, 60),
            Self::Latency => (Some(Measure::Number(1.0)), 60),
            Self::Reconnects => (Some(Measure::Count(3)), 3_600),
            Self::QueueDropped => (Some(Measure::Number(0.005)), 300),
            Self::ParseErrors => (Some(Measure::Count(0)), 300),
            Self::Missing | Self::NegativeLatency => (Some(Measure::Count(0)), 60),
        }
    }
}
