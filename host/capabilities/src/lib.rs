//! What guests may import, and the AWS calls behind it.

pub mod bindings;
/// x
pub struct CredentialsHandle;
/// y
pub struct SecretHandle;
