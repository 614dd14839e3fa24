//! Functions that several targets use.

use std::{
    path::{Path, PathBuf},
    sync::LazyLock,
};

use tokio::runtime::{Builder, Runtime};

/// Runs a future to its end.
pub fn block_on<F: Future>(future: F) -> F::Output {
    static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Builder::new_current_thread().enable_all().build().unwrap());
    RUNTIME.block_on(future)
}

/// A file of this process with this content. The next call replaces it.
pub fn file(content: &[u8]) -> &'static Path {
    static PATH: LazyLock<PathBuf> = LazyLock::new(|| {
        let directory = std::env::temp_dir().join(format!("metastudio-exporter-fuzz-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        directory.join("file")
    });
    std::fs::write(&*PATH, content).unwrap();
    &PATH
}
