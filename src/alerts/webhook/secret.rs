//! What the receiver knows and nobody else does.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use ring::hmac;

/// A shared secret for signatures. It is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

/// A file that holds no secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// It cannot be read.
    #[error("the secret file {} cannot be read: {cause}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// Less than 16 or more than 4096 bytes.
    #[error("the secret file {} holds {} bytes", path.display(), length)]
    Length {
        /// Which.
        path: PathBuf,
        /// How many bytes, without spaces around them; more than 4096 are not counted.
        length: usize,
    },
}

const SHORTEST: usize = 16;
const LONGEST: usize = 4_096;

impl Secret {
    /// What a file holds, without spaces and line ends around it: 16 to 4096 bytes.
    ///
    /// # Errors
    /// [`SecretError`] names the file and never what is in it.
    pub fn from_file(path: &Path) -> Result<Self, SecretError> {
        let unreadable = |cause| SecretError::Unreadable { path: path.to_owned(), cause };
        let mut text = Vec::new();
        // A pipe or a device may never end.
        let limit = LONGEST as u64 + 64;
        File::open(path).map_err(unreadable)?.take(limit).read_to_end(&mut text).map_err(unreadable)?;
        let secret = text.trim_ascii();
        if (SHORTEST..=LONGEST).contains(&secret.len()) {
            return Ok(Self(secret.to_vec()));
        }
        Err(SecretError::Length { path: path.to_owned(), length: secret.len() })
    }

    /// `sha256=` and the HMAC-SHA256 of timestamp, a point and body, in hexadecimal digits.
    pub(super) fn signature(&self, timestamp: &str, body: &[u8]) -> String {
        let mut signing = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &self.0));
        for part in [timestamp.as_bytes(), b".", body] {
            signing.update(part);
        }
        let digits = signing.sign().as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        format!("sha256={digits}")
    }
}

impl SecretError {
    /// What to do about it, lower case, one line.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => {
                "check the path and who may read it; a relative one counts from the working directory"
            }
            Self::Length { .. } => "16 to 4096 bytes make a secret: `openssl rand -hex 32 > FILE`",
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_the_one_that_other_programs_compute() {
        // python3 -c 'import hmac; print(hmac.new(b"0123456789abcdef", b"1790000000.{}", "sha256").hexdigest())'
        let secret = Secret(b"0123456789abcdef".to_vec());
        assert_eq!(
            secret.signature("1790000000", b"{}"),
            "sha256=3d02334942fff50e279f641c1b104ff5f49380d94ff307bb92b1e03f5aee6ff0"
        );
    }

    #[test]
    fn a_secret_is_read_without_its_line_end_and_shown_by_nobody() {
        let path = std::env::temp_dir().join(format!("cvd-stream-secret-{}", std::process::id()));
        for (text, length) in [("  canary-0123456789\r\n", Some(17)), ("canary\n", None), ("", None)] {
            std::fs::write(&path, text).unwrap();
            match (Secret::from_file(&path), length) {
                (Ok(secret), Some(length)) => {
                    assert_eq!(secret.0.len(), length);
                    assert_eq!(format!("{secret:?}"), "Secret(***)");
                }
                (Err(error @ SecretError::Length { .. }), None) => {
                    let told = format!("{error} {error:?} {}", error.remedy());
                    assert!(!told.contains("canary") && told.contains("cvd-stream-secret"), "{told}");
                }
                (read, _) => panic!("{read:?} of {text:?}"),
            }
        }
        std::fs::write(&path, "x".repeat(1 << 20)).unwrap();
        assert!(matches!(Secret::from_file(&path), Err(SecretError::Length { .. })));
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(Secret::from_file(&path), Err(SecretError::Unreadable { .. })));
    }
}
