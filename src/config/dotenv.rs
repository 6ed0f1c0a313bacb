//! The file `.env` in the working directory: a layer below the environment. The process's own environment
//! is never changed.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;

use super::fault::Fault;

/// What `.env` says, and what in it cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DotEnv {
    pub(super) values: BTreeMap<String, String>,
    pub(super) faults: Vec<Fault>,
}

impl DotEnv {
    /// Reads `.env` in `directory`. A missing file is an empty one; whatever cannot be read becomes a fault
    /// of the configuration. A later line wins over an earlier one of the same name.
    pub fn read(directory: &Path) -> Self {
        match std::fs::read(directory.join(".env")) {
            Ok(bytes) => Self::parse(&bytes),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Self::default(),
            Err(e) => Self::broken(
                format!("the file cannot be read: {}", e.kind()),
                "make it a readable file, or remove it",
            ),
        }
    }

    fn parse(bytes: &[u8]) -> Self {
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
            Err(e) => {
                let line = 1 + bytes[..e.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
                return Self::broken(format!("line {line} is not UTF-8"), "save the file as UTF-8");
            }
        };
        let mut dotenv = Self::default();
        // A blank at the very end of the file would otherwise count as a line that goes on.
        let text = &format!("{}\n", text.trim_end());
        let taken = Cell::new(0);
        for entry in dotenvy::from_read_iter(LineByLine { text: text.as_bytes(), taken: &taken }) {
            match entry {
                Ok((name, value)) => {
                    dotenv.values.insert(name, value);
                }
                Err(dotenvy::Error::LineParse(damaged, _)) => {
                    // What is damaged may be several lines, the last of which was just taken.
                    let breaks = damaged.strip_suffix('\n').unwrap_or(&damaged).matches('\n').count();
                    dotenv.faults.push(damaged_line(taken.get() - breaks));
                }
                Err(_) => return Self::broken("the file cannot be read".to_owned(), "remove or rewrite it"),
            }
        }
        dotenv
    }

    fn broken(problem: String, remedy: &str) -> Self {
        Self { values: BTreeMap::new(), faults: vec![fault(problem, remedy)] }
    }
}

/// Hands out one line per read, so that the number of lines taken tells where the reader is: it buffers
/// what it is given, and says of a fault only what the text was.
struct LineByLine<'a> {
    text: &'a [u8],
    taken: &'a Cell<usize>,
}

impl Read for LineByLine<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let end = self.text.iter().position(|byte| *byte == b'\n').map_or(self.text.len(), |at| at + 1);
        let length = (&self.text[..end]).read(buffer)?;
        self.taken.set(self.taken.get() + usize::from(length > 0 && length == end));
        self.text = &self.text[length..];
        Ok(length)
    }
}

/// The line itself stays hidden: it may hold a secret of another program.
fn damaged_line(line: usize) -> Fault {
    fault(
        format!("line {line} is not NAME=value"),
        "write NAME=value, put a value with blanks or a $ in single quotes, and close every quote",
    )
}

fn fault(problem: String, remedy: &str) -> Fault {
    Fault {
        subject: ".env".to_owned(),
        variables: Vec::new(),
        value: String::new(),
        origin: None,
        problem,
        allowed: "lines of NAME=value; # begins a comment".to_owned(),
        remedy: remedy.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(dotenv: &DotEnv) -> Vec<&str> {
        dotenv.faults.iter().map(|fault| fault.problem.as_str()).collect()
    }

    #[test]
    fn names_comments_quotes_and_a_byte_order_mark_are_read() {
        let text = "\u{feff}SYMBOL=BTCUSDT # mine\n# WS_URL=x\n\nexport QUEUE_SIZE='7'\r\nSYMBOL=\"ETHUSDT\"\nLOG_LEVEL=warn ";
        let dotenv = DotEnv::parse(text.as_bytes());
        assert_eq!(problems(&dotenv), Vec::<&str>::new());
        let expected = [("LOG_LEVEL", "warn"), ("QUEUE_SIZE", "7"), ("SYMBOL", "ETHUSDT")];
        assert_eq!(dotenv.values, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    }

    #[test]
    fn each_damaged_line_is_named_by_its_number_and_not_shown() {
        let dotenv = DotEnv::parse(
            b"A=1\ns3cret one\n# x\nB=2\ns3cret one\nC=s3cret two\n\nM='1\n2' # x\nD='s3cret\nE=3\n\n",
        );
        let lines = ["line 2", "line 5", "line 6", "line 10"].map(|line| format!("{line} is not NAME=value"));
        assert_eq!(problems(&dotenv), lines);
        assert!(!format!("{dotenv:?}").contains("s3cret"));
        assert_eq!(dotenv.values.len(), 3);
    }

    #[test]
    fn a_line_that_is_not_utf8_is_named() {
        assert_eq!(problems(&DotEnv::parse(b"A=1\nB=\xff\n")), ["line 2 is not UTF-8"]);
    }
}
