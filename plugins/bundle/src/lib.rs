//! plugins/bundle
