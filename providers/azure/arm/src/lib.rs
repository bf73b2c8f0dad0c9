//! Azure Resource Manager for tagwall: credentials, one pipeline, long-running operations.
