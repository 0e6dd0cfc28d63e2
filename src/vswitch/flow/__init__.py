"""The flow as a vector of 64-bit words: field registry, Flow, Match, masks, text syntax."""
