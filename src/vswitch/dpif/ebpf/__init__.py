"""The "ebpf" datapath: the userspace datapath with its busy flows in the kernel.

Every flow lives in the userspace datapath (`dpif/userspace`), which this package may therefore import;
those that a BPF program at the ports can do live in its maps as well. What the program can't do or
doesn't know comes up a ring and takes the userspace datapath's own path. From outside import
`provider.EbpfDpif` and `usable.why_not`; open `programs.py` first.
"""
