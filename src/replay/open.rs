//! From a file to its uncompressed bytes. Compression is told by the first bytes, never by the name.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crc32fast::Hasher;
use flate2::read::{DeflateDecoder, MultiGzDecoder};
use zip::{CompressionMethod, ZipArchive};

use super::fault::FaultReason;
use super::find::STDIN;
use super::lines::Lines;
use crate::recording::ZSTD;

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
    /// Whether its bytes are its text.
    pub(super) is_plain: bool,
}

/// Opens a file, or standard input; counts the bytes that are read of it.
pub(super) fn open(path: &Path, read: &Arc<AtomicU64>) -> Result<Opened, FaultReason> {
    if path.as_os_str() == STDIN {
        return open_stream(Counted::new(io::stdin(), read), false);
    }
    let mut file = File::open(path).map_err(FaultReason::Unreadable)?;
    let regular = file.metadata().map_err(FaultReason::Unreadable)?.is_file();
    if !regular {
        return open_stream(Counted::new(file, read), false);
    }
    let magic = magic(&mut file)?;
    file.rewind().map_err(FaultReason::Unreadable)?;
    if is_zip(&magic) {
        let (reader, entry) = open_zip(file, read)?;
        return Ok(Opened { reader, entry: Some(entry), regular, is_plain: false });
    }
    open_stream(Counted::new(file, read), true)
}

/// Opens what is read from its beginning to its end.
fn open_stream(mut stream: impl Read + Send + 'static, regular: bool) -> Result<Opened, FaultReason> {
    let magic = magic(&mut stream)?;
    if is_zip(&magic) {
        return Err(FaultReason::ArchiveInPipe);
    }
    let (is_gzip, is_zstd) = (magic.starts_with(GZIP), magic.starts_with(ZSTD));
    let is_plain = !is_gzip && !is_zstd;
    let bytes = Cursor::new(magic).chain(stream);
    let reader: Box<dyn Read + Send> = if is_gzip {
        Box::new(MultiGzDecoder::new(BufReader::with_capacity(64 * 1024, bytes)))
    } else if is_zstd {
        Box::new(zstd::Decoder::new(bytes).map_err(FaultReason::Unreadable)?)
    } else {
        Box::new(bytes)
    };
    Ok(Opened { reader, entry: None, regular, is_plain })
}

fn magic(from: &mut impl Read) -> Result<Vec<u8>, FaultReason> {
    let mut magic = Vec::with_capacity(4);
    from.take(4).read_to_end(&mut magic).map_err(FaultReason::Unreadable)?;
    Ok(magic)
}

fn is_zip(magic: &[u8]) -> bool {
    magic.starts_with(ZIP) || magic.starts_with(EMPTY_ZIP)
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
fn open_zip(file: File, read: &Arc<AtomicU64>) -> Result<(Box<dyn Read + Send>, String), FaultReason> {
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
    let bytes = BufReader::with_capacity(64 * 1024, Counted::new(file, read).take(size));
    let reader: Box<dyn Read + Send> = match method {
        CompressionMethod::Stored => Box::new(Checked::new(bytes, crc)),
        CompressionMethod::Deflated => Box::new(Checked::new(DeflateDecoder::new(bytes), crc)),
        _ => return Err(FaultReason::ArchiveKind("compressed in a rare way")),
    };
    Ok((reader, name))
}

/// Counts what is read.
struct Counted<R> {
    reader: R,
    read: Arc<AtomicU64>,
}

impl<R> Counted<R> {
    fn new(reader: R, read: &Arc<AtomicU64>) -> Self {
        Self { reader, read: Arc::clone(read) }
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// Fails at the end if what was read does not have the sum that the archive says. Summed up by the processor's own
/// instructions, which the crate that decompresses does without.
struct Checked<R> {
    reader: R,
    crc: Hasher,
    expected: u32,
}

impl<R> Checked<R> {
    fn new(reader: R, expected: u32) -> Self {
        Self { reader, crc: Hasher::new(), expected }
    }
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.crc.update(&buffer[..read]);
        if read == 0 && !buffer.is_empty() && self.crc.clone().finalize() != self.expected {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the checksum does not match"));
        }
        Ok(read)
    }
}
