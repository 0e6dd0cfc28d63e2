"""What runs inside user-mode Linux: tests against its openvswitch module, as root."""
