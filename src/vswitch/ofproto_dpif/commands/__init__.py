"""The `ovs-appctl` commands of bridges, and `ofproto/trace`. `commands.py` registers them all."""
