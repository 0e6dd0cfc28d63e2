"""OpenFlow connections over sockets: TCP, TLS and Unix, outward and inward, none of which ever blocks.

From outside: `controllers.Controllers` (all connections of a bridge), `settings.ControllerSettings`,
`tls.Tls`, `poller.Poller`, and `client.Client` for tools. Open `vconn.py` first (one connection), then
`rconn.py` (one that comes back) and `controllers.py`.
"""
