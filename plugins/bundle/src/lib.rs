//! The standard components, built with the program and embedded in it.
//!
//! The build script builds every package in `plugins/` that is a component for `wasm32-unknown-unknown`, in an environment of its
//! own, so that a digest stands for the sources and the compiler and not for the machine.

/// A component that comes with the program.
#[derive(Clone, Copy)]
pub struct BundledComponent {
    /// Name of its package, such as `aws-vm-start`.
    pub name: &'static str,
    /// The component, in WebAssembly's binary format.
    pub bytes: &'static [u8],
    /// SHA-256 of the bytes, 64 hexadecimal digits.
    pub digest: &'static str,
}

impl std::fmt::Debug for BundledComponent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BundledComponent")
            .field("name", &self.name)
            .field("bytes", &self.bytes.len())
            .field("digest", &self.digest)
            .finish()
    }
}

static COMPONENTS: &[BundledComponent] = include!(concat!(env!("OUT_DIR"), "/bundle.rs"));

/// All bundled components, in the alphabetical order of their names.
#[must_use]
pub fn components() -> &'static [BundledComponent] {
    COMPONENTS
}

/// The bundled component with this name.
#[must_use]
pub fn component(name: &str) -> Option<&'static BundledComponent> {
    COMPONENTS.binary_search_by_key(&name, |component| component.name).ok().and_then(|at| COMPONENTS.get(at))
}
