//! SHA-256 in hexadecimal.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use sha2::{Digest as _, Sha256};

/// Bytes of a file that are hashed at a time.
const CHUNK: usize = 1 << 16;

/// Returns the SHA-256 of some bytes: 64 hexadecimal digits.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Returns the SHA-256 of what a file holds: 64 hexadecimal digits.
///
/// # Errors
///
/// When it can't be read.
pub fn file_sha256(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        match file.read(&mut chunk) {
            Ok(0) => return Ok(hex(&hash.finalize())),
            Ok(read) => hash.update(&chunk[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Returns the first 64 bits of the SHA-256 of a text: 16 hexadecimal digits.
pub fn short_sha256(text: &str) -> String {
    format!("{:016x}", short_hash(text.as_bytes()))
}

/// Returns the first 64 bits of the SHA-256 of some bytes.
pub(super) fn short_hash(bytes: &[u8]) -> u64 {
    let hash = Sha256::digest(bytes);
    hash.iter().take(8).fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// Returns the 64 bits that 16 digits from `0` to `9` and `a` to `f` stand for.
pub(super) fn short_hash_of_digits(text: &str) -> Option<u64> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let value = |value: u64, byte: u8| Some(value << 4 | u64::from(digit(byte)?));
    if text.len() == 16 { text.bytes().try_fold(0, value) } else { None }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits =
        |byte: &u8| [byte >> 4, byte & 15].map(|half| char::from(DIGITS[usize::from(half)]));
    bytes.iter().flat_map(digits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standards_own_example_comes_out() {
        // FIPS 180-2, appendix B.1.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256_hex(b"abc"), abc);
        assert_eq!(short_sha256("abc"), abc[..16]);
    }
}
