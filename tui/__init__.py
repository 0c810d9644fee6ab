"""The screen: a Textual application over the yard."""

import os

# Textual reads it when it is imported. Without it a terminal is asked whether it knows kitty's keyboard protocol, and
# some that do not print the question.
os.environ.setdefault("TEXTUAL_DISABLE_KITTY_KEY", "1")
