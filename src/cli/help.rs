//! What the help says besides the options.

pub(super) const LONG_ABOUT: &str = "\
Exact cumulative volume delta (CVD) of Binance trades, live and in replay.

Without a subcommand it follows the live trades of the symbols you name (ETHUSDT if none) until Ctrl-C, and \
prints CVD, its Z-score and its moving average (EMA). It needs no configuration and no account.";

pub(super) const LAYERS: &str = "\
A flag wins over the environment, that over .env in the working directory, that over the file of --config, that over \
the default.
`cvd-stream --help` says more; docs/configuration.md says everything.";

// One line per paragraph: clap wraps it to the terminal and keeps the indent.
pub(super) const LAYERS_LONG: &str = "\
Where values come from:
  A flag wins over an environment variable, that over the same variable in the file .env in the working \
directory, that over the configuration file of --config, that over the default. A variable with the prefix CVD_STREAM_ wins over the one without. An empty \
variable counts as not set. `cvd-stream config` shows what holds, and why; `cvd-stream config --check` says whether it is \
good.

Configuration file:
  TOML, each option by its name without the dashes: symbol = \"BTCUSDT\". Unknown names are faults.

Durations:
  60 and 0.5 are seconds; 500ms, 60s, 2m, 1h 30m and 1d say so themselves.

Exit codes:
  0 a clean end, 1 a failure, 2 a mistake on the command line or in the configuration. Mistakes are reported \
all at once, each with its remedy.";

pub(super) const FETCH_HELP: &str = "\
Whole months come as one file, other days as their own; a file that is here with the published sum is not fetched \
again, and one that was interrupted goes on where it stopped.

Examples:
  cvd-stream fetch BTCUSDT --from 2026-01-01 --to 2026-10-31 --dir archive
  cvd-stream fetch BTCUSD_PERP --market coinm --from 2026-11-01 --to 2026-11-18

Exit codes:
  0 everything is here that is published, 1 something that should be there is not, 2 a mistake on the command line or in \
the configuration.";

pub(super) const HEALTH_HELP: &str = "\
It asks the monitor that was started with the same --http (127.0.0.1:9464 if nothing is said) and prints its answer.

Exit codes:
  0 it is well, 1 it is not, or does not answer, 2 a mistake on the command line or in the configuration.";

pub(super) const DOCTOR_CODES: &str = "\
Exit codes:
  0 all good, 1 a run would not work, 2 a mistake in the configuration, 3 a run would work but something deserves \
attention.";

pub(super) const EXAMPLES: &str = "\
Examples:
  cvd-stream --symbol BTCUSDT
  cvd-stream --symbol BTCUSDT --output json --duration 1h > btcusdt.jsonl
  cvd-stream replay BTCUSDT-aggTrades-2026-11-01.zip
  cvd-stream demo --faults
  SYMBOL=ETHUSDT LOG_LEVEL=warn cvd-stream --log-format json 2>> cvd-stream.log";

pub(super) const EXAMPLES_LONG: &str = "\
Examples:
  Follow BTCUSDT on USDⓈ-M futures:
    cvd-stream --symbol BTCUSDT

  Collect an hour of it as JSON, one object per line, for jq or pandas:
    cvd-stream --symbol BTCUSDT --output json --duration 1h > btcusdt.jsonl

  Calculate a recorded day, for example an archive file of data.binance.vision:
    cvd-stream replay BTCUSDT-aggTrades-2026-11-01.zip

  See it work without a network, and what it does when trades are lost:
    cvd-stream demo --faults

  Run it as a service that is configured by its environment:
    SYMBOL=ETHUSDT LOG_LEVEL=warn cvd-stream --log-format json 2>> cvd-stream.log";
