//! The Azure provider of tagwall: network security groups.
