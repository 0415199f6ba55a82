//! Sealing with XChaCha20-Poly1305. A sealed text is a nonce of 24 bytes and the ciphertext with its tag.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::KeyError;

const NONCE: usize = 24;

/// A key of 32 bytes that is wiped when it is dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(super) struct Key(pub(super) [u8; 32]);

impl std::fmt::Debug for Key {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Key(****)")
    }
}

/// Fills an array with random bytes of the operating system.
pub(super) fn random<const N: usize>() -> Result<[u8; N], KeyError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| KeyError::Random(error.to_string()))?;
    Ok(bytes)
}

impl Key {
    pub(super) fn generate() -> Result<Self, KeyError> {
        Ok(Self(random()?))
    }

    /// Seals `plain`, bound to `associated`.
    pub(super) fn seal(&self, plain: &[u8], associated: &[u8]) -> Result<Vec<u8>, KeyError> {
        let nonce = random::<NONCE>()?;
        let sealed = self
            .cipher()
            .encrypt(&XNonce::from(nonce), Payload { msg: plain, aad: associated })
            .map_err(|_| KeyError::Random("the cipher refused the text".to_owned()))?;
        let mut bytes = nonce.to_vec();
        bytes.extend_from_slice(&sealed);
        Ok(bytes)
    }

    /// Opens what `seal` made; `None` for another key, another `associated` or changed bytes.
    pub(super) fn open(&self, sealed: &[u8], associated: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE)?;
        let nonce: [u8; NONCE] = nonce.try_into().ok()?;
        self.cipher().decrypt(&XNonce::from(nonce), Payload { msg: sealed, aad: associated }).ok().map(Zeroizing::new)
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&self.0.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_only_what_it_sealed() {
        let key = Key::generate().expect("random");
        let sealed = key.seal(b"text", b"path").expect("sealed");
        assert_eq!(key.open(&sealed, b"path").expect("opens").as_slice(), b"text");
        assert!(key.open(&sealed, b"other").is_none());
        assert!(Key::generate().expect("random").open(&sealed, b"path").is_none());
        for index in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[index] ^= 1;
            assert!(key.open(&changed, b"path").is_none(), "byte {index}");
        }
        for length in 0..sealed.len() {
            assert!(key.open(&sealed[..length], b"path").is_none(), "length {length}");
        }
        assert_ne!(sealed, key.seal(b"text", b"path").expect("sealed"), "a nonce is never used twice");
    }
}
