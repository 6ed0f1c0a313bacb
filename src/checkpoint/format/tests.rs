use super::*;
use crate::checkpoint::samples::{SampleLane, identity, state_after};
use crate::cvd::CvdStateError;
use crate::pipeline::ResumeError;
use crate::units::{AggTradeId, QtyDelta};

/// A file of version 1 as it was written when that was new: it has to be readable for ever.
const GOLDEN: &str = concat!(
    "cvd-stream checkpoint v1\n",
    r#"{"program":"0.1.0","serial":17,"saved_at_ms":1795132812345,"ledger":"binance","market":"usdm","#,
    r#""symbol":"ETHUSDT","epoch":1,"first_id":3000000000,"next_id":3000006164,"applied":5970,"#,
    r#""applied_before_epoch":0,"missing":164,"given_up":[[3000000402,3000000437],[3000000794,"#,
    r#"3000000806],[3000001446,3000001467],[3000001980,3000001999],[3000003452,3000003472],"#,
    r#"[3000005160,3000005185],[3000005628,3000005653]],"newest_ms":1795132806163,"counts":{"gaps":7,"#,
    r#""repaired":0,"missing":164,"duplicates":0,"conflicts":0,"implausible":0,"resets":0},"#,
    r#""settings":{"z_window":5,"z_warmup":4,"ema_alpha":"3fc999999999999a"},"#,
    r#""calculator":{"start":"0","cvd":"258588700000","delta":"-2965500000","ema":"40a4842f02766bc7","#,
    r#""bad_points":30,"window_first":"264848000000","window_steps":[1000600000,-287900000,"#,
    r#"-4006500000,-2965500000],"last_price":301878000000,"last_side":"sell","#,
    r#""last_traded_at_ms":1795132806163,"repeats":0}}"#,
    "\ncrc32 64c095c3 length 921\n",
);

fn realistic() -> (Identity, Vec<u8>) {
    let identity = identity(300);
    let mut lane = SampleLane::of(&identity, 7);
    (0..2_000).for_each(|_| lane.trade());
    // The window is full, and ids were given up before.
    while lane.state().calculator.window.len() < 300 {
        lane.trade();
    }
    let state = lane.state();
    let text = encode(&identity, &state, 17, 1_795_132_812_345).unwrap();
    (identity, text)
}

/// The same text with something else in it, and a checksum that fits.
fn forged(text: &[u8], from: &str, to: &str) -> Vec<u8> {
    let text = std::str::from_utf8(text).unwrap();
    let last = text.trim_end().rfind('\n').unwrap() + 1;
    assert!(text.contains(from), "{from} in {text}");
    let mut forged = text[..last].replacen(from, to, 1).into_bytes();
    let end = last_line(&forged);
    forged.extend_from_slice(end.as_bytes());
    forged
}

#[test]
fn what_is_written_is_read_again_to_the_last_bit() {
    for (z_window, trades) in [(2, 1), (5, 3), (300, 299), (300, 2_000), (10_000, 700)] {
        let identity = identity(z_window);
        let state = state_after(&identity, trades);
        let text = encode(&identity, &state, 17, -5).unwrap();
        let read = decode(&text, &identity).unwrap();
        let program = env!("CARGO_PKG_VERSION").to_owned();
        assert_eq!(read, Checkpoint { serial: 17, saved_at_ms: -5, program, state });
    }
}

#[test]
fn a_full_window_of_the_default_settings_takes_a_few_kilobytes() {
    let (_, text) = realistic();
    assert!((2_000..6_000).contains(&text.len()), "{} bytes", text.len());
}

#[test]
fn version_1_stays_readable() {
    let identity = identity(5);
    let read = decode(GOLDEN.as_bytes(), &identity).unwrap();
    assert_eq!((read.serial, read.saved_at_ms, read.program.as_str()), (17, 1_795_132_812_345, "0.1.0"));
    let (state, calculator) = (&read.state, &read.state.calculator);
    assert_eq!((state.sequence.next, state.applied), (AggTradeId(3_000_006_164), 5_970));
    assert_eq!((state.sequence.missing, state.sequence.given_up.len()), (164, 7));
    assert_eq!(
        (calculator.cvd.to_string().as_str(), calculator.ema_bits),
        ("2585.887", Some(0x40a4_842f_0276_6bc7))
    );
    assert_eq!(calculator.window.len(), 5);
    let again = encode(&identity, state, 17, 1_795_132_812_345).unwrap();
    let program = format!("\"program\":\"{}\"", env!("CARGO_PKG_VERSION"));
    assert_eq!(forged(&again, &program, "\"program\":\"0.1.0\""), GOLDEN.as_bytes());
}

#[test]
fn every_truncation_is_detected() {
    let (identity, text) = realistic();
    for length in 0..text.len() {
        let error = decode(&text[..length], &identity).unwrap_err();
        let expected = if length == 0 { FormatError::Empty } else { FormatError::Truncated };
        assert_eq!(error, expected, "cut at {length} of {}", text.len());
    }
}

#[test]
fn every_single_flipped_bit_is_detected() {
    let (identity, mut text) = realistic();
    for at in 0..text.len() {
        for bit in 0..8 {
            text[at] ^= 1 << bit;
            assert!(decode(&text, &identity).is_err(), "bit {bit} of byte {at} of {}", text.len());
            text[at] ^= 1 << bit;
        }
    }
    assert!(decode(&text, &identity).is_ok());
}

#[test]
fn anything_behind_the_end_is_detected() {
    let (identity, text) = realistic();
    for more in [&b"\n"[..], b" ", b"\0", &text] {
        assert!(decode(&[&text, more].concat(), &identity).is_err());
    }
}

#[test]
fn garbage_is_refused_and_never_a_panic() {
    let identity = identity(300);
    let mut random = fastrand::Rng::with_seed(3);
    let (_, text) = realistic();
    for round in 0..20_000 {
        let mut bytes: Vec<u8> = match round % 3 {
            0 => (0..random.usize(..200)).map(|_| random.u8(..)).collect(),
            1 => format!("{HEADING}1\n").into_bytes(),
            _ => text.clone(),
        };
        for _ in 0..random.usize(1..20) {
            let at = random.usize(..=bytes.len());
            bytes.insert(at, random.u8(..));
        }
        assert!(decode(&bytes, &identity).is_err());
        // Behind a checksum that fits too, where it may say anything.
        let end = last_line(&bytes);
        bytes.extend_from_slice(end.as_bytes());
        decode(&bytes, &identity).map(drop).unwrap_or_default();
    }
}

#[test]
fn numbers_beyond_all_measure_are_refused_even_if_the_checksum_fits() {
    let (identity, text) = realistic();
    let text_of = std::str::from_utf8(&text).unwrap();
    let json = text_of.lines().nth(1).unwrap();
    let body: serde_json::Value = serde_json::from_str(json).unwrap();
    let numbers: Vec<_> = body.as_object().unwrap().iter().filter(|(_, value)| value.is_number()).collect();
    assert!(numbers.len() > 7);
    for (name, value) in numbers {
        for large in ["18446744073709551615", "9223372036854775807", "-9223372036854775808", "1e400", "0.5"] {
            let forged = forged(&text, &format!("\"{name}\":{value}"), &format!("\"{name}\":{large}"));
            let read = decode(&forged, &identity);
            // Any moment and any count of saves may be.
            let may_be = ["serial", "saved_at_ms", "newest_ms"].contains(&name.as_str());
            assert!(read.is_err() || may_be, "{name}: {large}");
        }
    }
}

#[test]
fn what_is_wrong_is_said_in_one_sentence() {
    let (identity, text) = realistic();
    let said = |bytes: &[u8], identity: &Identity| decode(bytes, identity).unwrap_err().to_string();
    let (damaged, newer) = (
        text.iter().map(|byte| if *byte == b'7' { b'8' } else { *byte }).collect::<Vec<_>>(),
        forged(&text, "checkpoint v1", "checkpoint v2"),
    );
    let with = |change: fn(&mut Identity)| {
        let mut other = identity.clone();
        change(&mut other);
        said(&text, &other)
    };
    assert_eq!(said(b"", &identity), "it is empty");
    assert_eq!(said(&text[..100], &identity), "it is truncated: its end is missing");
    assert_eq!(said(&damaged, &identity), "it is damaged: its checksum does not fit its contents");
    assert_eq!(said(b"PK\x03\x04", &identity), "it is not a checkpoint of cvd-stream");
    assert_eq!(
        said(&newer, &identity),
        "it is of version 2, which a newer cvd-stream wrote; this one reads version 1"
    );
    assert_eq!(
        said(&forged(&text, "\"serial\"", "\"other\""), &identity),
        "it does not say what a checkpoint says: unknown field `other`, expected one of `program`, `serial`, \
         `saved_at_ms`, `ledger`, `market`, `symbol`, `epoch`, `first_id`, `next_id`, `applied`, \
         `applied_before_epoch`, `missing`, `given_up`, `newest_ms`, `counts`, `settings`, `calculator`, `worth` at line 1 \
         column 26"
    );
    assert_eq!(
        with(|other| other.ledger = "binance-test".into()),
        "its ids are those of binance, but the stream's are those of binance-test"
    );
    assert_eq!(with(|other| other.market = Market::Spot), "it is of usdm ETHUSDT, not of spot ETHUSDT");
    assert_eq!(
        with(|other| other.symbol = Symbol::new("BTCUSDT").unwrap()),
        "it is of usdm ETHUSDT, not of usdm BTCUSDT"
    );
    assert_eq!(
        with(|other| other.calculator.z_window = 100),
        "it was kept with --z-window 300, but --z-window is 100 now"
    );
    assert_eq!(
        with(|other| other.calculator.z_warmup = Some(5)),
        "it was kept with --z-warmup 60, but --z-warmup is 5 now"
    );
    assert_eq!(
        with(|other| other.calculator.ema_alpha = 0.1),
        "it was kept with --ema-alpha 0.2, but --ema-alpha is 0.1 now"
    );
    assert_eq!(
        said(&forged(&text, "\"epoch\":1", "\"epoch\":0"), &identity),
        "its numbers contradict each other: the epoch is 0, but the first one is 1"
    );
}

#[test]
fn a_warm_up_that_is_told_is_the_same_as_one_that_follows_from_the_window() {
    let (mut identity, text) = realistic();
    identity.calculator.z_warmup = Some(identity.calculator.warmup_values());
    assert!(decode(&text, &identity).is_ok());
}

#[test]
fn a_window_that_no_trades_lead_through_is_not_written() {
    let identity = identity(300);
    let mut state = state_after(&identity, 10);
    state.calculator.window[4] = QtyDelta::from_units(i128::MAX);
    let error = encode(&identity, &state, 1, 1).unwrap_err();
    assert_eq!(error, FormatError::Impossible(ResumeError::Calculator(CvdStateError::Step(4))));
}

#[test]
fn the_largest_window_fits_the_longest_file() {
    // A step of the largest size, a comma, a million times; and what stands around it.
    assert!(LONGEST > CvdConfig::MAX_WINDOW * "-9223372036854775807,".len() + 4_096);
}
