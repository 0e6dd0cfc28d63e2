"""Ethernet and everything above it: parse, compose, checksums."""
