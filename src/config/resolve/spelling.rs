//! Did you mean …?

/// The word nearest to `word`, if it is near enough to be what was meant.
pub(super) fn nearest<'a>(word: &str, words: &'a [String]) -> Option<&'a str> {
    let near = words.iter().map(|candidate| (edits(word, candidate), candidate));
    let (edits, nearest) = near.min_by_key(|(edits, _)| *edits)?;
    (edits <= 3).then_some(nearest)
}

/// Letters to insert, remove or replace to make `from` into `to` (Levenshtein).
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    // A name of the environment may be of any length; beyond this nothing is near.
    for (i, a) in from.chars().take(200).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[to.len()]
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
        assert_eq!(edits("kitten", "sitting"), 3);
    }
}
