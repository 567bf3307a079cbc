"""Conversations that are kept: `Codex`, `Thread` and `TurnHandle`, and the store below them."""
