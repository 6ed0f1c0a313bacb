//! The word that lets a request in.

use std::fmt;
use std::path::{Path, PathBuf};

use ring::digest::{SHA256, digest};
use subtle::ConstantTimeEq;

/// The shortest token, in bytes.
const SHORTEST: usize = 16;
/// The longest, in bytes.
const LONGEST: u64 = 4_096;

/// The word that lets a request in. It is never shown.
#[derive(Clone)]
pub struct Token(String);

/// A file that holds no usable token.
#[derive(Debug, thiserror::Error)]
#[error("the token file {} cannot be used: {what}", .path.display())]
pub struct TokenError {
    path: PathBuf,
    what: String,
}

impl Token {
    /// Reads it from a file; blanks and line ends around it do not count.
    ///
    /// # Errors
    /// [`TokenError`] if the file cannot be read, or what it holds is not 16 to 4,096 visible ASCII characters.
    pub fn from_file(path: &Path) -> Result<Self, TokenError> {
        let failed = |what: String| TokenError { path: path.to_owned(), what };
        let size = std::fs::metadata(path).map_err(|error| failed(error.to_string()))?.len();
        if size > LONGEST {
            return Err(failed(format!(
                "{size} bytes are no token; write one word of 16 to {LONGEST} into it"
            )));
        }
        let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
        Self::parse(&text).map_err(failed)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let token = text.trim();
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("a token is one word of visible ASCII characters".to_owned());
        }
        if token.len() < SHORTEST {
            let length = token.len();
            return Err(format!(
                "{length} characters are too few; make a longer one, for example by `openssl rand -hex 32`"
            ));
        }
        Ok(Self(token.to_owned()))
    }

    /// Whether a request brings it. The time that takes says nothing of how much of it is right.
    pub(super) fn matches(&self, offered: &[u8]) -> bool {
        let [own, offered] = [self.0.as_bytes(), offered].map(|word| digest(&SHA256, word));
        own.as_ref().ct_eq(offered.as_ref()).into()
    }

    /// For a request of our own.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_long_word_and_blanks_around_it_do_not_count() {
        let token = Token::parse("  0123456789abcdef\n").unwrap();
        assert!(token.matches(b"0123456789abcdef"));
        for wrong in ["", "0123456789abcde", "0123456789abcdef0", "0123456789abcdeg", "  0123456789abcdef\n"]
        {
            assert!(!token.matches(wrong.as_bytes()), "{wrong:?}");
        }
        assert_eq!(format!("{token:?}"), "Token(…)");
    }

    #[test]
    fn what_is_no_token_is_refused_without_being_shown() {
        for text in ["", "s3cret", "s3cret s3cret s3cret", "s3cret-s3cret-s3cret-\u{fc}"] {
            let error = Token::parse(text).unwrap_err();
            assert!(!error.contains("s3cret"), "{error}");
        }
        let error = Token::from_file(Path::new("/nowhere/at/all")).unwrap_err().to_string();
        assert!(error.starts_with("the token file /nowhere/at/all cannot be used: "), "{error}");
    }
}
