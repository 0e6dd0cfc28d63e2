"""Tunnels: against the real switch, and with real traffic."""
