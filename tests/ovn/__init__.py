"""OVN of the distribution, unmodified, over this switch."""
