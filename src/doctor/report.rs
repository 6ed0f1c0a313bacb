//! Everything that was found, for people and for programs.

use std::fmt::Write;

use super::finding::{Finding, Level};
use crate::snapshot::Market;
use crate::text::{json_string, one_line};
use crate::units::Symbol;

/// Exit code where something deserves attention, but a run would work.
pub const EXIT_WARN: u8 = 3;
/// Exit code where a run would not work.
pub const EXIT_FAIL: u8 = 1;

/// Everything that was found, in the order in which it is to be read: causes come before what follows from them.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The symbols that a run would follow, as far as could be found out.
    pub symbols: Vec<Symbol>,
    /// The market of the first one.
    pub market: Market,
    /// What each check found.
    pub findings: Vec<Finding>,
}

impl Report {
    /// How bad it is altogether; what was skipped is not bad.
    pub fn worst(&self) -> Level {
        let bad = self.findings.iter().map(|finding| finding.level).filter(|level| *level != Level::Skipped);
        bad.max().unwrap_or(Level::Ok)
    }

    /// 0, [`EXIT_WARN`] or [`EXIT_FAIL`].
    pub fn exit_code(&self) -> u8 {
        match self.worst() {
            Level::Ok | Level::Skipped => 0,
            Level::Warn => EXIT_WARN,
            Level::Fail => EXIT_FAIL,
        }
    }

    /// The lines for people, the verdict last.
    pub fn text(&self, color: bool) -> String {
        let mut text: String = self.findings.iter().map(|finding| line(finding, color)).collect();
        text.push_str(&self.verdict());
        text
    }

    /// The last line for people.
    pub fn verdict(&self) -> String {
        let all = self.findings.len();
        let of = |level| self.findings.iter().filter(|finding| finding.level == level).count();
        match self.worst() {
            Level::Ok | Level::Skipped => match of(Level::Skipped) {
                0 => "all good\n".to_owned(),
                skipped => format!("all good ({skipped} of {all} checks were not needed)\n"),
            },
            Level::Warn => {
                format!("worst: warn ({} of {all} checks); a run would work\n", of(Level::Warn))
            }
            Level::Fail => {
                format!(
                    "worst: fail ({} of {all} checks); start with the first failing line\n",
                    of(Level::Fail)
                )
            }
        }
    }

    /// One JSON object on one line, with the line's end.
    pub fn json(&self) -> String {
        let symbol = match &*self.symbols {
            [symbol] => quoted(symbol.as_str()),
            _ => "null".to_owned(),
        };
        let checks: Vec<String> = self.findings.iter().map(object).collect();
        format!(
            "{{\"v\":1,\"type\":\"doctor\",\"symbol\":{symbol},\"market\":{},\"worst\":{},\"checks\":[{}]}}\n",
            quoted(self.market.as_str()),
            quoted(self.worst().as_str()),
            checks.join(",")
        )
    }
}

/// One finding for people, with the line's end.
pub fn line(finding: &Finding, color: bool) -> String {
    let Finding { check, level, said, remedy, millis: _ } = finding;
    let (word, tint) = match level {
        Level::Ok => ("ok", 32),
        Level::Skipped => ("-", 2),
        Level::Warn => ("warn", 33),
        Level::Fail => ("fail", 31),
    };
    let mut line = String::new();
    let name = check.name();
    // Writing to a String cannot fail.
    let _infallible = match color {
        true => write!(line, "\x1b[{tint}m{word:<6}\x1b[0m{name:<16}{}", one_line(said)),
        false => write!(line, "{word:<6}{name:<16}{}", one_line(said)),
    };
    if let Some(remedy) = remedy {
        line.push_str(": ");
        line.push_str(&one_line(remedy));
    }
    line.push('\n');
    line
}

fn object(finding: &Finding) -> String {
    let Finding { check, level, said, remedy, millis } = finding;
    let remedy = remedy.as_deref().map_or("null".to_owned(), quoted);
    let ms = millis.filter(|ms| ms.is_finite()).map_or("null".to_owned(), |ms| format!("{ms:.1}"));
    format!(
        "{{\"check\":{},\"level\":{},\"said\":{},\"remedy\":{remedy},\"ms\":{ms}}}",
        quoted(check.key()),
        quoted(level.as_str()),
        quoted(said)
    )
}

fn quoted(text: &str) -> String {
    let mut quoted = Vec::with_capacity(text.len() + 2);
    json_string(&mut quoted, text);
    String::from_utf8(quoted).expect("a string of JSON is text, because it was made of text")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::finding::Check;
    use super::*;

    fn report(findings: Vec<Finding>) -> Report {
        let symbols = vec![Symbol::new("BTCUSDT").unwrap()];
        Report { symbols, market: Market::UsdM, findings }
    }

    #[test]
    fn the_exit_code_says_the_worst_and_what_was_skipped_is_not_bad() {
        let ok = Finding::ok(Check::Dns, "x");
        let skipped = Finding::skipped(Check::Tls, "y");
        let warn = Finding::warn(Check::Clock, "z", "r");
        let fail = Finding::fail(Check::Route, "z", "r");
        for (findings, code, verdict) in [
            (vec![], 0, "all good\n"),
            (vec![ok.clone()], 0, "all good\n"),
            (vec![ok.clone(), skipped.clone()], 0, "all good (1 of 2 checks were not needed)\n"),
            (
                vec![warn.clone(), skipped.clone(), ok.clone()],
                3,
                "worst: warn (1 of 3 checks); a run would work\n",
            ),
            (
                vec![fail.clone(), warn, skipped, ok, fail],
                1,
                "worst: fail (2 of 5 checks); start with the first failing line\n",
            ),
        ] {
            let report = report(findings);
            assert_eq!((report.exit_code(), report.verdict().as_str()), (code, verdict));
        }
    }

    #[test]
    fn people_and_programs_are_told_the_same() {
        let report = report(vec![
            Finding::ok(Check::Dns, "h has 4 addresses").took(Duration::from_micros(12_149)),
            Finding::warn(Check::StateDirectory, "\"odd\" \\", "look"),
        ]);
        insta::assert_snapshot!(report.text(false), @r#"
        ok    DNS             h has 4 addresses
        warn  state directory "odd" \: look
        worst: warn (1 of 2 checks); a run would work
        "#);
        insta::assert_snapshot!(report.json(), @r#"{"v":1,"type":"doctor","symbol":"BTCUSDT","market":"usdm","worst":"warn","checks":[{"check":"dns","level":"ok","said":"h has 4 addresses","remedy":null,"ms":12.1},{"check":"state_directory","level":"warn","said":"\"odd\" \\","remedy":"look","ms":null}]}"#);
        let painted = line(&report.findings[0], true);
        assert_eq!(painted, "\u{1b}[32mok    \u{1b}[0mDNS             h has 4 addresses\n");
    }
}
