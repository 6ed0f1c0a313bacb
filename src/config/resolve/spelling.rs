//! Did you mean …?

use crate::text::edits;

/// The word nearest to `word`, if it is near enough to be what was meant: at most three slips, and no more than half of a
/// short word.
pub(crate) fn nearest<'a>(word: &str, words: &'a [String]) -> Option<&'a str> {
    let near = words.iter().map(|candidate| (edits(word, candidate), candidate));
    let (edits, nearest) = near.min_by_key(|(edits, _)| *edits)?;
    (edits <= 3 && 2 * edits <= nearest.len()).then_some(nearest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_near_and_another_word_is_not() {
        let words = ["CVD_STREAM_SYMBOL".to_owned(), "CVD_STREAM_QUEUE_SIZE".to_owned()];
        assert_eq!(nearest("CVD_STREAM_SYMBOLS", &words), Some("CVD_STREAM_SYMBOL"));
        assert_eq!(nearest("CVD_STREAM_QUEUESIZE", &words), Some("CVD_STREAM_QUEUE_SIZE"));
        assert_eq!(nearest("CVD_STREAM_PASSWORD", &words), None);
        let short = ["to".to_owned(), "top".to_owned()];
        assert_eq!((nearest("foo", &short), nearest("tip", &short)), (None, Some("top")));
    }
}
