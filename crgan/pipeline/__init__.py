"""The two workflow engines over one graph. Nothing in the library imports this room."""
