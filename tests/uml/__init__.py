"""Tests in user-mode Linux: a real kernel with the real openvswitch module, as a process.

`harness.py` boots it; `conftest.py` makes the `uml` fixture; the tests here say what the kernel
datapath and the daemon on it must do. What runs inside lies in `inside/` and is collected only there.
"""
