"""Tuple space search with wildcard tracking.

From outside: `classifier.Classifier` and `rule.ClsRule`. Open `classifier.py` first, then
`subtable.py`, where a lookup spends its time.
"""
