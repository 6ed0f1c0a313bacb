//! Any bytes at all: no panic, and the three layers of the decoder read them alike.

#![no_main]

use cvd_stream::decode::{decode_layers_agree, looks_like_trade};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    assert!(decode_layers_agree(text));
    assert!(!cvd_stream::text::escaped(text).contains(char::is_control));
    looks_like_trade(text);
});
