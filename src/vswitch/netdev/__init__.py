"""Network devices: linux, tap, dummy, patch."""
