//! A stand-in for Azure Resource Manager, for tests.
