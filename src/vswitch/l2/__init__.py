"""Layer 2 protocols as state machines; MAC learning."""
