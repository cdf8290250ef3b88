"""WebSocket (RFC 6455) for the server.

handshake   the request that asks for it: refused, or taken with these subprotocols and extensions
frames      bytes to messages and control frames, and back
connection  the transport's side: closing handshake, pings, backpressure
session     the application's side: `receive` and `send`
"""
