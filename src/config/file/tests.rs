use proptest::prelude::*;

use super::*;

fn parsed(text: &str) -> ConfigFile {
    ConfigFile::parse("f.toml", text)
}

/// The text of an option, or what is wrong with it.
fn said<'a>(file: &'a ConfigFile, name: &str) -> Result<&'a str, &'a str> {
    let value = file.values.get(name).unwrap_or_else(|| panic!("no {name} in {file:?}"));
    value.problem.as_deref().map_or(Ok(value.text.as_str()), Err)
}

fn told(file: &ConfigFile) -> Vec<String> {
    file.faults
        .iter()
        .map(|fault| format!("{}: {}; {}", fault.subject, fault.problem, fault.remedy))
        .collect()
}

#[test]
fn every_kind_of_value_becomes_the_text_of_a_flag() {
    let file = parsed(
        "\u{feff}symbol = ['BTCUSDT', \"spot:ETHUSDT\"] # two\nqueue_size = 0x10\ncount = +1_000\nema-alpha = 0.05\n\
         testnet = true\nfrom = 2026-11-01\nto = 2026-11-02T12:30:00\nheartbeat-timeout = '30s'\nbars = []\n\
         top = 99999999999999999999999999999999999999999\n",
    );
    for (name, text) in [
        ("symbol", "BTCUSDT,spot:ETHUSDT"),
        ("queue-size", "16"),
        ("count", "1000"),
        ("ema-alpha", "0.05"),
        ("testnet", "true"),
        ("from", "2026-11-01"),
        ("to", "2026-11-02T12:30:00"),
        ("heartbeat-timeout", "30s"),
        ("bars", ""),
        ("top", "99999999999999999999999999999999999999999"),
    ] {
        assert_eq!(said(&file, name), Ok(text));
    }
    assert_eq!(told(&file), Vec::<String>::new());
    let (_, _, origin) = file.find(OptionSpec::named("testnet").unwrap()).unwrap();
    assert_eq!(origin.to_string(), "f.toml line 5");
}

#[test]
fn an_array_or_a_table_where_one_value_belongs_is_said_to_be_one() {
    let file = parsed("queue-size = [1, 2]\nbars = ['1m', true]\nonly = [['a']]\ncount = { at = 1 }\n");
    assert_eq!(said(&file, "queue-size"), Err("an array, but the option takes one value"));
    let others = Err("an array of other things than texts and whole numbers");
    assert_eq!((said(&file, "bars"), said(&file, "only")), (others, others));
    assert_eq!(said(&file, "count"), Err("a table, but the option takes a value"));
}

#[test]
fn the_tables_of_the_alerts_are_handed_on_as_they_are() {
    let file = parsed("[alerts]\nwebhook = 'https://h'\n[[alert]]\nname = 'a'\n[[alert]]\nfor = 5\n");
    assert_eq!(told(&file), Vec::<String>::new());
    assert_eq!(file.alerts["alerts"]["webhook"].as_str(), Some("https://h"));
    assert_eq!(file.alerts["alert"].as_array().map(Vec::len), Some(2));
    assert_eq!(file.alerts["alert"][1]["for"].as_integer(), Some(5));
    assert!(parsed("symbol = 'a'\n").alerts.is_empty());
}

#[test]
fn an_unknown_name_is_refused_with_the_one_that_was_meant() {
    for (line, told_of, remedy) in [
        ("simbol = 'a'", "option `simbol`", "did you mean symbol?"),
        ("queuesize = 1", "option `queuesize`", "did you mean queue-size?"),
        ("QUEUE_SIZE = 1", "option `QUEUE_SIZE`", "did you mean queue-size?"),
        ("WS_URL = 'a'", "option `WS_URL`", "did you mean url?"),
        ("CVD_STREAM_DIR = 'a'", "option `CVD_STREAM_DIR`", "did you mean dir?"),
        ("--count = 1", "option `--count`", "did you mean count?"),
        ("confg = 'a'", "option `confg`", "leave it out; `cvd-stream --help` lists the options"),
        ("[alrts]", "table `alrts`", "did you mean [alerts]?"),
        ("[[alrt]]", "table `alrt`", "did you mean [[alert]]?"),
        ("[connection]\nqueue-size = 1", "table `connection`", "put options at the top of the file"),
        (r#""a\u001bb" = 1"#, r"option `a\u{1b}b`", "leave it out"),
    ] {
        let file = parsed(&format!("count = 1\n{line}\n"));
        let [told] = &told(&file)[..] else { panic!("{line}: {file:?}") };
        let begins = format!("f.toml line 2: there is no {told_of}; {remedy}");
        assert!(told.starts_with(&begins), "{told}");
    }
}

#[test]
fn what_is_there_twice_and_a_file_that_names_another_are_refused() {
    assert_eq!(
        told(&parsed("queue-size = 1\n\nqueue_size = 2\nconfig = 'x'\n")),
        [
            "f.toml line 3: `queue-size` is in line 1 already; leave one of the two out",
            "f.toml line 4: a configuration file cannot name another one; leave it out here; it is a flag and a variable",
        ]
    );
    let file = parsed("count = 1\ncount = 2\n");
    assert_eq!((told(&file).len(), said(&file, "count")), (1, Ok("1")));
}

#[test]
fn each_line_that_is_no_toml_is_told_with_its_place_and_the_others_are_read() {
    let file = parsed("symbol = BTCUSDT\ncount = = 3\nqueue-size = 5\ntop: 7\n[alerts\n");
    assert_eq!(said(&file, "queue-size"), Ok("5"));
    assert_eq!(file.values.len(), 1, "{file:?}");
    let shown = |fault: &Fault| format!("{} {}", fault.subject, fault.value);
    assert_eq!(
        file.faults.iter().map(shown).collect::<Vec<_>>(),
        [
            "f.toml line 1, column 10 `symbol = BTCUSDT`",
            "f.toml line 2, column 9 `count = = 3`",
            "f.toml line 4, column 6 `top: 7`",
            "f.toml line 5, column 8 `[alerts`",
        ]
    );
    assert_eq!(file.faults[0].remedy, "for example symbol = \"BTCUSDT\"");
}

#[test]
fn no_secret_of_a_damaged_line_is_shown() {
    for line in [
        "proxy = http://me:s3cret@h",
        "url = 'wss://me:s3cret@h",
        "symbol = wss://me:s3cret@h",
        "token = s3cret",
        "\"s3cret",
        "s3cret==",
        "[s3cret = x",
        "headers = { Authorization = s3cret",
    ] {
        let file = parsed(&format!("[alerts]\n{line}\n"));
        assert!(
            !file.faults.is_empty() && !format!("{:?}", file.faults).contains("s3cret"),
            "{:?}",
            file.faults
        );
    }
}

#[test]
fn of_a_thousand_faults_twenty_are_shown_and_the_others_counted() {
    let file = parsed(&"oops\n".repeat(1_000));
    assert_eq!(file.faults.len(), 20);
    assert!(
        file.faults[19].remedy.ends_with("; 980 more of this file are not shown"),
        "{:?}",
        file.faults[19]
    );
    let lines: String = (0..1_000).map(|at| format!("nothing{at} = 1\n")).collect();
    assert_eq!(parsed(&lines).faults.len(), 20);
}

proptest! {
    #[test]
    fn whatever_the_text_no_fault_moves_a_terminal(
        text in prop_oneof![
            any::<String>(),
            "([a-z-]{1,9}|symbol|url|\\[|\\]|=|\"|'|\n|,|\\.| |1|#|\u{1b}|\u{202e}|\\{|\\}|\u{7f}){0,60}",
        ],
    ) {
        let file = parsed(&text);
        prop_assert!(file.faults.len() <= MOST_FAULTS);
        for fault in &file.faults {
            for text in [&fault.subject, &fault.value, &fault.problem, &fault.remedy] {
                prop_assert!(!text.contains(|c: char| c.is_control() || c == '\u{202e}'), "{fault:?}");
            }
        }
    }
}
