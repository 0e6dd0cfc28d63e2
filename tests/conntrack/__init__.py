"""Connection tracking in userspace, beside the real switch's: the same packets into both."""
