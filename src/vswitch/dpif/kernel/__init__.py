"""The "system" datapath: the Linux openvswitch module over 17 Netlink channels."""
