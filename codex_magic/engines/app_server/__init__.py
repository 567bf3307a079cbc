"""The engine that runs turns in the codex program, over JSON-RPC on its standard input and output."""
