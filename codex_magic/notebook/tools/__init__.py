"""The tools that a question in a notebook offers the model: which there are, what they give, who says yes."""
