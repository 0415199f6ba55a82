//! Just enough of the ZIP format to hand a function's source to Lambda: one stored file.
//! Source: <https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT>, sections 4.3.7, 4.3.12 and 4.3.16.

const LOCAL_HEADER: u32 = 0x0403_4b50;
const CENTRAL_HEADER: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;
/// A regular file that everybody may read.
const ATTRIBUTES: u32 = 0o100_644 << 16;
/// The first of January 1980, the format's own beginning.
const DATE: u16 = 0x21;

/// An archive with one uncompressed file. Sizes over 4 GiB are not supported, and nobody needs them here.
pub(crate) fn archive(name: &str, content: &[u8]) -> Vec<u8> {
    let size = u32::try_from(content.len()).unwrap_or(u32::MAX);
    let name_size = u16::try_from(name.len()).unwrap_or(u16::MAX);
    let mut common = Vec::new();
    for field in [20_u16, 0, 0, 0, DATE] {
        common.extend(field.to_le_bytes());
    }
    for field in [crc32(content), size, size] {
        common.extend(field.to_le_bytes());
    }
    common.extend(name_size.to_le_bytes());
    common.extend(0_u16.to_le_bytes());

    let mut out = LOCAL_HEADER.to_le_bytes().to_vec();
    out.extend(&common);
    out.extend(name.as_bytes());
    out.extend(content);

    let directory = u32::try_from(out.len()).unwrap_or(u32::MAX);
    out.extend(CENTRAL_HEADER.to_le_bytes());
    // Made on Unix, so that the attributes are file modes.
    out.extend((3_u16 << 8 | 20).to_le_bytes());
    out.extend(&common);
    for field in [0_u16, 0, 0] {
        out.extend(field.to_le_bytes());
    }
    out.extend(ATTRIBUTES.to_le_bytes());
    out.extend(0_u32.to_le_bytes());
    out.extend(name.as_bytes());
    let length = u32::try_from(out.len()).unwrap_or(u32::MAX) - directory;

    out.extend(END.to_le_bytes());
    for field in [0_u16, 0, 1, 1] {
        out.extend(field.to_le_bytes());
    }
    out.extend(length.to_le_bytes());
    out.extend(directory.to_le_bytes());
    out.extend(0_u16.to_le_bytes());
    out
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc_of_the_check_string() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }
}
