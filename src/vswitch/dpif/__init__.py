"""The datapath interface, datapath actions, and the providers behind it."""
