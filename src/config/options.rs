//! The one table of options. The command line, the variables, `cvd-stream config`, the reference in
//! `docs/configuration.md`, `.env.example` and `packaging/cvd-stream.toml` are all made from it or checked against it.

/// An option: what it is called everywhere and what it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct OptionSpec {
    /// `queue-size`: the flag without its dashes.
    pub name: &'static str,
    /// `QUEUE_SIZE`: the variable without prefix, for the seven options the original had.
    pub bare_variable: Option<&'static str>,
    /// `FRAMES`: what the help shows for the value; `None` for a switch, which needs none.
    pub value_name: Option<&'static str>,
    /// The heading it stands under.
    pub group: Group,
    /// The value without flag and variable, as text; empty where there is none.
    pub default: &'static str,
    /// What is allowed, in words.
    pub range: &'static str,
    /// A value that works, for `.env.example` and remedies.
    pub example: &'static str,
    /// One sentence.
    pub help: &'static str,
    /// What else is worth knowing; may be empty.
    pub more: &'static str,
    /// Which commands read it.
    pub scope: Scope,
    /// Whether its value may be several, separated by commas.
    pub is_list: bool,
}

/// The headings of the help and of the reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Which trades.
    Trades,
    /// The connection.
    Connection,
    /// What becomes of lost trades.
    Repair,
    /// What survives a restart.
    State,
    /// The calculation.
    Calculation,
    /// The records.
    Records,
    /// Bars and files of results.
    Results,
    /// What is kept of the inputs.
    Recording,
    /// Recorded files.
    Replay,
    /// The download of archive files.
    Fetch,
    /// What is served to those who run it.
    Operations,
    /// The diagnostics.
    Diagnostics,
    /// The end of the run.
    Ending,
    /// The settings themselves.
    Configuration,
}

impl Group {
    /// In the order of the help.
    pub const ALL: [Self; 14] = [
        Self::Trades,
        Self::Connection,
        Self::Repair,
        Self::State,
        Self::Calculation,
        Self::Records,
        Self::Results,
        Self::Recording,
        Self::Replay,
        Self::Fetch,
        Self::Operations,
        Self::Diagnostics,
        Self::Ending,
        Self::Configuration,
    ];

    /// What the heading says.
    pub const fn heading(self) -> &'static str {
        match self {
            Self::Trades => "Which trades",
            Self::Connection => "Connection and queue",
            Self::Repair => "Repair",
            Self::State => "Restart",
            Self::Calculation => "Calculation",
            Self::Records => "Records",
            Self::Results => "Bars and files",
            Self::Recording => "Recording",
            Self::Replay => "Replay",
            Self::Fetch => "Fetching archives",
            Self::Operations => "Operations",
            Self::Diagnostics => "Diagnostics",
            Self::Ending => "When to end",
            Self::Configuration => "Configuration",
        }
    }
}

/// Which commands read an option. `config` and `doctor` read all that the live monitor does, and `config` those of a
/// replay too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Every command.
    Every,
    /// Those that compute: all but `fetch`.
    Computing,
    /// Those that hold a connection: live and `demo`.
    Connected,
    /// The live monitor alone.
    Live,
    /// Those that are served over HTTP, and `health`, which asks them.
    Served,
    /// Those that reach the exchange: live and `fetch`.
    Exchange,
    /// `replay` alone.
    Replay,
    /// Those that take a range of time: `replay` and `fetch`.
    Ranged,
    /// `fetch` alone.
    Fetch,
}

/// What the configuration is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// The live monitor: no subcommand.
    Live,
    /// `demo`.
    Demo,
    /// `replay`.
    Replay,
    /// `config`.
    Config,
    /// `doctor`.
    Doctor,
    /// `fetch`.
    Fetch,
    /// `health`.
    Health,
}

impl Command {
    /// `replay`: the subcommand; empty for the live monitor.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Live => "",
            Self::Demo => "demo",
            Self::Replay => "replay",
            Self::Config => "config",
            Self::Doctor => "doctor",
            Self::Fetch => "fetch",
            Self::Health => "health",
        }
    }
}

impl OptionSpec {
    /// The option of that name.
    pub fn named(name: &str) -> Option<&'static Self> {
        OPTIONS.iter().find(|option| option.name == name)
    }

    /// `--queue-size`.
    pub fn flag(&self) -> String {
        format!("--{}", self.name)
    }

    /// `CVD_STREAM_QUEUE_SIZE`: the prefixed variable, which every option has.
    pub fn variable(&self) -> String {
        match self.bare_variable {
            Some(bare) => format!("{VARIABLE_PREFIX}{bare}"),
            None => self.variable_of_flag(),
        }
    }

    /// `queue-size = 4096`, `bars = ["1m", "ticks:1000"]`: how a value is written in the configuration file.
    pub fn in_file(&self, value: &str) -> String {
        let is_number = value.starts_with(|c: char| c.is_ascii_digit()) && value.parse::<f64>().is_ok();
        let written = if is_number || matches!(value, "true" | "false") {
            value.to_owned()
        } else if self.is_list && value.contains(',') {
            let elements: Vec<String> = value.split(',').map(|element| format!("\"{element}\"")).collect();
            format!("[{}]", elements.join(", "))
        } else {
            format!("\"{value}\"")
        };
        format!("{} = {written}", self.name)
    }

    /// Whether its value is an address, which may have credentials in it.
    pub fn is_address(&self) -> bool {
        matches!(self.name, "url" | "rest-url" | "archive-url" | "proxy")
    }

    /// Its variables, the stronger first. `--url` has a third one, `CVD_STREAM_URL`, because both its
    /// names suggest themselves.
    pub fn variables(&self) -> Vec<String> {
        let mut variables = vec![self.variable()];
        if self.variable_of_flag() != variables[0] {
            variables.push(self.variable_of_flag());
        }
        variables.extend(self.bare_variable.map(str::to_owned));
        variables
    }

    fn variable_of_flag(&self) -> String {
        format!("{VARIABLE_PREFIX}{}", self.name.to_ascii_uppercase().replace('-', "_"))
    }

    /// Whether a command reads it.
    pub const fn applies_to(&self, command: Command) -> bool {
        use Command::{Config, Demo, Doctor, Fetch, Health, Live, Replay};
        match self.scope {
            Scope::Every => !matches!(command, Health),
            Scope::Computing => !matches!(command, Fetch | Health),
            Scope::Connected => matches!(command, Live | Demo | Config | Doctor),
            Scope::Live => matches!(command, Live | Config | Doctor),
            Scope::Served => matches!(command, Live | Demo | Config | Doctor | Health),
            Scope::Exchange => matches!(command, Live | Config | Doctor | Fetch),
            Scope::Replay => matches!(command, Replay | Config),
            Scope::Ranged => matches!(command, Replay | Config | Fetch),
            Scope::Fetch => matches!(command, Fetch),
        }
    }
}

/// What every variable of ours begins with; seven have a bare name too.
pub const VARIABLE_PREFIX: &str = "CVD_STREAM_";

/// Every option, in the order of the help.
pub const OPTIONS: [OptionSpec; 63] = [
    OptionSpec {
        bare_variable: Some("SYMBOL"),
        default: "ETHUSDT",
        range: "names of letters, digits, '_' or '-', or patterns with * and ?, each with usdm:, coinm: or spot: before it if \
                need be, separated by commas",
        help: "The contracts or pairs whose trades are followed",
        more: "BTCUSDT,ETHUSDT are two; usdm:BTCUSDT,spot:BTCUSDT one of two markets each; 'usdm:*USDT' all that match. Without \
               a market it is --market. A pattern takes what trades now and is in --contracts, and what is listed later joins. \
               Upper and lower case are the same. Symbols that are not ASCII work too. With a --url that names streams the \
               symbols come from there, and naming others is an error. A replay takes one name.",
        example: "BTCUSDT",
        scope: Scope::Computing,
        is_list: true,
        ..value("symbol", "SYMBOL", Group::Trades)
    },
    OptionSpec {
        default: "usdm",
        range: "usdm, coinm or spot",
        help: "The Binance market of the symbol",
        more: "usdm: USDⓈ-margined futures. coinm: coin-margined futures, whose quantities are contracts \
               (symbols such as BTCUSD_PERP). spot: the spot market. A --url of a known host tells the market \
               itself, and naming another one is an error.",
        example: "spot",
        ..value("market", "MARKET", Group::Trades)
    },
    OptionSpec {
        help: "Follow every symbol of --market",
        more: "The same as a --symbol of *: what trades now and is in --contracts, and what is listed later.",
        scope: Scope::Connected,
        ..switch("all", Group::Trades)
    },
    OptionSpec {
        range: "as --symbol",
        help: "Symbols that are not followed, whatever else asks for them",
        example: "*USDC,spot:*BUSD",
        scope: Scope::Connected,
        is_list: true,
        ..value("exclude", "SYMBOLS", Group::Trades)
    },
    OptionSpec {
        default: "perpetual",
        range: "perpetual, tradfi, dated or all, separated by commas",
        help: "Kinds of contracts that patterns and --all take",
        more: "perpetual: perpetual contracts on coins. tradfi: perpetual contracts on stocks, metals and the like. dated: \
               contracts with a delivery date. Spot has no contracts. What is named is taken whatever its kind.",
        example: "perpetual,tradfi",
        scope: Scope::Connected,
        is_list: true,
        ..value("contracts", "KINDS", Group::Trades)
    },
    OptionSpec {
        range: "a readable file of symbols as in --symbol",
        help: "Follow the symbols of this file, and read it again on SIGHUP",
        more: "One or several a line; what follows # is a comment, and a symbol or pattern after ! is not followed. A changed file \
               lets symbols join and leave while the others go on.",
        example: "/etc/cvd-stream/symbols",
        scope: Scope::Live,
        ..value("symbols-file", "FILE", Group::Trades)
    },
    OptionSpec {
        range: "NAME=market:SYMBOL+market:SYMBOL, several separated by commas",
        help: "Add symbols of several markets up, such as spot and perpetual of one coin",
        more: "A group shows the sum of its members' CVD in the coin and in the quote asset, and the spread of spot less perpetual. \
               Its members are followed. Contracts of coinm count in dollars exactly, and in coins rounded to 1e-8 for each \
               trade, with the bound of the error.",
        example: "BTC=usdm:BTCUSDT+spot:BTCUSDT+coinm:BTCUSD_PERP",
        scope: Scope::Connected,
        is_list: true,
        ..value("group", "GROUPS", Group::Trades)
    },
    OptionSpec {
        help: "Follow the market's test network, whose prices are not real",
        more: "Cannot be combined with --url, which names its host itself.",
        scope: Scope::Live,
        ..switch("testnet", Group::Trades)
    },
    OptionSpec {
        bare_variable: Some("WS_URL"),
        range: "wss://, or ws:// to this machine; several separated by commas, the market before each",
        help: "A WebSocket address instead of the market's own",
        more: "For several markets: usdm:wss://…,spot:wss://…. It wins over --symbol: every <symbol>@aggTrade stream it names becomes a lane. Two forms name \
               streams: …/ws/<stream>[/<stream>] and …/stream?streams=<stream>/<stream>. Without streams the \
               symbol is subscribed to after connecting. USDⓈ-M trades need the path /market: the un-routed \
               addresses wss://fstream.binance.com/ws and /stream acknowledge and stay silent since 2026-04-23.",
        example: "wss://fstream.binance.com/market/ws/btcusdt@aggTrade",
        scope: Scope::Live,
        is_list: true,
        ..value("url", "URL", Group::Trades)
    },
    OptionSpec {
        help: "Allow unencrypted ws:// and http:// addresses of other machines",
        more: "Anyone on the way could change the trades; meant for a relay in a network you trust.",
        scope: Scope::Exchange,
        ..switch("allow-plaintext", Group::Connection)
    },
    OptionSpec {
        bare_variable: Some("QUEUE_SIZE"),
        default: "1024",
        range: "1 to 16777216 frames",
        help: "Frames that may wait between the socket and the calculation",
        more: "When it is full the oldest frame gives way; it is counted, and its trades are fetched again (see Repair). The queue \
               also holds no more bytes than the larger of 16 MiB and 512 bytes per frame.",
        example: "4096",
        scope: Scope::Connected,
        ..value("queue-size", "FRAMES", Group::Connection)
    },
    OptionSpec {
        bare_variable: Some("HEARTBEAT_TIMEOUT"),
        default: "60s",
        range: "100ms to 1h",
        help: "Silence after which a connection is given up and made anew",
        example: "30s",
        scope: Scope::Connected,
        ..value("heartbeat-timeout", "DURATION", Group::Connection)
    },
    OptionSpec {
        bare_variable: Some("BACKOFF_MAX"),
        default: "30s",
        range: "10ms to 1h",
        help: "The longest wait between two attempts to connect",
        more: "Waits begin at 1s (or at this, if it is less), double with every failure, and are spread at random.",
        example: "2m",
        scope: Scope::Connected,
        ..value("backoff-max", "DURATION", Group::Connection)
    },
    OptionSpec {
        default: "200",
        range: "1 to 1024",
        help: "Symbols that one connection carries at most",
        more: "More symbols are spread over several connections, each of one market. What happens to one of them concerns its \
               symbols only.",
        example: "100",
        scope: Scope::Connected,
        ..value("streams-per-connection", "STREAMS", Group::Connection)
    },
    OptionSpec {
        default: "default",
        range: "default, low or eco",
        help: "Whether waiting is traded for processor time",
        more: "low: never sleeps; takes a whole core, and what arrives is seen within microseconds. eco: wakes at most every 2 \
               milliseconds, for a fraction of the processor time. Neither loses anything. Records that follow one another \
               within about 2 milliseconds go out together (low: each at once; eco: within about 10).",
        example: "eco",
        scope: Scope::Connected,
        ..value("latency", "MODE", Group::Connection)
    },
    OptionSpec {
        default: "1",
        range: "1 to 3",
        help: "Connections that carry the same trades side by side",
        more: "With 2 the first copy of each trade counts, and either connection may fail at no cost: no hole, no \
               question to REST. They use different addresses of the host where it has several.",
        example: "2",
        scope: Scope::Connected,
        ..value("redundancy", "LINES", Group::Connection)
    },
    OptionSpec {
        default: "23h",
        range: "10s to 1d; 0 turns it off",
        help: "Age at which a connection is replaced before the exchange cuts it",
        more: "The exchange ends every connection after 24 hours. The new one is opened while the old one still runs, \
               and takes over once both carry the same trades. Spread at random by up to a twentieth, earlier.",
        example: "12h",
        scope: Scope::Connected,
        ..value("handover-after", "DURATION", Group::Connection)
    },
    OptionSpec {
        default: "10s",
        range: "100ms to 1h; 0 turns it off",
        help: "Lag of the stream behind the exchange beyond which a connection is replaced",
        more: "Measured as arrival minus event time, corrected by what is known of the two clocks. Replaced as after \
               --handover-after.",
        example: "3s",
        scope: Scope::Connected,
        ..value("max-lag", "DURATION", Group::Connection)
    },
    OptionSpec {
        range: "http://, socks5:// or socks5h://, with [user:password@]host:port; or none",
        help: "Proxy for the stream and for REST",
        more: "It holds for every host, whatever the environment says; none means no proxy at all. Without it the \
               variables HTTPS_PROXY, ALL_PROXY and NO_PROXY are heeded, in lower or upper case (for ws:// and http:// \
               it is http_proxy), and this machine is reached without. http:// asks by CONNECT; socks5:// looks names \
               up here, socks5h:// lets the proxy do it. Special characters of user and password are written as %XX; \
               neither is ever shown. Other users may see flags, so a password belongs into the variable.",
        example: "http://proxy.example:3128",
        scope: Scope::Exchange,
        ..value("proxy", "URL", Group::Connection)
    },
    OptionSpec {
        range: "a readable PEM file",
        help: "Trust the root certificates of this file too",
        more: "For a proxy that opens TLS, or a relay with a certificate of its own: one or more certificates in PEM, \
               trusted besides the system's.",
        example: "/etc/ssl/company-ca.pem",
        scope: Scope::Exchange,
        ..value("ca-file", "FILE", Group::Connection)
    },
    OptionSpec {
        default: "on",
        range: "on or off",
        help: "Fetch missing trades over REST before any number moves",
        more: "on: a hole in the ids, whatever its cause, holds the later trades of its symbol back until REST has \
               filled it. off: nobody is asked, and every hole is named as missing at once.",
        example: "off",
        scope: Scope::Connected,
        ..value("repair", "ON_OFF", Group::Repair)
    },
    OptionSpec {
        range: "https://, or http:// to this machine; several separated by commas, the market before each",
        help: "Where missing trades are asked for, if the stream's host does not tell",
        more: "The exchange's own stream hosts tell their REST host. For any other --url, such as a relay, nothing is \
               repaired unless this is given, because trades of another ledger must never be merged; a host of the \
               exchange that has another market or network than the stream is refused. A path may follow the host; \
               the exchange's own, such as /fapi/v1/aggTrades, is added to it.",
        example: "https://fapi.binance.com",
        scope: Scope::Live,
        is_list: true,
        ..value("rest-url", "URL", Group::Repair)
    },
    OptionSpec {
        default: "60s",
        range: "100ms to 1d",
        help: "How long REST may bring nothing for a hole until it is given up as missing",
        more: "Only time in which REST may be asked counts: bans and a used-up weight do not. Until then the numbers of \
               the symbol stand still.",
        example: "5m",
        scope: Scope::Connected,
        ..value("repair-deadline", "DURATION", Group::Repair)
    },
    OptionSpec {
        default: "65536",
        range: "1 to 16777216 trades",
        help: "Trades of a symbol that may wait behind a hole",
        more: "When there are more, those that wait are discarded and fetched again with the hole. All symbols \
               together hold no more than the larger of this and 524288 trades, about 64 MiB.",
        example: "200000",
        scope: Scope::Connected,
        ..value("hold-size", "TRADES", Group::Repair)
    },
    OptionSpec {
        range: "a directory that can be written",
        help: "Keep the numbers here and go on with them after a restart",
        more: "Made if it is not there. It holds a small checkpoint of each symbol. After a restart the trades since \
               then are fetched over REST, and every number goes on as if it had never stopped. One process at a time.",
        example: "/var/lib/cvd-stream",
        scope: Scope::Live,
        ..value("state-dir", "DIR", Group::State)
    },
    OptionSpec {
        default: "1s for up to 10 symbols, 15s for more",
        range: "100ms to 1h",
        help: "Time between two checkpoints of a symbol",
        more: "What came after the last one is fetched again over REST.",
        example: "5s",
        scope: Scope::Live,
        ..value("state-interval", "DURATION", Group::State)
    },
    OptionSpec {
        default: "300",
        range: "2 to 1000000",
        help: "Window of the Z-score, in trades",
        more: "The current CVD is compared with up to this many values less one before it.",
        example: "1000",
        scope: Scope::Computing,
        ..value("z-window", "TRADES", Group::Calculation)
    },
    OptionSpec {
        default: "z-window / 5, at least 5, at most z-window - 1",
        range: "1 to z-window - 1",
        help: "Trades that must have gone before for a Z-score to be shown",
        example: "60",
        scope: Scope::Computing,
        ..value("z-warmup", "TRADES", Group::Calculation)
    },
    OptionSpec {
        default: "0.2",
        range: "above 0, at most 1",
        help: "Weight of the newest CVD in its moving average (EMA)",
        more: "1 follows CVD at once; smaller is smoother.",
        example: "0.05",
        scope: Scope::Computing,
        ..value("ema-alpha", "WEIGHT", Group::Calculation)
    },
    OptionSpec {
        default: "text",
        range: "text or json",
        help: "How records look on standard output",
        more: "text: lines for people. json: one object per line, for programs.",
        example: "json",
        scope: Scope::Computing,
        ..value("output", "FORMAT", Group::Records)
    },
    OptionSpec {
        bare_variable: Some("PRINT_EVERY"),
        default: "100",
        range: "0 or more; 0 turns the periodic lines off",
        help: "A CVD line for every so many trades of a symbol",
        more: "The first five trades of a symbol are always shown.",
        example: "1000",
        scope: Scope::Computing,
        ..value("print-every", "TRADES", Group::Records)
    },
    OptionSpec {
        range: "as --symbol",
        help: "Show records and rows of these symbols only",
        more: "All the others are followed as well, and their gaps and the statistics are told.",
        example: "BTC*,ETH*",
        scope: Scope::Connected,
        is_list: true,
        ..value("only", "SYMBOLS", Group::Records)
    },
    OptionSpec {
        default: "20 rows",
        range: "1 to 4096",
        help: "Rows of the table of movers",
        more: "More than ten symbols are shown as a table instead of line by line. With --output json it adds a movers record to \
               those of the symbols.",
        example: "10",
        scope: Scope::Connected,
        ..value("top", "ROWS", Group::Records)
    },
    OptionSpec {
        default: "absdelta",
        range: "absdelta, z, volume or rate",
        help: "By what the table ranks symbols",
        more: "absdelta: the delta of the interval in the quote asset, buying or selling. z: the Z-score, high or low. volume: what \
               was traded, in the quote asset. rate: trades.",
        example: "z",
        scope: Scope::Connected,
        ..value("by", "WHAT", Group::Records)
    },
    OptionSpec {
        default: "10s",
        range: "1s to 1d",
        help: "Time between two tables, and between two records of a group",
        example: "1m",
        scope: Scope::Connected,
        ..value("table-every", "DURATION", Group::Records)
    },
    OptionSpec {
        default: "60s",
        range: "1s to 1d; 0 turns them off",
        help: "Time between two [STAT] lines",
        example: "10m",
        scope: Scope::Computing,
        ..value("stats-interval", "DURATION", Group::Records)
    },
    OptionSpec {
        default: "auto",
        range: "auto, always or never",
        help: "Colours in text for people",
        more: "auto: on a terminal, and not when NO_COLOR is set.",
        example: "never",
        ..value("color", "WHEN", Group::Records)
    },
    OptionSpec {
        range: "times that divide the day (1s, 5m, 1h, 1d), ticks:N, volume:X, notional:X; separated by commas",
        help: "Gather the trades in bars and record each as it closes",
        more: "A time bar is of the trade's own time, in UTC. ticks:1000 closes with every 1000th trade, volume:500 with the \
               trade that reaches 500 units, notional:1e6 with the one that reaches a worth of a million.",
        example: "1m,ticks:1000",
        scope: Scope::Computing,
        is_list: true,
        ..value("bars", "LIST", Group::Results)
    },
    OptionSpec {
        help: "Record a time bar for an interval without a trade too",
        more: "Its prices are the last close and its volumes zero.",
        scope: Scope::Computing,
        ..switch("empty-bars", Group::Results)
    },
    OptionSpec {
        range: "a file name that ends in .csv, .jsonl, .jsonl.zst or .parquet",
        help: "Write every trade, or every bar if there are bars, to this file",
        more: "It appears under its name, whole, at the end of the run; until then it is written beside it. An existing file \
               is replaced only then. What is printed does not depend on it.",
        example: "btcusdt.parquet",
        scope: Scope::Computing,
        ..value("write", "FILE", Group::Results)
    },
    OptionSpec {
        range: "a directory that can be written",
        help: "Record everything that the numbers are made of here, to replay it later",
        more: "Made if it is not there. Hourly compressed files of what arrived, in order; `cvd-stream replay DIR` gives the \
               same records again, byte for byte. If the disk is too slow or full, recording stops with an alarm and the \
               monitor goes on.",
        example: "/var/lib/cvd-stream/recording",
        scope: Scope::Connected,
        ..value("record", "DIR", Group::Recording)
    },
    OptionSpec {
        range: "1h to 3650d",
        help: "Age at which recorded files are deleted",
        more: "Without it they are kept for ever.",
        example: "30d",
        scope: Scope::Connected,
        ..value("record-keep", "DURATION", Group::Recording)
    },
    OptionSpec {
        range: "1MiB or more, such as 500MB or 20GiB",
        help: "Size of all recorded files together beyond which the oldest are deleted",
        example: "20GiB",
        scope: Scope::Connected,
        ..value("record-limit", "SIZE", Group::Recording)
    },
    OptionSpec {
        range: "a date, a time in UTC, or the id of an aggregate trade (for fetch a date)",
        help: "Where to begin",
        more: "Inclusive: 2026-11-01, 2026-11-01T12:30, 2026-11-01T12:30:05.250Z or 3249829971. Numbers begin at zero there; a recording keeps its own, and takes times.",
        example: "2026-11-01",
        scope: Scope::Ranged,
        ..value("from", "WHEN", Group::Replay)
    },
    OptionSpec {
        range: "a date, a time in UTC, or the id of an aggregate trade (for fetch a date)",
        help: "Where to end",
        more: "Of a replay exclusive, of fetch the last day.",
        example: "2026-11-02",
        scope: Scope::Ranged,
        ..value("to", "WHEN", Group::Replay)
    },
    OptionSpec {
        default: "max",
        range: "max, or 0.001x to 1000000x",
        help: "How fast to replay",
        more: "1x is as fast as it happened. The numbers do not depend on it.",
        example: "10x",
        scope: Scope::Replay,
        ..value("speed", "SPEED", Group::Replay)
    },
    OptionSpec {
        help: "End with an error at the first bad file instead of skipping it",
        scope: Scope::Replay,
        ..switch("strict", Group::Replay)
    },
    OptionSpec {
        range: "a directory that can be written",
        default: "the system's",
        help: "Where a file whose rows are out of order is sorted if it does not fit --memory",
        example: "/mnt/scratch",
        scope: Scope::Replay,
        ..value("temp-dir", "DIR", Group::Replay)
    },
    OptionSpec {
        default: "256MiB",
        range: "1MiB to 1TiB",
        help: "Memory that sorting may take",
        example: "1GiB",
        scope: Scope::Replay,
        ..value("memory", "SIZE", Group::Replay)
    },
    OptionSpec {
        default: "as many as cores, at most 4",
        range: "1 to 64",
        help: "Threads that read and compute",
        more: "With 1 everything happens in turns. The numbers do not depend on it.",
        example: "2",
        scope: Scope::Replay,
        ..value("threads", "THREADS", Group::Replay)
    },
    OptionSpec {
        default: "auto",
        range: "auto, always or never",
        help: "Show how far the work is, on standard error",
        more: "auto: where that is a terminal.",
        example: "never",
        scope: Scope::Ranged,
        ..value("progress", "WHEN", Group::Replay)
    },
    OptionSpec {
        default: "the working directory",
        range: "a directory that can be written",
        help: "Where the files go",
        example: "archive",
        scope: Scope::Fetch,
        ..value("dir", "DIR", Group::Fetch)
    },
    OptionSpec {
        default: "https://data.binance.vision",
        range: "https://, or http:// to this machine",
        help: "A mirror of the exchange's archive",
        example: "https://mirror.example",
        scope: Scope::Fetch,
        ..value("archive-url", "URL", Group::Fetch)
    },
    OptionSpec {
        default: "2",
        range: "1 to 8",
        help: "Files that are fetched at the same time",
        example: "4",
        scope: Scope::Fetch,
        ..value("parallel", "FILES", Group::Fetch)
    },
    OptionSpec {
        range: "an address and a port, or a port alone for this machine",
        help: "Serve metrics, health and the API over HTTP",
        more: "9464 and 127.0.0.1:9464 are reached from this machine only. An address that other machines reach, such as \
               0.0.0.0:9464, needs --http-token-file. Paths: /metrics for Prometheus, /healthz, /readyz, and /api/v1/… as \
               /api/v1/openapi.json describes. Nothing can be changed over it. `cvd-stream health` asks it.",
        example: "127.0.0.1:9464",
        scope: Scope::Served,
        ..value("http", "ADDRESS", Group::Operations)
    },
    OptionSpec {
        range: "a readable file with one word of 16 to 4096 characters",
        help: "Answer only requests that bring the token of this file",
        more: "Each request then needs the header Authorization: Bearer TOKEN; Prometheus has credentials_file for it. Let \
               nobody else read the file.",
        example: "/etc/cvd-stream/http.token",
        scope: Scope::Served,
        ..value("http-token-file", "FILE", Group::Operations)
    },
    OptionSpec {
        range: "host names without a port, separated by commas",
        help: "Names that requests may call this machine by",
        more: "Addresses and localhost are always allowed. Any other name in the Host header is refused, because a page of \
               the web could let its own name point here.",
        example: "cvd-stream,monitor.internal",
        scope: Scope::Served,
        is_list: true,
        ..value("http-allow-host", "NAMES", Group::Operations)
    },
    OptionSpec {
        bare_variable: Some("LOG_LEVEL"),
        default: "info",
        range: "off, error, warn, info, debug, trace, or target=level pairs",
        help: "How much the diagnostics say; never hides records",
        more: "Any case, and WARNING is WARN. Several directives are separated by commas: \
               warn,cvd_stream::feed=debug. RUST_LOG is read where this is not set.",
        example: "debug",
        is_list: true,
        ..value("log-level", "LEVEL", Group::Diagnostics)
    },
    OptionSpec {
        default: "text",
        range: "text, json or logfmt",
        help: "How diagnostics look",
        more: "Every line of json and logfmt has a stable word for what happened: event.",
        example: "json",
        ..value("log-format", "FORMAT", Group::Diagnostics)
    },
    OptionSpec {
        default: "stderr",
        range: "stderr or stdout",
        help: "Where diagnostics go",
        more: "stdout mixes them with the records, line by line.",
        example: "stdout",
        ..value("log-output", "WHERE", Group::Diagnostics)
    },
    OptionSpec {
        range: "1ms to 3650d",
        help: "End after this time",
        more: "The demonstration ends after 12 s unless it is told otherwise.",
        example: "1h",
        scope: Scope::Computing,
        ..value("duration", "DURATION", Group::Ending)
    },
    OptionSpec {
        range: "1 or more",
        help: "End after this many trades",
        example: "10000",
        scope: Scope::Computing,
        ..value("count", "TRADES", Group::Ending)
    },
    OptionSpec {
        range: "a readable TOML file of at most 1 MiB",
        help: "Read options from this file where neither flags nor variables nor .env set them",
        more: "Every option by its name without the dashes: queue-size = 4096. A name that is none is refused. One file serves \
               all commands, each of which reads what concerns it. `cvd-stream config --check` tells whether it is good.",
        example: "/etc/cvd-stream/cvd-stream.toml",
        ..value("config", "FILE", Group::Configuration)
    },
];

const fn value(name: &'static str, value_name: &'static str, group: Group) -> OptionSpec {
    OptionSpec {
        name,
        bare_variable: None,
        value_name: Some(value_name),
        group,
        default: "",
        range: "",
        example: "",
        help: "",
        more: "",
        scope: Scope::Every,
        is_list: false,
    }
}

const fn switch(name: &'static str, group: Group) -> OptionSpec {
    OptionSpec {
        value_name: None,
        default: "false",
        range: "true or false (also 1, 0, yes, no)",
        example: "true",
        ..value(name, "", group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_is_complete_and_has_its_own_names() {
        let mut seen = std::collections::BTreeSet::new();
        for option in &OPTIONS {
            for text in [option.name, option.range, option.help, option.example] {
                assert!(!text.is_empty(), "{option:?}");
            }
            assert!(!option.help.ends_with('.'), "{}", option.help);
            assert!(seen.insert(option.flag()), "{}", option.name);
            for variable in option.variables() {
                assert!(seen.insert(variable.clone()), "{variable}");
            }
        }
    }

    #[test]
    fn the_original_variables_keep_their_bare_names() {
        let mut bare: Vec<_> = OPTIONS.iter().filter_map(|option| option.bare_variable).collect();
        bare.sort_unstable();
        let seven = [
            "BACKOFF_MAX",
            "HEARTBEAT_TIMEOUT",
            "LOG_LEVEL",
            "PRINT_EVERY",
            "QUEUE_SIZE",
            "SYMBOL",
            "WS_URL",
        ];
        assert_eq!(bare, seven);
        assert_eq!(
            OptionSpec::named("url").unwrap().variables(),
            ["CVD_STREAM_WS_URL", "CVD_STREAM_URL", "WS_URL"]
        );
    }

    #[test]
    fn a_value_is_written_for_the_file_as_its_kind_demands() {
        let written = |name: &str, value: &str| OptionSpec::named(name).unwrap().in_file(value);
        assert_eq!(written("queue-size", "4096"), "queue-size = 4096");
        assert_eq!(written("ema-alpha", "0.05"), "ema-alpha = 0.05");
        assert_eq!(written("testnet", "true"), "testnet = true");
        assert_eq!(written("backoff-max", "2m"), "backoff-max = \"2m\"");
        assert_eq!(written("bars", "1m,ticks:1000"), "bars = [\"1m\", \"ticks:1000\"]");
        assert_eq!(written("dir", "a,b"), "dir = \"a,b\"");
    }
}
