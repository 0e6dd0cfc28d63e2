"""OpenFlow actions and flows as values and as text."""
