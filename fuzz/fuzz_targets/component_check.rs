//! Components from anywhere: each is described or refused, within the time and the memory that describing may take.
//!
//! A file of the corpus is a component; mutations of it are what somebody would try.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use outrigger_runtime::{Compiler, EngineLimits, Plugins};

fuzz_target!(|data: &[u8]| {
    static PLUGINS: OnceLock<(Plugins, tokio::runtime::Runtime)> = OnceLock::new();
    let (plugins, runtime) = PLUGINS.get_or_init(|| {
        let limits = EngineLimits { memory_bytes: 64 * 1024 * 1024, guests: 4 };
        let plugins = Plugins::new(limits, None, Compiler::InProcess).expect("an engine");
        (plugins, tokio::runtime::Builder::new_current_thread().build().expect("a runtime"))
    });
    // Compiling takes as long as there is code: small components show as much.
    if data.len() > 64 * 1024 {
        return;
    }
    match runtime.block_on(plugins.examine("x.wasm", data, false)) {
        Ok(info) => {
            assert!(!info.provider.is_empty() && !info.worlds.is_empty());
            assert!(info.input_schema.is_object() && info.output_schema.is_object());
            assert_eq!(info.size, data.len());
            drop(info.actions());
        }
        Err(error) => assert!(error.to_string().contains("x.wasm"), "{error}"),
    }
});
