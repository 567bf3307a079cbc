"""What a notebook's user meets: the magics, the commands, cells, approvals and the sign-in widget."""
