"""OpenFlow actions and flows as values and as text.

From outside: `actions` (one class an action), `action_text` and `flow_text` (ovs-ofctl's
syntax), `flow_mod.FlowMod`, `constants`, `errors.OfpError`. Open `actions.py` first.
"""
