//! Root certificates from a file, checked before anything is started.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, TrustAnchor};

use crate::text::shown;

/// More is no file of certificates; the bundle of all public roots has about 250 kB.
const LONGEST: u64 = 8 * 1024 * 1024;

/// Root certificates that are trusted besides the system's; none by default.
#[derive(Debug, Clone, Default)]
pub struct ExtraRoots(Vec<TrustAnchor<'static>>);

impl ExtraRoots {
    /// Every certificate of a PEM file.
    ///
    /// # Errors
    /// [`CaFileError`]: it cannot be read, has no certificate in it, or one that is damaged.
    pub fn from_file(path: &Path) -> Result<Self, CaFileError> {
        let roots = text_of(path).and_then(|text| Self::from_pem(&text));
        roots.map_err(|problem| CaFileError { path: path.to_owned(), problem })
    }

    fn from_pem(text: &[u8]) -> Result<Self, CaFileProblem> {
        let mut roots = RootCertStore::empty();
        for (at, certificate) in CertificateDer::pem_slice_iter(text).enumerate() {
            let certificate =
                certificate.map_err(|error| CaFileProblem::Damaged(at + 1, error.to_string()))?;
            let added = roots.add(certificate);
            added.map_err(|error| CaFileProblem::Damaged(at + 1, error.to_string()))?;
        }
        if roots.is_empty() { Err(CaFileProblem::NoCertificate) } else { Ok(Self(roots.roots)) }
    }

    pub(super) fn anchors(&self) -> impl Iterator<Item = TrustAnchor<'static>> {
        self.0.iter().cloned()
    }
}

/// A file of root certificates that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot take root certificates from {}: {problem}: {}", shown(path), problem.remedy())]
pub struct CaFileError {
    /// Which file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: CaFileProblem,
}

/// What is wrong with a file of root certificates.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaFileProblem {
    /// There is none.
    #[error("there is no such file")]
    Missing,
    /// A directory, a pipe or a device.
    #[error("it is not a file")]
    NotAFile,
    /// The system does not let us read it.
    #[error("it cannot be read: {0}")]
    Unreadable(io::Error),
    /// More than 8 MiB.
    #[error("it is too long for a file of certificates: {0} bytes")]
    TooLong(u64),
    /// Whatever is in it, it is no certificate in PEM.
    #[error("there is no certificate in it")]
    NoCertificate,
    /// A certificate, counted from 1, that is none, and why.
    #[error("certificate {0} in it is damaged: {1}")]
    Damaged(usize, String),
}

impl CaFileProblem {
    /// What to do about it, lower case, one line.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Missing => "check the path; a relative one counts from the working directory",
            Self::NotAFile | Self::TooLong(_) => "name the PEM file with the root certificate",
            Self::Unreadable(_) => "let the user of this process read it",
            Self::NoCertificate => {
                "it must be PEM, with -----BEGIN CERTIFICATE----- in it; \
                 openssl x509 -inform der -in FILE -out FILE.pem makes it of DER"
            }
            Self::Damaged(..) => "get a whole copy of the file",
        }
    }
}

fn text_of(path: &Path) -> Result<Vec<u8>, CaFileProblem> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => CaFileProblem::Missing,
        _ => CaFileProblem::Unreadable(error),
    };
    // A pipe could only be read once, and a device has no end.
    let facts = path.metadata().map_err(failed)?;
    if !facts.is_file() {
        return Err(CaFileProblem::NotAFile);
    }
    if facts.len() > LONGEST {
        return Err(CaFileProblem::TooLong(facts.len()));
    }
    let mut text = Vec::new();
    File::open(path).and_then(|file| file.take(LONGEST).read_to_end(&mut text)).map_err(failed)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pem() -> String {
        let certificate = rcgen::generate_simple_self_signed(["ca.example".to_owned()]).unwrap();
        certificate.cert.pem()
    }

    #[test]
    fn every_certificate_of_a_file_is_trusted_and_other_things_in_it_are_passed_over() {
        let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
        let text = format!("words before it\n{}{key}\n{}", pem(), pem());
        let roots = ExtraRoots::from_pem(text.as_bytes()).unwrap();
        assert_eq!(roots.anchors().count(), 2);
    }

    #[test]
    fn a_file_that_cannot_be_used_says_why_and_what_to_do() {
        let whole = pem();
        let (head, _) = whole.split_at(whole.len() / 2);
        let no_certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
        for (text, problem) in [
            ("", "there is no certificate in it"),
            (&key, "there is no certificate in it"),
            ("\u{0}\u{1}binary", "there is no certificate in it"),
            (head, "certificate 1 in it is damaged"),
            (no_certificate, "certificate 1 in it is damaged"),
            (&format!("{whole}{no_certificate}"), "certificate 2 in it is damaged"),
        ] {
            let error = ExtraRoots::from_pem(text.as_bytes()).unwrap_err();
            assert!(error.to_string().starts_with(problem), "{text}: {error}");
            assert!(error.remedy().len() > 20);
        }
        let error = ExtraRoots::from_file(Path::new("/no/such/ca.pem")).unwrap_err();
        assert!(matches!(error.problem, CaFileProblem::Missing));
        let told = error.to_string();
        assert!(told.contains("/no/such/ca.pem: there is no such file: check the path"), "{told}");
        let directory = ExtraRoots::from_file(&std::env::temp_dir()).unwrap_err();
        assert!(matches!(directory.problem, CaFileProblem::NotAFile));
    }
}
