"""Netlink and Generic Netlink sockets and attributes."""
