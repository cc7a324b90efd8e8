//! Credentials to a [`Principal`].
