"""What of a notebook goes along with a question: values described, mentions, secrets, cells, and a budget of tokens.

Pure: knows no IPython and no engine. Import from the modules below; `%load_ext` loads none of them.
"""
