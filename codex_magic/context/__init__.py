"""What a question brings along of the notebook: mentions, descriptions of values, cells above, secrets that stay. Pure."""
