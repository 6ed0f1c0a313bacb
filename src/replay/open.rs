//! From a file to its uncompressed bytes. Compression is told by the first bytes, never by the name.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::Path;

use flate2::Crc;
use flate2::read::{DeflateDecoder, MultiGzDecoder};
use zip::{CompressionMethod, ZipArchive};

use super::fault::FaultReason;
use super::lines::Lines;

const GZIP: &[u8] = b"\x1F\x8B";
const ZIP: &[u8] = b"PK\x03\x04";
const EMPTY_ZIP: &[u8] = b"PK\x05\x06";

/// A file that is ready to be read.
pub(super) struct Opened {
    reader: Box<dyn Read + Send>,
    /// The name inside the archive.
    pub(super) entry: Option<String>,
    /// Whether the file can be opened again; a pipe cannot.
    pub(super) regular: bool,
}

/// Opens a file.
pub(super) fn open(path: &Path) -> Result<Opened, FaultReason> {
    let mut file = File::open(path).map_err(FaultReason::Unreadable)?;
    let regular = file.metadata().map_err(FaultReason::Unreadable)?.is_file();
    let mut magic = Vec::with_capacity(4);
    (&mut file).take(4).read_to_end(&mut magic).map_err(FaultReason::Unreadable)?;

    if magic.starts_with(ZIP) || magic.starts_with(EMPTY_ZIP) {
        if !regular {
            return Err(FaultReason::ArchiveInPipe);
        }
        let (reader, entry) = open_zip(file)?;
        return Ok(Opened { reader, entry: Some(entry), regular });
    }
    let gzip = magic.starts_with(GZIP);
    let bytes = Cursor::new(magic).chain(file);
    let reader: Box<dyn Read + Send> = match gzip {
        true => Box::new(MultiGzDecoder::new(BufReader::with_capacity(64 * 1024, bytes))),
        false => Box::new(bytes),
    };
    Ok(Opened { reader, entry: None, regular })
}

impl Opened {
    /// Its lines.
    pub(super) fn lines(self) -> Lines {
        Lines::new(self.reader)
    }

    /// Up to `limit` bytes from its beginning, and a file that still has them.
    pub(super) fn peek(mut self, limit: usize) -> Result<(Vec<u8>, Self), FaultReason> {
        let mut head = Vec::new();
        let end = (&mut self.reader).take(limit as u64).read_to_end(&mut head);
        let bytes = Cursor::new(head.clone());
        self.reader = match end {
            Ok(_) => Box::new(bytes.chain(self.reader)),
            Err(error) if head.is_empty() => return Err(FaultReason::Unreadable(error)),
            Err(error) => Box::new(bytes.chain(Broken(Some(error)))),
        };
        Ok((head, self))
    }
}

/// The end of a file that broke while it was looked at: fails as it did then.
struct Broken(Option<io::Error>);

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}

/// The one file in an archive, and its name. The archive's own reader borrows the archive, so its directory
/// is asked only where the file lies.
fn open_zip(file: File) -> Result<(Box<dyn Read + Send>, String), FaultReason> {
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(FaultReason::Archive)?;
    let mut found = Vec::new();
    for index in 0..archive.len() {
        let entry = archive.by_index_data(index).map_err(FaultReason::Archive)?;
        let name = String::from_utf8_lossy(entry.name_raw()).into_owned();
        if !entry.is_dir() && !name.ends_with(".CHECKSUM") && !name.starts_with("__MACOSX/") {
            found.push((index, name));
        }
    }
    let [(index, _)] = found[..] else { return Err(FaultReason::ArchiveOf(found.len())) };
    let (_, name) = found.remove(0);

    let entry = archive.by_index_raw(index).map_err(FaultReason::Archive)?;
    if entry.encrypted() {
        return Err(FaultReason::ArchiveKind("encrypted"));
    }
    let method = entry.compression();
    let (size, crc, start) = (entry.compressed_size(), entry.crc32(), entry.data_start());
    let start = start.expect("known, because the raw reader stands there");
    drop(entry);
    let mut file = archive.into_inner().into_inner();
    file.seek(SeekFrom::Start(start)).map_err(FaultReason::Unreadable)?;
    let bytes = BufReader::with_capacity(64 * 1024, file.take(size));
    let reader: Box<dyn Read + Send> = match method {
        CompressionMethod::Stored => Box::new(Checked::new(bytes, crc)),
        CompressionMethod::Deflated => Box::new(Checked::new(DeflateDecoder::new(bytes), crc)),
        _ => return Err(FaultReason::ArchiveKind("compressed in a rare way")),
    };
    Ok((reader, name))
}

/// Fails at the end if what was read does not have the sum that the archive says.
struct Checked<R> {
    reader: R,
    crc: Crc,
    expected: u32,
}

impl<R> Checked<R> {
    fn new(reader: R, expected: u32) -> Self {
        Self { reader, crc: Crc::new(), expected }
    }
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.crc.update(&buffer[..read]);
        if read == 0 && !buffer.is_empty() && self.crc.sum() != self.expected {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the checksum does not match"));
        }
        Ok(read)
    }
}
