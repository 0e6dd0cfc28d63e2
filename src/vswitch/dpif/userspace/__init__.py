"""The "netdev" datapath: packets forwarded in this process."""
