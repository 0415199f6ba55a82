//! Cuts output into lines.

/// Collects bytes and gives lines of at most `most` bytes. Bytes that are no UTF-8 become replacement characters.
#[derive(Debug)]
pub(super) struct Lines {
    pending: Vec<u8>,
    most: usize,
}

impl Lines {
    pub(super) fn new(most: usize) -> Self {
        Self { pending: Vec::new(), most: most.max(16) }
    }

    /// Takes bytes, and gives the lines that are whole now.
    pub(super) fn push(&mut self, mut bytes: &[u8], mut line: impl FnMut(&str)) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (own, rest) = bytes.split_at(end);
            self.add(own, &mut line);
            self.flush(&mut line);
            bytes = rest.get(1..).unwrap_or_default();
        }
        self.add(bytes, &mut line);
    }

    /// Gives the last line, if it did not end with a line break.
    pub(super) fn finish(&mut self, mut line: impl FnMut(&str)) {
        if !self.pending.is_empty() {
            self.flush(&mut line);
        }
    }

    fn add(&mut self, mut bytes: &[u8], line: &mut impl FnMut(&str)) {
        while self.pending.len() + bytes.len() > self.most {
            let room = self.most - self.pending.len();
            let (own, rest) = bytes.split_at(room);
            self.pending.extend_from_slice(own);
            // A character that would be cut goes into the next piece.
            let whole = match std::str::from_utf8(&self.pending) {
                Err(error) if error.error_len().is_none() && error.valid_up_to() > 0 => error.valid_up_to(),
                _ => self.pending.len(),
            };
            let next = self.pending.split_off(whole);
            self.flush(line);
            self.pending = next;
            bytes = rest;
        }
        self.pending.extend_from_slice(bytes);
    }

    fn flush(&mut self, line: &mut impl FnMut(&str)) {
        line(&String::from_utf8_lossy(&self.pending));
        self.pending.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(chunks: &[&[u8]], most: usize) -> Vec<String> {
        let mut found = Vec::new();
        let mut lines = Lines::new(most);
        for chunk in chunks {
            lines.push(chunk, |line| found.push(line.to_owned()));
        }
        lines.finish(|line| found.push(line.to_owned()));
        found
    }

    #[test]
    fn lines_are_cut() {
        assert_eq!(cut(&[b"a\nb", b"c\n\nd"], 64), ["a", "bc", "", "d"]);
        assert_eq!(cut(&["ä".repeat(10).as_bytes()], 16), ["ä".repeat(8), "ä".repeat(2)]);
        assert_eq!(cut(&[b"x", "ä".repeat(8).as_bytes()], 16), [format!("x{}", "ä".repeat(7)), "ä".to_owned()]);
        assert_eq!(cut(&[b"\xff\n"], 16), ["\u{fffd}"]);
    }

    proptest! {
        #[test]
        fn nothing_is_lost(text in "[a-zäö😀\n]{0,200}", at in 0_usize..200) {
            let bytes = text.as_bytes();
            let at = at.min(bytes.len());
            let found = cut(&[&bytes[..at], &bytes[at..]], 16);
            prop_assert_eq!(found.concat(), text.replace('\n', ""));
            prop_assert!(found.iter().all(|line| line.len() <= 16));
        }
    }
}
