"""What runs turns, behind one seam: `backend` over HTTP, `app_server` with the codex program."""
