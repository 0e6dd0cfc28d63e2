"""The vswitch command."""
