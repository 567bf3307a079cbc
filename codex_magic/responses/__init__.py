"""The Responses API: events and items, the transport, and the two clients on top of it."""
